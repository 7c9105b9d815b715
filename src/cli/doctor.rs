//! `lvpipe doctor`: what this host lacks for which feature, and the command that gives it.

mod checks;
mod device_mapper;
mod host;

use std::io::{self, Write};

use clap::Args;

use crate::error::{Error, Result, Status};
use checks::Finding;
use host::Host;

/// Say what this host lacks for which feature, and how to get it
///
/// Nothing is changed. The exit status is 1 where a feature cannot be used at all; what only makes it slower, or
/// cannot be told from here, is said, and does not count.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe doctor                                         what is there, and what is not
  lvpipe doctor --json | jq '.[] | select(.state != \"ok\")'
  ssh root@host lvpipe doctor                           the other side")]
pub struct Doctor {
    /// Print a JSON array: for each check what it is for, what was found, its state, and the way out
    #[arg(long)]
    json: bool,
}

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is as it should be.
    Ok,
    /// It works, but slower or less well than it could.
    Limited,
    /// What it is for does not work.
    Missing,
    /// It cannot be told from here.
    Unknown,
}

impl Doctor {
    pub(super) fn run(self) -> Result<()> {
        let findings = checks::all(&Host::this());
        let text = match self.json {
            true => {
                serde_json::to_string(&findings).map_err(|e| Error::io("cannot print", "stdout", &e.into()))? + "\n"
            }
            false => findings.iter().map(shown).collect(),
        };
        match io::stdout().write_all(text.as_bytes()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(Error::io("cannot print", "stdout", &e)),
            _ => {}
        }
        let missing: Vec<_> = findings.iter().filter(|found| found.state == State::Missing).collect();
        match missing.len() {
            0 => Ok(()),
            count => {
                let checks = findings.len();
                Err(Error::new(
                    Status::Io,
                    "not all can be used here",
                    format!("{count} of {checks} checks"),
                    "see above",
                ))
            }
        }
    }
}

/// A finding in one line, or with its way out in two.
fn shown(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok",
        State::Limited => "limited",
        State::Missing => "MISSING",
        State::Unknown => "unknown",
    };
    let line = format!("{state:<8} {:<28} {}\n", finding.what, finding.found);
    match &finding.way_out {
        Some(way_out) => format!("{line}         for {}: {way_out}\n", finding.used_for),
        None => line,
    }
}
