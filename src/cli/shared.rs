//! Options that several subcommands have, each group defined once.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::byte_size::Memory;
use crate::engine::{Work, Workshop};
use crate::error::{Error, Result, Status};
use crate::progress::{ProgressKind, Reporter};
use crate::volume::MapChoice;
use crate::wire::PartSize;

/// The memory budget unless the user gives one, in bytes.
const DEFAULT_MEMORY: u64 = 256 << 20;

/// What a run may use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Resources")]
pub struct Resources {
    /// Memory for buffers, as in 512M, 1G or 10% of the machine's [default: 256M, or what parts larger than 32M need]
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true)]
    pub memory: Option<Memory>,

    /// Threads that compress or decompress [default: one a processor]
    #[arg(short = 'j', long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// Writes a text to standard output. A reader who has seen enough, as `head`, is no failure.
///
/// # Errors
/// Whatever else keeps it from being written, as a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What became of a text for standard output.
///
/// # Errors
/// As [`print()`].
pub fn printed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("cannot print", "stdout", &e)),
        _ => Ok(()),
    }
}

impl Resources {
    /// Divides the memory among workers and buffers.
    pub fn workshop(&self, part_size: PartSize, work: Work) -> Result<Workshop> {
        let memory = match self.memory {
            Some(memory) => memory.bytes(),
            // A stream's parts are the sender's choice: whatever they are, it can be received as it is.
            None => DEFAULT_MEMORY.max(Workshop::least_memory(part_size, work)),
        };
        Workshop::plan(memory, self.threads.map(usize::from), part_size, work)
    }
}

/// What is said while a run lasts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct Messages {
    /// How progress is shown, on standard error
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub progress: ProgressKind,

    /// Say more: without a terminal, a line of progress every 10 seconds
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

impl Messages {
    /// Starts to show these figures.
    pub fn report(&self, figures: std::sync::Arc<crate::progress::Figures>) -> Reporter {
        Reporter::start(figures, self.progress, self.verbose, self.quiet)
    }

    /// Prints what the user should know.
    pub fn notices(&self, reporter: &Reporter, notices: &[String]) {
        if !self.quiet {
            notices.iter().for_each(|notice| reporter.console().println(&format!("lvpipe: {notice}")));
        }
    }
}

/// A volume's or a file's name: any bytes but none at all, which is what an unset variable gives.
pub fn name_parser() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|name| match name.is_empty() {
        true => Err("the name is empty"),
        false => Ok(name),
    })
}

/// 128 random bits: a transfer's id, or a receiver's incarnation. `what` cannot be done without.
pub fn random_id(what: &str) -> Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| Error::new(Status::Io, what, "getrandom", e))?;
    Ok(id)
}

/// Prints what a run that failed has left behind, even to those who asked for errors only.
pub fn left_behind(notices: &[String]) {
    // Standard error may be closed; the status still tells that it failed.
    notices.iter().for_each(|notice| _ = writeln!(io::stderr(), "lvpipe: {notice}"));
}

/// Where a source's used map comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapKind {
    /// dm-thin's metadata for a thin LV, SEEK_DATA for a file
    Auto,
    /// No map: read everything, and find zeros while reading
    None,
}

/// Where a source's map is taken from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
pub struct SourceArgs {
    /// Where the used map comes from
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub map: MapKind,

    /// A saved copy of the pool's metadata (as dd makes it, not thin_metadata_pack) to take the map from
    #[arg(long, value_name = "FILE", requires = "thin_id", conflicts_with = "map")]
    pub thin_metadata: Option<PathBuf>,

    /// The source's device id in the pool, for --thin-metadata
    #[arg(long, value_name = "ID", requires = "thin_metadata")]
    pub thin_id: Option<u32>,
}

impl SourceArgs {
    /// As the volumes want it.
    pub fn map_choice(&self) -> MapChoice {
        match (&self.thin_metadata, self.thin_id, self.map) {
            (Some(file), Some(device), _) => MapChoice::Metadata { file: file.clone(), device },
            (_, _, MapKind::None) => MapChoice::None,
            (_, _, MapKind::Auto) => MapChoice::Auto,
        }
    }
}
