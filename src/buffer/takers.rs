//! Whether those at the other end of the outputs are still there, also while there is nothing to write.
//!
//! A reader that closes its pipe, or a peer that resets its connection, is noticed by the next `write`; while the input
//! is idle there is none. So the main thread looks from time to time. In: the pipes and connections of the outputs.
//! Out: what is wrong, once all that are left are lost. One that is lost while others go on is left to its own thread.
//!
//! A reader that has closed its pipe is no loss before something was read that it did not get: it may have had all it
//! wanted, and the producer may be about to end. A connection that was reset is.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::counters::Counters;
use super::descriptor::Kind;
use super::output::Output;

/// Time between two looks.
pub const LOOK: Duration = Duration::from_millis(500);

/// The other ends of the outputs.
pub struct Takers {
    ends: Vec<Option<End>>,
    counters: Arc<Counters>,
    // What was written when all were lost at the last look.
    lost_at: Option<u64>,
}

struct End {
    fd: OwnedFd,
    is_socket: bool,
}

impl Takers {
    /// Those of these outputs. Nobody is watched where one output is no pipe or connection: it cannot be lost so.
    pub fn new(outputs: &[Output], counters: Arc<Counters>) -> Self {
        let watched = |output: &Output| match output.kind() {
            Kind::Pipe | Kind::Socket if output.path().is_none() => {
                let fd = output.as_fd().try_clone_to_owned().ok()?;
                Some(End { fd, is_socket: output.kind() == Kind::Socket })
            }
            _ => None,
        };
        let ends: Option<Vec<_>> = outputs.iter().map(|output| watched(output).map(Some)).collect();
        Takers { ends: ends.unwrap_or_default(), counters, lost_at: None }
    }

    /// Whether there is anybody to look after.
    pub fn are_watched(&self) -> bool {
        self.ends.iter().any(Option::is_some)
    }

    /// This output has reported: its end is closed here as well.
    pub fn forget(&mut self, index: usize) {
        if let Some(end) = self.ends.get_mut(index) {
            *end = None;
        }
    }

    /// The outputs that are left, with the error that a `write` would meet, if all are lost and were at the last look:
    /// a thread that writes finds out by itself in that time. Each is marked as failed.
    pub fn all_lost(&mut self) -> Vec<(usize, Errno)> {
        let mut left = self.ends.iter().enumerate().filter_map(|(index, end)| Some((index, end.as_ref()?)));
        let lost = self.are_watched() && left.all(|(index, end)| self.is_lost(index, end));
        let written = self.counters.all_written();
        let before = std::mem::replace(&mut self.lost_at, lost.then_some(written));
        if !lost || before != Some(written) {
            return Vec::new();
        }
        let left = self.ends.iter().enumerate().filter_map(|(index, end)| Some((index, end.as_ref()?)));
        left.filter(|(index, _)| self.counters.written[*index].fail())
            .map(|(index, end)| (index, end.error()))
            .collect()
    }

    fn is_lost(&self, index: usize, end: &End) -> bool {
        let written = self.counters.written[index].bytes.load(Ordering::Relaxed);
        let pending = self.counters.read.load(Ordering::Relaxed) > written;
        (end.is_socket || pending) && end.is_gone()
    }
}

impl End {
    fn is_gone(&self) -> bool {
        let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::empty())];
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        poll(&mut polled, PollTimeout::ZERO).is_ok() && polled[0].revents().is_some_and(|was| was.intersects(gone))
    }

    /// What a `write` would meet. A connection tells its own error only once.
    fn error(&self) -> Errno {
        let error = if self.is_socket { SockRef::from(&self.fd).take_error().ok().flatten() } else { None };
        error.and_then(|error| error.raw_os_error()).map_or(Errno::EPIPE, Errno::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pipe_is_gone_with_its_reader() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let end = End { fd: writer, is_socket: false };
        assert!(!end.is_gone());
        drop(reader);
        assert!(end.is_gone());
        assert_eq!(end.error(), Errno::EPIPE);
    }

    #[test]
    fn a_connection_whose_peer_only_sends_no_more_is_still_there() {
        let (here, there) = UnixStream::pair().expect("a connection");
        let end = End { fd: here.into(), is_socket: true };
        there.shutdown(std::net::Shutdown::Write).expect("closed for writing");
        assert!(!end.is_gone());
        drop(there);
        assert!(end.is_gone());
    }

    #[test]
    fn a_closed_pipe_is_lost_when_something_is_left_that_it_should_have_got() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let counters = Arc::new(Counters::new(1));
        let ends = vec![Some(End { fd: writer, is_socket: false })];
        let mut takers = Takers { ends, counters: counters.clone(), lost_at: None };
        drop(reader);
        assert_eq!([takers.all_lost(), takers.all_lost()], [vec![], vec![]]);
        counters.read.store(1, Ordering::Relaxed);
        assert_eq!(takers.all_lost(), []);
        assert_eq!(takers.all_lost(), [(0, Errno::EPIPE)]);
        assert_eq!(takers.all_lost(), [], "it has failed already");
        takers.forget(0);
        assert!(!takers.are_watched());
    }
}
