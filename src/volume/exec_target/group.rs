//! The processes of a command: ended all together where the transfer fails, before its input ends.
//!
//! The command's end of input is this process's doing at every moment but one: when this process is itself killed,
//! the system closes the pipe for it. For that there is a watchman, a shell that holds the pipe open too, and that
//! kills the command when this process has gone without dismissing it. PR_SET_PDEATHSIG would come too late: a process
//! that ends closes its files before its children are told, and only the first of them is.
//!
//! Every method may be called from any thread, and none waits for the command: what is written to it, and may be
//! blocked for long, is held elsewhere.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::command::{KEY_VARIABLE, TOKEN_VARIABLE};

/// A command's processes, those that it starts among them.
pub(super) struct Group {
    /// `None` once the command was waited for: its pid may be another's then.
    members: Mutex<Option<Members>>,
}

struct Members {
    command: Child,
    /// `None` once it was dismissed.
    watchman: Option<Child>,
}

impl Group {
    /// Starts a command in a process group of its own; with it the end of its standard input that is written.
    pub(super) fn start(command: &mut Command) -> io::Result<(Group, OwnedFd)> {
        let mut child = command
            .env_remove(KEY_VARIABLE)
            .env_remove(TOKEN_VARIABLE)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take().map(OwnedFd::from);
        // From here on it is killed where anything fails.
        let group = Group { members: Mutex::new(Some(Members { command: child, watchman: None })) };
        let ready = input.ok_or_else(|| io::ErrorKind::BrokenPipe.into()).and_then(|input| {
            group.watch(&input)?;
            Ok(input)
        });
        match ready {
            Ok(input) => Ok((group, input)),
            Err(error) => {
                group.kill();
                Err(error)
            }
        }
    }

    /// Starts the watchman: its standard input ends when this process does, its standard output is the command's input.
    fn watch(&self, input: &OwnedFd) -> io::Result<()> {
        if let Some(members) = &mut *self.lock() {
            let script = format!("read -r never; kill -s KILL -- -{}", members.command.id());
            let mut watchman = Command::new("sh");
            watchman.args(["-c", &script]).stdin(Stdio::piped()).stdout(input.try_clone()?).stderr(Stdio::null());
            // No signal for this process's group, as by Ctrl-C, is for it.
            members.watchman =
                Some(watchman.env_remove(KEY_VARIABLE).env_remove(TOKEN_VARIABLE).process_group(0).spawn()?);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Members>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All has been written: from here on the input ends when this process closes it.
    pub(super) fn let_input_end(&self) {
        if let Some(members) = &mut *self.lock() {
            members.dismiss_watchman();
        }
    }

    /// How the command has ended, if it has; asked again after that it is an error.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut members = self.lock();
        let running = members.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let ended = running.command.try_wait()?;
        if ended.is_some() {
            running.dismiss_watchman();
            *members = None;
        }
        Ok(ended)
    }

    /// Kills the command with all that it has started, unless it was seen to end.
    pub(super) fn kill(&self) {
        if let Some(mut members) = self.lock().take() {
            // Not waited for yet, it has its pid even where it has ended. A pid is an i32.
            let _ = killpg(Pid::from_raw(members.command.id() as i32), Signal::SIGKILL);
            let _ = members.command.wait();
            // After that: it holds the input.
            members.dismiss_watchman();
        }
    }
}

impl Members {
    fn dismiss_watchman(&mut self) {
        if let Some(mut watchman) = self.watchman.take() {
            // Killed before its standard input ends, which is when it would act.
            let _ = watchman.kill();
            let _ = watchman.wait();
        }
    }
}
