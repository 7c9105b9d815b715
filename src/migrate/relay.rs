//! What a command says, brought to standard error for as long as the command runs.
//!
//! Out: the end of a pipe, for the command's own output. The far side's standard error is ssh's, and a session does not
//! end before everybody has closed it: a virtual machine that the command has started would hold it for as long as it
//! runs. So it has a pipe instead. When the command has ended, what it has left may go on writing to that without harm:
//! a cat(1) reads it to nowhere, and ends with the last who has it. On a thread of its own; memory is one small buffer.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use nix::poll::{PollFd, PollFlags, poll};

use crate::command::{KEY_VARIABLE, TOKEN_VARIABLE};

/// How often it is looked whether the command has ended, where it says nothing.
const LOOK_MS: u8 = 20;

/// What a pipe holds, pipe(7): what the command had said by its end is no more than that.
const LAST_WORDS: usize = 64 << 10;

/// How long standard error may take to accept the last words: nobody may be reading it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command's output on its way.
pub(super) struct Relay {
    running: Sender<()>,
    over: Receiver<()>,
}

impl Relay {
    /// The way, and the end for the command. Close this side's copy of that when the command has been started.
    pub(super) fn start() -> io::Result<(Self, PipeWriter)> {
        let (from, to) = io::pipe()?;
        let (running, ended) = bounded::<()>(0);
        let (alive, over) = bounded::<()>(0);
        let carry = move || {
            let _alive = alive;
            if let Some(from) = relay(from, &ended) {
                drain(from);
            }
        };
        thread::Builder::new().name("relay".into()).spawn(carry)?;
        Ok((Relay { running, over }, to))
    }

    /// The command has ended: waits until what it has said has been passed on.
    pub(super) fn end(self) {
        drop(self.running);
        let _ = self.over.recv_timeout(PATIENCE);
    }
}

/// Passes on what comes, until the command has ended and all of that has come. The pipe, if somebody has it still.
fn relay(mut from: PipeReader, ended: &Receiver<()>) -> Option<PipeReader> {
    let mut buffer = [0; 4096];
    let mut left = LAST_WORDS;
    loop {
        let has_ended = ended.try_recv() == Err(TryRecvError::Disconnected);
        let wait = if has_ended { 0 } else { LOOK_MS };
        let has_come = poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], wait).is_ok_and(|count| count > 0);
        if has_ended && (!has_come || left == 0) {
            return Some(from);
        }
        if has_come {
            let length = from.read(&mut buffer).ok().filter(|length| *length > 0)?;
            // Nobody may be there to read it any more.
            let _ = io::stderr().write_all(&buffer[..length]);
            left -= if has_ended { length.min(left) } else { 0 };
        }
    }
}

/// Reads what comes from now on, beyond the end of this process. Without that, who writes would be killed by SIGPIPE.
fn drain(from: PipeReader) {
    let mut cat = Command::new("cat");
    cat.stdin(from).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).current_dir("/");
    // Where it cannot be started, there is nothing better to do.
    let _ = cat.env_remove(KEY_VARIABLE).env_remove(TOKEN_VARIABLE).spawn();
}
