//! A command that takes the volume on its standard input: `--exec`.
//!
//! It sees the end of its input only when all has been verified, and counts as done only when it has ended with
//! status 0. Where the transfer fails it is killed instead: an early end would look to it like a whole stream.
//!
//! A write to it blocks for as long as it does not read, on a thread that nobody waits for when the run has ended. So
//! who kills it is not the target, which that thread holds, but a [`CommandGuard`] that is held with the run.

mod group;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{StreamTarget, Target};
use crate::error::{Error, Result, Status};
use crate::stop::Stop;
use group::Group;

/// How often it is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(50);

/// A command's standard input, written densely and in order.
pub struct ExecTarget {
    command: String,
    /// `None` once it has ended. Locked while it is written.
    input: Mutex<Option<StreamTarget>>,
    group: Arc<Group>,
    stop: Stop,
}

/// Dropped, it kills the command with all that it has started, unless it has ended by then. To be dropped before this
/// process ends.
pub struct CommandGuard {
    group: Arc<Group>,
}

/// Where a command's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecOutput {
    /// To this process's own.
    Inherited,
    /// To standard error, where standard output carries something else.
    ToStderr,
}

impl ExecTarget {
    /// Starts `command` with sh(1). What ends the run kills it, even when it has all of its input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &str, output: ExecOutput, stop: &Stop) -> Result<(Self, CommandGuard)> {
        let failed = |e: io::Error| Error::io("cannot start command", command, &e);
        let stdout = match output {
            ExecOutput::Inherited => Stdio::inherit(),
            ExecOutput::ToStderr => Stdio::from(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?),
        };
        let (group, input) =
            Group::start(Command::new("sh").arg("-c").arg(command).stdout(stdout)).map_err(failed)?;
        let group = Arc::new(group);
        let guard = CommandGuard { group: group.clone() };
        let input = Mutex::new(Some(StreamTarget::new(File::from(input), command)));
        Ok((ExecTarget { command: command.into(), input, group, stop: stop.clone() }, guard))
    }

    fn with_input(&self, work: impl FnOnce(&StreamTarget) -> Result<()>) -> Result<()> {
        match &*self.input.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(input) => work(input),
            None => Err(Error::new(Status::Io, "cannot write target", &self.command, "its input has ended")),
        }
    }

    /// Waits until the command has ended, or the run.
    fn wait(&self) -> Result<ExitStatus> {
        loop {
            let ended = self.group.try_wait();
            if let Some(status) = ended.map_err(|e| Error::io("cannot wait for command", &self.command, &e))? {
                return Ok(status);
            }
            if self.stop.sleep(LOOK).is_err() {
                self.group.kill();
                self.stop.check()?;
            }
        }
    }
}

impl Target for ExecTarget {
    fn in_order(&self) -> bool {
        true
    }

    fn begin(&self, _size: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.with_input(|input| input.write(offset, data))
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        self.with_input(|input| input.hole(offset, length))
    }

    fn finish(&self, _size: u64) -> Result<()> {
        self.group.let_input_end();
        drop(self.input.lock().unwrap_or_else(PoisonError::into_inner).take());
        let status = self.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(Status::Io, "command failed", &self.command, status))
    }
}

impl Drop for ExecTarget {
    fn drop(&mut self) {
        // Before its input ends.
        self.group.kill();
    }
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        self.group.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::thread;
    use std::time::Instant;

    fn start(command: &str) -> (ExecTarget, CommandGuard) {
        ExecTarget::start(command, ExecOutput::Inherited, &Stop::new()).expect("sh")
    }

    /// A command that takes a moment before it reads, and what it leaves when its input has ended.
    fn slow_to_read(folder: &Path) -> (String, PathBuf) {
        let done = folder.join("done");
        (format!("sleep 0.3; cat >/dev/null; touch {}", done.display()), done)
    }

    #[track_caller]
    fn assert_never(done: &Path) {
        thread::sleep(Duration::from_millis(600));
        assert!(!done.exists());
    }

    #[test]
    fn a_command_gets_all_of_it_and_its_status_counts() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let copy = folder.path().join("copy");
        let (target, _guard) = start(&format!("cat > {}", copy.display()));
        target.write(0, b"data").expect("it reads");
        target.hole(4, 3).expect("it reads");
        target.finish(7).expect("cat ends well");
        assert_eq!(std::fs::read(&copy).expect("it is there"), b"data\0\0\0");
        let (target, _guard) = start("cat >/dev/null; exit 3");
        let error = target.finish(0).expect_err("status 3");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_transfer_that_fails_is_no_end_of_input() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let (command, done) = slow_to_read(folder.path());
        drop(start(&command).0);
        assert_never(&done);
    }

    #[test]
    fn a_command_is_killed_while_a_write_to_it_blocks() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let (command, done) = slow_to_read(folder.path());
        let (target, guard) = start(&command);
        let writing = thread::spawn(move || target.write(0, &[1; 16 << 20]));
        thread::sleep(Duration::from_millis(100));
        assert!(!writing.is_finished(), "the pipe has not so much room");
        let begun = Instant::now();
        drop(guard);
        assert!(begun.elapsed() < Duration::from_millis(150), "it is not waited for");
        writing.join().expect("no panic").expect_err("nobody reads it");
        assert_never(&done);
    }

    #[test]
    fn a_command_that_takes_long_when_it_has_all_ends_with_the_run() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let done = folder.path().join("done");
        let command = format!("cat >/dev/null; sleep 0.5; touch {}", done.display());
        let stop = Stop::new();
        let (target, _guard) = ExecTarget::start(&command, ExecOutput::Inherited, &stop).expect("sh");
        let begun = Instant::now();
        let finishing = thread::spawn(move || target.finish(0));
        thread::sleep(Duration::from_millis(100));
        stop.fail(Error::signal(15));
        assert_eq!(finishing.join().expect("no panic"), Err(Error::signal(15)));
        assert!(begun.elapsed() < Duration::from_millis(400), "at once");
        assert_never(&done);
    }

    #[test]
    fn a_guard_lets_a_command_be_that_has_ended_well() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let left = folder.path().join("left");
        let (target, guard) = start(&format!("(sleep 0.3; touch {}) & cat > /dev/null", left.display()));
        target.finish(0).expect("cat ends well");
        drop((target, guard));
        thread::sleep(Duration::from_millis(600));
        assert!(left.exists(), "what it has left running is its own affair");
    }
}
