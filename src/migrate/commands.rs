//! The user's own commands, that pause a virtual machine and let it go on.
//!
//! In: a command for sh(1). Out: how it ended. It runs in a process group of its own, so that Ctrl-C at the terminal
//! reaches lvpipe and not the command; its standard input is empty. The caller's thread waits for it. What it is about is
//! in its environment, and lvpipe's keys are not.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::relay::Relay;
use super::running::Running;
use crate::command::{KEY_VARIABLE, TOKEN_VARIABLE};
use crate::error::{Error, Result, Status};
use crate::stop::Stop;

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

/// Which of a migration's commands it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Makes the source's user stand still.
    Pause,
    /// Lets it go on.
    Unpause,
    /// Uses the target, on the far side.
    Done,
    /// Is for when the far side has taken over.
    Resume,
}

impl Task {
    /// Whether what it has started must be gone when it has failed, for the source goes on then: what is left of a pause
    /// command would pause it once more, what is left of a done command would use the same volume.
    fn is_undone(self) -> bool {
        matches!(self, Task::Pause | Task::Done)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Pause => "pause",
            Task::Unpause => "unpause",
            Task::Done => "done",
            Task::Resume => "resume",
        })
    }
}

/// Where a command's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To where this process's own goes.
    Inherited,
    /// To standard error, where standard output carries something else. What the command has started and left does not
    /// hold that: it has a pipe of its own.
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

    /// Runs a command to its end. What ends the run, if there is one that may, ends the command with all that it has
    /// started.
    ///
    /// # Errors
    /// When it cannot be started; when its status is not 0; what ended the run.
    pub fn run(&self, task: Task, command: &str, output: Output, stop: Option<&Stop>) -> Result<()> {
        let failed = |e: io::Error| cannot_run(task, command, &e);
        let mut shell = self.shell(command);
        let mut relay = None;
        if output == Output::ToStderr {
            let (way, to) = Relay::start().map_err(failed)?;
            shell.stdout(to.try_clone().map_err(failed)?).stderr(to);
            relay = Some(way);
        }
        let mut running = Running::start(&mut shell).map_err(failed)?;
        // It has the ends of the pipe.
        drop(shell);
        let ended = wait(&mut running, task, command, stop);
        relay.into_iter().for_each(Relay::end);
        ended
    }

    /// A command whose group is told of before it does anything: it begins when [told to](begin), and ends where it is
    /// not.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn prepare(&self, task: Task, command: &str) -> Result<Running> {
        let mut shell = self.shell("read -r go && exec sh -c \"$1\" </dev/null");
        shell.args(["sh", command]).stdin(Stdio::piped());
        Running::start(&mut shell).map_err(|e| cannot_run(task, command, &e))
    }
}

/// Lets a command begin that was [prepared](About::prepare).
pub(super) fn begin(running: &mut Running) {
    // One that has ended by now is told by its status.
    let _ = running.take_stdin().map(|mut stdin| stdin.write_all(b"go\n"));
}

/// Waits for a command's end, and for that of what a failed one has started where that must not stay.
///
/// # Errors
/// When its status is not 0; what ended the run.
pub(super) fn wait(running: &mut Running, task: Task, command: &str, stop: Option<&Stop>) -> Result<()> {
    match running.wait(stop).map_err(|e| cannot_run(task, command, &e))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            if task.is_undone() {
                running.end();
            }
            Err(Error::new(Status::Io, format!("the {task} command failed"), command, status))
        }
        None => stop.map_or(Ok(()), Stop::check),
    }
}

fn cannot_run(task: Task, command: &str, why: &io::Error) -> Error {
    Error::io(format!("cannot run the {task} command"), command, why)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::thread;
    use std::time::{Duration, Instant};

    /// Of nothing that is there.
    pub(in crate::migrate) fn about() -> About {
        About { source: "vg/vm1".into(), target: "vg/vm2".into(), host: "root@host".into() }
    }

    fn run(command: &str, stop: Option<&Stop>) -> Result<()> {
        about().run(Task::Pause, command, Output::Inherited, stop)
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
    fn what_a_failed_command_has_left_is_gone_and_what_another_has_stays() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let left = scratch.path().join("left");
        let leaves = |status: u8| format!("(sleep 0.4; touch {}) & exit {status}", left.display());
        for task in [Task::Pause, Task::Done] {
            let error = about().run(task, &leaves(7), Output::Inherited, None).expect_err("7");
            assert!(error.to_string().ends_with("exit status: 7"), "{error}");
            thread::sleep(Duration::from_millis(700));
            assert!(!left.exists(), "what the {task} command has left");
        }
        assert_eq!(run(&leaves(0), None), Ok(()));
        thread::sleep(Duration::from_millis(1000));
        assert!(left.exists(), "it is what the command was to start");
    }

    #[test]
    fn what_a_command_has_left_does_not_hold_standard_error_and_may_go_on_writing() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let (held, left) = (scratch.path().join("held"), scratch.path().join("left"));
        let command = format!(
            "readlink /proc/self/fd/2 >{}; (sleep 0.6; echo late >&2 && touch {}) & echo 'it said this'",
            held.display(),
            left.display()
        );
        let begun = Instant::now();
        assert_eq!(about().run(Task::Done, &command, Output::ToStderr, None), Ok(()));
        assert!(begun.elapsed() < Duration::from_millis(500), "it is not waited for");
        let own = std::fs::read_link("/proc/self/fd/2").expect("standard error");
        let held = std::fs::read_to_string(held).expect("written");
        assert!(!held.contains(&own.display().to_string()), "it has {held}, and {own:?} is lvpipe's");
        thread::sleep(Duration::from_millis(1000));
        assert!(left.exists(), "it was killed when it wrote");
    }

    #[test]
    fn a_command_that_is_prepared_does_nothing_before_it_is_told_to() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let begun = scratch.path().join("begun");
        let command = format!("touch {}; test -z \"$(cat)\" && test \"$LVPIPE_SOURCE\" = vg/vm1", begun.display());
        let mut running = about().prepare(Task::Pause, &command).expect("started");
        thread::sleep(Duration::from_millis(100));
        assert!(!begun.exists());
        begin(&mut running);
        assert_eq!(wait(&mut running, Task::Pause, &command, None), Ok(()));
        assert!(begun.exists());
        let mut never = about().prepare(Task::Pause, "true").expect("started");
        drop(never.take_stdin());
        assert!(wait(&mut never, Task::Pause, "true", None).is_err(), "nobody is there to tell it to");
    }

    #[test]
    fn where_nothing_may_end_it_a_command_comes_to_its_end() {
        let begun = Instant::now();
        assert_eq!(run("sleep 0.2", None), Ok(()));
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}
