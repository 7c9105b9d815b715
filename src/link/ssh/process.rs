//! A running ssh, and how it is ended.
//!
//! Its pipes are with whoever talks to it. Ending it takes no longer than [`GRACE`]; what is asked of it meanwhile, on
//! another thread, waits for that.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{KEY_VARIABLE, TOKEN_VARIABLE};
use crate::stop::Stop;

/// How long an ssh may take to end by itself when its link has ended.
const GRACE: Duration = Duration::from_millis(500);
/// How long it may take to tell how the command there has ended, when that says no more: a way there and back.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A running ssh.
#[derive(Clone)]
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
}

/// An ssh that is ended when this is dropped, unless it was [let go](Starting::started).
pub(super) struct Starting {
    process: Option<Process>,
}

impl Process {
    /// Starts it; what it reads and what it writes. Close them before it is ended, so that it can do so by itself.
    pub(super) fn start(command: &mut Command) -> io::Result<(Starting, Process, File, File)> {
        let mut child = command
            .env_remove(KEY_VARIABLE)
            .env_remove(TOKEN_VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let process = Process { child: Arc::new(Mutex::new(child)) };
        let starting = Starting { process: Some(process.clone()) };
        let (to, from) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((starting, process, File::from(OwnedFd::from(to)), File::from(OwnedFd::from(from))))
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.try_wait(), Ok(None))
    }

    fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()
    }

    /// How it has ended, once it says no more; `None` where it does not end soon, or the run has.
    pub(super) fn wait(&self, stop: &Stop) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            match self.try_wait() {
                Ok(None) if begun.elapsed() < LAST_WORDS => stop.sleep(LOOK).ok()?,
                ended => return ended.ok().flatten(),
            }
        }
    }

    /// Gives it a moment to end by itself, as it does when its standard input has ended.
    pub(super) fn end(&self) {
        let begun = Instant::now();
        while let Ok(None) = self.try_wait() {
            if begun.elapsed() > GRACE {
                let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
                // What cannot be killed has ended.
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

impl Starting {
    /// It has been started: who has its link ends it.
    pub(super) fn started(mut self) {
        self.process = None;
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.end();
        }
    }
}
