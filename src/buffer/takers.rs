//! Whether those at the other end of the outputs are still there, also while there is nothing to write.
//!
//! A reader that closes its pipe, or a peer that resets its connection, is noticed by the next `write`; while the input
//! is idle there is none. So the main thread looks from time to time, at each of them by itself. In: the pipes and
//! connections of the outputs. Out: which are lost, and why.
//!
//! A reader that has closed its pipe is no loss before something was read that it did not get: it may have had all it
//! wanted, and the producer may be about to end. A connection that was reset is.
//!
//! What is looked at is a second descriptor of the output's, which keeps it open. So the output's thread lets go of it
//! before it closes the output, for the next volume or at the end.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection;
use super::counters::Counters;
use super::descriptor::Kind;
use super::output::Output;

/// Time between two looks.
pub const LOOK: Duration = Duration::from_millis(500);

/// Where an output leads, shared by its thread and the main thread; nothing while there is nobody to look after.
#[derive(Clone, Default)]
pub struct OtherEnd(Arc<Mutex<Option<End>>>);

struct End {
    fd: OwnedFd,
    is_socket: bool,
}

impl OtherEnd {
    /// That of this output from now on, if it is a pipe or connection.
    pub fn watch(&self, output: &Output) {
        let is_socket = output.kind() == Kind::Socket;
        let watched = is_socket || output.kind() == Kind::Pipe;
        // Without a second descriptor the loss is noticed by the next write.
        let fd = watched.then(|| output.as_fd().try_clone_to_owned().ok()).flatten();
        *self.lock() = fd.map(|fd| End { fd, is_socket });
    }

    /// The output is about to be closed.
    pub fn let_go(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<End>> {
        // A descriptor is there or not, also where a thread panicked meanwhile.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other ends of the outputs.
pub struct Takers {
    ends: Vec<Watched>,
    /// What was written.
    pub(super) counters: Arc<Counters>,
}

struct Watched {
    end: OtherEnd,
    // It may be watched: it was a pipe or connection at the start, and has not reported.
    is_watched: bool,
    // What had been written there when it was lost at the last look.
    lost_at: Option<u64>,
}

impl Takers {
    /// Those of these outputs.
    pub fn new(outputs: &[Output], counters: Arc<Counters>) -> Self {
        let watched = |output: &Output| {
            let end = OtherEnd::default();
            end.watch(output);
            let is_watched = end.lock().is_some();
            Watched { end, is_watched, lost_at: None }
        };
        Takers { ends: outputs.iter().map(watched).collect(), counters }
    }

    /// That of the output with this place, for its own thread.
    pub fn end(&self, index: usize) -> OtherEnd {
        self.ends[index].end.clone()
    }

    /// Whether there is anybody to look after.
    pub fn are_watched(&self) -> bool {
        self.ends.iter().any(|watched| watched.is_watched)
    }

    /// This output has reported.
    pub fn forget(&mut self, index: usize) {
        self.ends[index].is_watched = false;
        self.ends[index].end.let_go();
    }

    /// The outputs that are lost and were at the last look, with the error that a `write` would meet: a thread that
    /// writes finds out by itself in that time. Each is marked as failed.
    pub fn lost(&mut self) -> Vec<(usize, Errno)> {
        let mut lost = Vec::new();
        for (index, watched) in self.ends.iter_mut().enumerate().filter(|(_, watched)| watched.is_watched) {
            let count = &self.counters.written[index];
            let written = count.bytes.load(Ordering::Relaxed);
            let pending = self.counters.read.load(Ordering::Relaxed) > written;
            let end = watched.end.lock();
            let Some(gone) = end.as_ref().filter(|end| end.is_lost(pending)) else {
                watched.lost_at = None;
                continue;
            };
            let again = watched.lost_at.replace(written) == Some(written);
            if again && count.fail() {
                lost.push((index, gone.error()));
            }
        }
        lost
    }
}

impl End {
    /// `pending`: something is left that it should have got.
    fn is_lost(&self, pending: bool) -> bool {
        let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::empty())];
        if poll(&mut polled, PollTimeout::ZERO).is_err() {
            return false;
        }
        let was = polled[0].revents().unwrap_or(PollFlags::empty());
        // A pipe without a reader has this error as well.
        let reset = self.is_socket && was.contains(PollFlags::POLLERR);
        reset || pending && was.intersects(PollFlags::POLLERR | PollFlags::POLLHUP)
    }

    /// What a `write` would meet. A connection tells its own error only once.
    fn error(&self) -> Errno {
        let error = if self.is_socket { connection::error(self.fd.as_fd()) } else { None };
        error.unwrap_or(Errno::EPIPE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn watch(end: End) -> (Takers, Arc<Counters>) {
        let counters = Arc::new(Counters::new(1));
        let end = OtherEnd(Arc::new(Mutex::new(Some(end))));
        let ends = vec![Watched { end, is_watched: true, lost_at: None }];
        (Takers { ends, counters: counters.clone() }, counters)
    }

    #[test]
    fn a_connection_whose_peer_only_sends_no_more_is_still_there() {
        let (here, there) = UnixStream::pair().expect("a connection");
        let end = End { fd: here.into(), is_socket: true };
        there.shutdown(std::net::Shutdown::Write).expect("closed for writing");
        assert!(!end.is_lost(true));
        drop(there);
        assert!(end.is_lost(true));
        assert!(!end.is_lost(false), "it has had all");
        assert_eq!(end.error(), Errno::EPIPE);
    }

    #[test]
    fn a_connection_with_an_error_is_lost_whatever_it_has_had() {
        let (mut here, there) = UnixStream::pair().expect("a connection");
        here.write_all(b"unread").expect("taken");
        drop(there);
        let (mut takers, _) = watch(End { fd: here.into(), is_socket: true });
        assert_eq!(takers.lost(), []);
        assert_eq!(takers.lost(), [(0, Errno::ECONNRESET)]);
    }

    #[test]
    fn a_closed_pipe_is_lost_when_something_is_left_that_it_should_have_got() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let (mut takers, counters) = watch(End { fd: writer, is_socket: false });
        counters.read.store(1, Ordering::Relaxed);
        assert_eq!([takers.lost(), takers.lost()], [vec![], vec![]], "there is a reader");
        counters.read.store(0, Ordering::Relaxed);
        drop(reader);
        assert_eq!([takers.lost(), takers.lost()], [vec![], vec![]]);
        counters.read.store(1, Ordering::Relaxed);
        assert_eq!(takers.lost(), []);
        assert_eq!(takers.lost(), [(0, Errno::EPIPE)]);
        assert_eq!(takers.lost(), [], "it has failed already");
        takers.forget(0);
        assert!(!takers.are_watched());
    }
}
