//! The command line: one file a subcommand, with its options and what it runs.
//!
//! The options are defined once, here and in the subcommands' files: the parser, the help, the manual pages and the
//! completions are all made from [`command`]. Only in mbuffer's place the grammar is mbuffer's own, in [`mbuffer`].

mod attend;
mod bench;
mod doctor;
mod documents;
mod inspect;
mod landing;
mod links;
mod map;
pub mod mbuffer;
mod migrate;
mod patience;
mod pull;
mod recv;
mod replicate;
mod send;
mod serve;
mod shared;
mod signals;
mod ssh_links;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Error, Result};
use crate::stop::Stop;

/// What `--version` tells: the commit where it is known, and what this build can do.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit    ",
    env!("LVPIPE_COMMIT"),
    "\ntarget    ",
    env!("LVPIPE_TARGET"),
    "\nfeatures  thin zstd tcp tls1.3 ssh http resume delta migrate replicate systemd mbuffer",
);

/// Moves volumes: used blocks only, compressed in parallel, verified, written sparse.
#[derive(Debug, Parser)]
#[command(name = "lvpipe", version, long_version = LONG_VERSION, about, max_term_width = 100)]
#[command(after_help = "\
Examples:
  lvpipe send vg/vm1 | ssh host lvpipe recv vg/vm1      copy a volume to another host
  lvpipe send vg/vm1 > vm1.lvp                          back it up
  lvpipe recv vg/vm1 < vm1.lvp                          restore it
  tar c . | lvpipe -m 1G -s 128k | ...                  in mbuffer's place, with mbuffer's options
  lvpipe replicate vg/vm1 ssh://root@host/vg/vm1        keep a copy up to date
  lvpipe serve vg/vm1                                   let others pull it over HTTP
  lvpipe pull https://host:8080/vm1 vg/vm1              fetch it from a server
  lvpipe migrate vg/vm1 ssh://host/vg/vm1 --pause CMD   move it while it is in use
  lvpipe map vg/vm1                                     see what there is to send
  lvpipe bench vg/vm1 ssh://root@host/vg/vm1            see how long it will take, and what is slow
  lvpipe inspect --verify vm1.lvp                       check a backup")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Send(send::Send),
    Recv(recv::Recv),
    Replicate(Box<replicate::Replicate>),
    Serve(serve::Serve),
    Pull(pull::Pull),
    Migrate(Box<migrate::Migrate>),
    Map(map::Map),
    Inspect(inspect::Inspect),
    #[command(hide = true)]
    Attend(attend::Attend),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Man(documents::Man),
    Completions(documents::Completions),
}

/// The program's options and subcommands: parser, help, manual pages and completions all come from it.
pub fn command() -> clap::Command {
    Cli::command().subcommand(mbuffer::options::command())
}

/// Whose command line it is, by the program's name and its first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// mbuffer's.
    Mbuffer {
        /// The first argument is `buffer`, which is none of mbuffer's.
        named: bool,
    },
    /// lvpipe's own: a subcommand, or a question about lvpipe.
    Own,
}

/// Without a subcommand, and under a name that ends in `mbuffer`, lvpipe stands in mbuffer's place. Only as lvpipe are
/// `--help` and `--version` about lvpipe.
pub fn grammar(program: &OsStr, first: Option<&OsString>) -> Grammar {
    if program.as_bytes().ends_with(b"mbuffer") {
        return Grammar::Mbuffer { named: false };
    }
    match first.map(|first| first.as_bytes()) {
        Some(b"-h" | b"--help" | b"-V" | b"--version") => Grammar::Own,
        Some(b"buffer") => Grammar::Mbuffer { named: true },
        Some(first) if !first.starts_with(b"-") => Grammar::Own,
        _ => Grammar::Mbuffer { named: false },
    }
}

/// Runs what the process's command line asks for.
///
/// # Errors
/// What failed. A command line that does not parse is status 2, with the parser's words.
pub fn run() -> Result<()> {
    let stop = Stop::new();
    signals::watch(&stop)?;
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let done = match cli.task {
        Task::Send(send) => send.run(&stop),
        Task::Recv(recv) => recv.run(&stop),
        Task::Replicate(replicate) => replicate.run(&stop),
        Task::Serve(serve) => serve.run(&stop),
        Task::Pull(pull) => pull.run(&stop),
        Task::Migrate(migrate) => migrate.run(&stop),
        Task::Map(map) => map.run(&stop),
        Task::Inspect(inspect) => inspect.run(&stop),
        Task::Attend(attend) => attend.run(&stop),
        Task::Bench(bench) => bench.run(&stop),
        Task::Doctor(doctor) => doctor.run(),
        Task::Man(man) => man.run(),
        Task::Completions(completions) => completions.run(),
    };
    // Where a signal ended the run, what failed because of it is not what the user wants to read. One that came
    // when all was done changes nothing.
    done.or_else(|error| stop.check().and(Err(error)))
}

/// Help and version are no failure. What is one begins as all messages do, with the program's name.
fn explain(error: &clap::Error) -> Result<()> {
    if !error.use_stderr() {
        return shared::printed(error.print());
    }
    let text = error.render().to_string();
    Err(Error::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end(), "", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mbuffers_place_is_where_no_subcommand_is() {
        let at =
            |program: &str, first: Option<&str>| grammar(OsStr::new(program), first.map(OsString::from).as_ref());
        let unnamed = Grammar::Mbuffer { named: false };
        assert_eq!(at("/usr/bin/mbuffer", Some("send")), unnamed);
        assert_eq!(at("my-mbuffer", Some("--help")), unnamed);
        assert_eq!(at("lvpipe", None), unnamed);
        assert_eq!(at("lvpipe", Some("-m")), unnamed);
        assert_eq!(at("lvpipe", Some("buffer")), Grammar::Mbuffer { named: true });
        for own in ["send", "--help", "-h", "-V", "--version", "no-such"] {
            assert_eq!(at("lvpipe", Some(own)), Grammar::Own, "{own}");
        }
    }

    #[test]
    fn the_definition_of_the_options_is_sound() {
        command().debug_assert();
    }
}
