//! `lvpipe man` and `lvpipe completions`: what belongs to the program and is in it, for those who have nothing but
//! the program.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use super::shared::print;
use crate::command;
use crate::error::{Error, Result};

include!(concat!(env!("OUT_DIR"), "/documents.rs"));

/// Show a manual page, or install all of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe man                                            lvpipe(1)
  lvpipe man send                                       lvpipe-send(1)
  lvpipe man --install ~/.local/share/man               for `man lvpipe-send` from then on
  lvpipe man send > lvpipe-send.1                       its source")]
pub struct Man {
    /// A subcommand [default: lvpipe itself]
    topic: Option<String>,

    /// Write all pages into this directory's man1
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "topic")]
    install: Option<PathBuf>,
}

/// Print a shell's completions
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe completions bash > /etc/bash_completion.d/lvpipe
  lvpipe completions zsh > /usr/local/share/zsh/site-functions/_lvpipe
  lvpipe completions fish > ~/.config/fish/completions/lvpipe.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Shells that there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// GNU bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl Man {
    pub(super) fn run(self) -> Result<()> {
        match self.install {
            Some(directory) => install(&directory.join("man1")),
            None => show(page(self.topic.as_deref())?),
        }
    }
}

impl Completions {
    pub(super) fn run(self) -> Result<()> {
        let file = match self.shell {
            Shell::Bash => "lvpipe.bash",
            Shell::Zsh => "_lvpipe",
            Shell::Fish => "lvpipe.fish",
        };
        let found = COMPLETIONS.iter().find(|(name, _)| *name == file);
        print(found.map_or("", |(_, script)| script))
    }
}

/// The source of a subcommand's page.
fn page(topic: Option<&str>) -> Result<&'static str> {
    let file = topic.map_or("lvpipe.1".into(), |topic| format!("lvpipe-{topic}.1"));
    let found = PAGES.iter().find(|(name, _)| *name == file);
    found.map(|(_, source)| *source).ok_or_else(|| {
        let topics = PAGES.iter().filter_map(|(name, _)| name.strip_prefix("lvpipe-")?.strip_suffix(".1"));
        Error::usage("no manual page", topic.unwrap_or_default(), "it is none of lvpipe's subcommands")
            .way_out(format!("there are: {}", topics.collect::<Vec<_>>().join(", ")))
    })
}

/// On a terminal by man(1), where there is one; else its source.
fn show(source: &str) -> Result<()> {
    let man = OsStr::new("man");
    if !io::stdout().is_terminal() || !command::is_installed(man) {
        return print(source);
    }
    let failed = |e: &io::Error| Error::io("cannot show", "man", e);
    // A file named `-` is standard input: man(1), --local-file.
    let mut viewer = Command::new(man)
        .args(["--local-file", "-"])
        .env_remove(command::KEY_VARIABLE)
        .env_remove(command::TOKEN_VARIABLE)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e))?;
    let written = viewer.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(source.as_bytes()));
    let status = viewer.wait().map_err(|e| failed(&e))?;
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(failed(&e)),
        _ if status.success() => Ok(()),
        _ => Err(failed(&io::Error::other(status.to_string()))),
    }
}

fn install(directory: &std::path::Path) -> Result<()> {
    let failed = |e: &io::Error| Error::io("cannot install manual pages", directory.display(), e);
    fs::create_dir_all(directory).map_err(|e| failed(&e))?;
    PAGES.iter().try_for_each(|(name, source)| fs::write(directory.join(name), source)).map_err(|e| failed(&e))
}
