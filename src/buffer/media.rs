//! Changing the medium: one volume is full, or read to its end, and the next one is asked for.
//!
//! Runs on the reader's or an output's own thread, which waits here for a command or a person; everybody else goes
//! on until the buffer is full or empty. A command that fails, or a terminal that goes away, ends the input or
//! output with an error: nothing waits for somebody who is not there.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::counters::Counters;
use super::log::Log;
use super::question::Terminal;
use crate::command::{KEY_VARIABLE, TOKEN_VARIABLE};

/// What `-A` and `-a` say about the machine that changes volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Autoload {
    /// `-A`: run by `sh -c`.
    pub command: Option<OsString>,
    /// `-a`, or `autoloadtime`: seconds to wait after the command.
    pub seconds: u64,
    /// `-a` was an option: without a command it then means an `mt` that takes the medium out.
    pub by_time: bool,
}

impl Autoload {
    /// Whether there is such a machine.
    pub fn is_there(&self) -> bool {
        self.command.is_some() || self.by_time
    }
}

/// Which side asks for a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The reader.
    Input,
    /// The main output.
    Output,
}

/// Who changes volumes.
#[derive(Debug, Clone, Default)]
pub struct Changer {
    /// By command.
    pub autoload: Autoload,
    /// Whether fd 0 carries the data: then no command may read it.
    pub stdin_is_data: bool,
    /// Whether fd 1 carries the data: then no command may write to it.
    pub stdout_is_data: bool,
    /// Where a person is asked.
    pub terminal: Arc<Terminal>,
}

/// What became of the wish for another volume.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Done,
    /// There is nobody to ask.
    Nobody,
    /// The user has no more.
    NoMore,
    /// It was asked for in vain; the message says why.
    Failed(String),
}

impl Changer {
    /// Whether somebody could be asked: a command, or a person at fd 2.
    pub fn can_ask(&self) -> bool {
        self.autoload.is_there() || Terminal::is_there()
    }

    /// Asks for volume number `volume` of `device`, which is closed; the first of the run was 1. `written` is how many
    /// bytes its output, or else the main one, has got so far.
    pub fn change(
        &self,
        side: Side,
        device: &Path,
        volume: u64,
        written: u64,
        counters: &Counters,
        log: &Log,
    ) -> Change {
        let start = Instant::now();
        let change = if self.autoload.is_there() {
            self.run_command(side, device, volume, written, counters, log)
        } else if Terminal::is_there() {
            self.ask(side, log)
        } else {
            Change::Nobody
        };
        if change == Change::Done {
            let seconds = start.elapsed().as_secs_f64();
            log.info(&format!("tape-change took {seconds:.6}sec. - continuing with next volume"));
        }
        change
    }

    fn ask(&self, side: Side, log: &Log) -> Change {
        match side {
            Side::Output if self.terminal.ask_for_medium(log) => Change::Done,
            Side::Output => Change::Failed("the terminal went away before a new volume was there".into()),
            Side::Input if self.terminal.ask_for_more(log) => Change::Done,
            Side::Input => Change::NoMore,
        }
    }

    fn run_command(
        &self,
        side: Side,
        device: &Path,
        volume: u64,
        written: u64,
        counters: &Counters,
        log: &Log,
    ) -> Change {
        let mut command = match &self.autoload.command {
            Some(text) => shell(text),
            None => {
                let mut command = Command::new("mt");
                command.arg("-f").arg(device).arg("offline");
                command
            }
        };
        let shown = match &self.autoload.command {
            Some(text) => text.to_string_lossy().into_owned(),
            None => format!("mt -f {} offline", device.display()),
        };
        let direction = if side == Side::Input { "input" } else { "output" };
        log.info(&format!("requesting new {direction} volume with command '{shown}'"));
        command.env("MBUFFER_VOL", volume.to_string());
        command.env("MBUFFER_NUMIN", counters.read.load(Ordering::Relaxed).to_string());
        command.env("MBUFFER_NUMOUT", written.to_string());
        command.env_remove(KEY_VARIABLE).env_remove(TOKEN_VARIABLE);
        if self.stdin_is_data {
            command.stdin(Stdio::null());
        }
        if self.stdout_is_data {
            command.stdout(io::stderr());
        }
        let code = match command.status() {
            Ok(status) if status.success() => {
                // The user asked for this wait: it is no stall.
                counters.rests.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_secs(self.autoload.seconds));
                counters.rests.fetch_add(1, Ordering::Relaxed);
                return Change::Done;
            }
            Ok(status) => status.code(),
            Err(error) => {
                return Change::Failed(format!(
                    "error running \"{shown}\" to change volume in autoloader - {}",
                    super::reason(&error)
                ));
            }
        };
        let how = code.map_or_else(|| "killed by a signal".into(), |code| format!("exitcode {code}"));
        Change::Failed(format!("error running \"{shown}\" to change volume in autoloader - {how}"))
    }
}

fn shell(text: &OsString) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(text);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changer(command: &str) -> Changer {
        let autoload = Autoload { command: Some(command.into()), ..Autoload::default() };
        Changer { autoload, stdin_is_data: true, stdout_is_data: true, ..Changer::default() }
    }

    #[test]
    fn the_command_learns_the_figures_from_its_environment() {
        let command = "test $MBUFFER_VOL = 2 && test $MBUFFER_NUMIN = 300 && test $MBUFFER_NUMOUT = 200";
        let (log, counters) = (Log::new("mbuffer"), Counters::new(1));
        counters.read.store(300, Ordering::Relaxed);
        assert_eq!(changer(command).change(Side::Output, Path::new("x"), 2, 200, &counters, &log), Change::Done);
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_status() {
        let change =
            changer("exit 3").change(Side::Output, Path::new("x"), 2, 0, &Counters::new(1), &Log::new("mbuffer"));
        let expected = "error running \"exit 3\" to change volume in autoloader - exitcode 3";
        assert_eq!(change, Change::Failed(expected.into()));
    }
}
