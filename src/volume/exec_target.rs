//! A command that takes the volume on its standard input: `--exec`.
//!
//! It sees the end of its input only when all has been verified, and counts as done only when it has ended with
//! status 0. Where the transfer fails it is killed instead: an early end would look to it like a whole stream.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{StreamTarget, Target};
use crate::error::{Error, Result, Status};

/// A command's standard input, written densely and in order.
pub struct ExecTarget {
    command: String,
    /// `None` once the input has ended, or the command was killed.
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    input: StreamTarget,
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
    /// Starts `command` with sh(1).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &str, output: ExecOutput) -> Result<Self> {
        let failed = |e: io::Error| Error::io("cannot start command", command, &e);
        let stdout = match output {
            ExecOutput::Inherited => Stdio::inherit(),
            ExecOutput::ToStderr => Stdio::from(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?),
        };
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let input = StreamTarget::new(File::from(OwnedFd::from(stdin)), command);
        Ok(ExecTarget { command: command.into(), running: Mutex::new(Some(Running { child, input })) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_input(&self, work: impl FnOnce(&StreamTarget) -> Result<()>) -> Result<()> {
        match &*self.lock() {
            Some(running) => work(&running.input),
            None => Err(Error::new(Status::Io, "cannot write target", &self.command, "its input has ended")),
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
        let Some(Running { mut child, input }) = self.lock().take() else { return Ok(()) };
        drop(input);
        let status = child.wait().map_err(|e| Error::io("cannot wait for command", &self.command, &e))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(Status::Io, "command failed", &self.command, status))
    }
}

impl Drop for ExecTarget {
    fn drop(&mut self) {
        if let Some(mut running) = self.lock().take() {
            // Before its input ends, and with all that it has started: they are a process group of their own. What
            // has ended already cannot be killed, and need not be. A pid is an i32.
            let _ = killpg(Pid::from_raw(running.child.id() as i32), Signal::SIGKILL);
            let _ = running.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gets_all_of_it_and_its_status_counts() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let copy = folder.path().join("copy");
        let target = ExecTarget::start(&format!("cat > {}", copy.display()), ExecOutput::Inherited).expect("sh");
        target.write(0, b"data").expect("it reads");
        target.hole(4, 3).expect("it reads");
        target.finish(7).expect("cat ends well");
        assert_eq!(std::fs::read(&copy).expect("it is there"), b"data\0\0\0");
        let target = ExecTarget::start("cat >/dev/null; exit 3", ExecOutput::Inherited).expect("sh");
        let error = target.finish(0).expect_err("status 3");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_transfer_that_fails_is_no_end_of_input() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let done = folder.path().join("done");
        let command = format!("cat >/dev/null; touch {}", done.display());
        drop(ExecTarget::start(&command, ExecOutput::Inherited).expect("sh"));
        // It would need but a moment.
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!done.exists());
    }
}
