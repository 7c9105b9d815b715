//! The terminal behind standard error, and who of several lvpipes draws on it.
//!
//! In `lvpipe send a | lvpipe recv b` two processes share one terminal, and two bars would tear each other. Whoever
//! draws holds an flock(2) on the terminal's own device node: there is no lock file to place, to leave behind or to
//! attack, and the kernel lets it go however the holder ends. The lock belongs to a file description opened for it,
//! as the one inherited from the shell is shared by both processes. The receiver leaves the sender some time to be
//! first, since the sender knows how much there is to do before any byte flows; it takes over when the sender ends.
//! Where the terminal cannot be locked (it belongs to another user, as after `su`), nobody draws: plain lines and
//! the summary remain.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, stderr};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::figures::Role;

/// How long the receiver leaves the terminal to a sender that may be starting beside it.
const RECEIVER_WAITS: Duration = Duration::from_millis(500);
/// Width where the terminal does not tell.
const USUAL_WIDTH: usize = 80;

/// Whether a bar can be drawn on standard error at all.
pub(super) fn can_draw() -> bool {
    stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| !term.is_empty() && term != "dumb")
}

/// Whether colours are wanted: <https://no-color.org>.
pub(super) fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal, as of now.
pub(super) fn width() -> usize {
    terminal_size::terminal_size_of(stderr()).map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0))
}

/// Whether this process may draw now: a job in the background leaves the terminal to the one in front.
pub(super) fn is_in_front() -> bool {
    // Not our controlling terminal (ENOTTY): nobody could put us in the background there.
    tcgetpgrp(stderr()).is_ok_and(|front| front == getpgrp()) || tcgetpgrp(stderr()).is_err()
}

/// The right to draw on the terminal.
#[derive(Debug)]
pub(super) enum Turn {
    /// Not asked for yet.
    Waiting,
    /// Ours until this is dropped.
    Ours(#[allow(dead_code, reason = "held, not read")] Flock<File>),
    /// Another lvpipe draws.
    Theirs,
    /// The terminal cannot be locked.
    Never,
}

impl Turn {
    /// Asks for the right to draw, unless it is held or cannot be had; `waited` is the time since the start.
    pub fn ask(&mut self, role: Role, waited: Duration) {
        let is_early = role == Role::Recv && waited < RECEIVER_WAITS;
        if is_early || matches!(self, Turn::Ours(_) | Turn::Never) {
            return;
        }
        *self = match open_own_description() {
            Err(_) => Turn::Never,
            Ok(terminal) => match Flock::lock(terminal, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => Turn::Ours(lock),
                Err((_, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => Turn::Theirs,
                Err(_) => Turn::Never,
            },
        };
    }

    /// Whether the right to draw is held.
    pub fn is_ours(&self) -> bool {
        matches!(self, Turn::Ours(_))
    }
}

/// Opens the terminal behind standard error anew, without making it the controlling terminal.
fn open_own_description() -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open("/proc/self/fd/2")
}
