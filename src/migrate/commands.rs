//! The user's own commands, that pause a virtual machine and let it go on.
//!
//! In: a command for sh(1). Out: how it ended. It runs in a process group of its own, so that Ctrl-C at the terminal
//! reaches lvpipe and not the command; its standard input is empty. The caller's thread waits for it, and sees its end
//! within [`LOOK`]. What it is about is in its environment, and lvpipe's keys are not.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::command::{KEY_VARIABLE, TOKEN_VARIABLE};
use crate::error::{Error, Result, Status};
use crate::stop::Stop;

/// How often it is looked whether a command has ended: a virtual machine stands still meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// How long a command that is told to end may take to do so.
const GRACE: Duration = Duration::from_secs(2);

/// What a migration's commands are about: their environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// `vg/lv`: `LVPIPE_SOURCE`.
    pub source: String,
    /// The target's name on the far side: `LVPIPE_TARGET`.
    pub target: String,
    /// The far side, as ssh was given it: `LVPIPE_HOST`.
    pub host: String,
}

/// Where a command's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To this process's own.
    Inherited,
    /// To standard error, where standard output carries something else.
    ToStderr,
}

impl About {
    /// sh(1) with this command, not started.
    pub(super) fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .env("LVPIPE_SOURCE", &self.source)
            .env("LVPIPE_TARGET", &self.target)
            .env("LVPIPE_HOST", &self.host)
            .env_remove(KEY_VARIABLE)
            .env_remove(TOKEN_VARIABLE)
            .stdin(Stdio::null())
            .process_group(0);
        shell
    }

    /// Runs a command to its end. `what` it is, for messages. What ends the run, if there is one that may, ends the
    /// command with all that it has started.
    ///
    /// # Errors
    /// When it cannot be started; when its status is not 0; what ended the run.
    pub fn run(&self, what: &str, command: &str, output: Output, stop: Option<&Stop>) -> Result<()> {
        let failed = |e: io::Error| Error::io(format!("cannot run the {what} command"), command, &e);
        let mut shell = self.shell(command);
        if output == Output::ToStderr {
            shell.stdout(Stdio::from(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?));
        }
        let mut child = shell.spawn().map_err(failed)?;
        loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                if status.success() {
                    return Ok(());
                }
                return Err(Error::new(Status::Io, format!("the {what} command failed"), command, status));
            }
            match stop {
                Some(stop) if stop.sleep(LOOK).is_err() => {
                    end(&mut child);
                    stop.check()?;
                }
                Some(_) => {}
                None => thread::sleep(LOOK),
            }
        }
    }
}

/// Ends a command that was not waited for, and what it has started.
fn end(child: &mut Child) {
    // A pid is an i32; it is the command's for as long as nobody has waited for it.
    let group = Pid::from_raw(child.id() as i32);
    let _ = killpg(group, Signal::SIGTERM);
    let begun = Instant::now();
    while begun.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(LOOK);
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of nothing that is there.
    pub(in crate::migrate) fn about() -> About {
        About { source: "vg/vm1".into(), target: "vg/vm2".into(), host: "root@host".into() }
    }

    fn run(command: &str, stop: Option<&Stop>) -> Result<()> {
        about().run("pause", command, Output::Inherited, stop)
    }

    #[test]
    fn a_command_knows_what_it_is_about_and_its_status_counts() {
        let words = "test \"$LVPIPE_SOURCE $LVPIPE_TARGET $LVPIPE_HOST\" = 'vg/vm1 vg/vm2 root@host'";
        assert_eq!(run(words, None), Ok(()));
        assert_eq!(run("test -z \"$(cat)\"", None), Ok(()), "its standard input is empty");
        let error = run("exit 7", Some(&Stop::new())).expect_err("7");
        assert_eq!(error.to_string(), "the pause command failed: exit 7: exit status: 7");
    }

    #[test]
    fn what_ends_the_run_ends_the_command_and_what_it_has_started() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let left = scratch.path().join("left");
        let stop = Stop::new();
        let ending = {
            let stop = stop.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(100));
                stop.fail(Error::signal(2));
            })
        };
        let begun = Instant::now();
        let command = format!("(sleep 1; touch {}) & wait", left.display());
        assert_eq!(run(&command, Some(&stop)), Err(Error::signal(2)));
        assert!(begun.elapsed() < Duration::from_millis(800), "at once");
        ending.join().expect("no panic");
        thread::sleep(Duration::from_millis(1200));
        assert!(!left.exists());
    }

    #[test]
    fn where_nothing_may_end_it_a_command_comes_to_its_end() {
        let begun = Instant::now();
        assert_eq!(run("sleep 0.2", None), Ok(()));
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}
