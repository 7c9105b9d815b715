//! What every TCP connection gets, and waiting for one no longer than till a deadline or the end of the run.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, TcpKeepalive};

use crate::stop::Stop;

/// How long a run that has ended may go unnoticed.
pub(super) const NOTICE: Duration = Duration::from_millis(100);

/// Bytes that may wait in a connection's send buffer without being sent.
const MOST_UNSENT: u32 = 256 << 10;

/// Sets what holds for every connection, dialled or accepted.
///
/// No delay: the writers hand over whole frames, and the small ones are answers that somebody waits for. Keepalive:
/// an idle connection whose peer is gone ends after some half a minute. Buffers are left to the kernel, whose
/// autotuning goes to tcp_wmem and tcp_rmem's last value; SO_SNDBUF and SO_RCVBUF would end it, and are capped by
/// the often much smaller net.core.wmem_max and rmem_max. TCP_USER_TIMEOUT stays unset: it also ends connections
/// whose peer is well, but has not taken anything for that time because its target is slow (tried on Linux 6.18:
/// 3 s of it ended such a connection after 3.5 s). A peer that is gone is the session's to notice, by signs of life.
///
/// A link takes its next part when the last one is written. What waits unsent is bounded, or a slow link takes parts
/// by the megabyte into its send buffer, and in the end all wait for it (TCP_NOTSENT_LOWAT, tcp(7)); what is on its
/// way is not, so that a long line is still filled.
pub(super) fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    let socket = SockRef::from(socket);
    // Where it cannot be had, a slow link only carries more than it should.
    let _ = socket.set_tcp_notsent_lowat(MOST_UNSENT);
    socket.set_tcp_keepalive(&keepalive)
}

/// Until when something may take, and the run it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Deadline<'a> {
    at: Instant,
    stop: &'a Stop,
}

impl<'a> Deadline<'a> {
    pub(super) fn after(time: Duration, stop: &'a Stop) -> Self {
        Deadline { at: Instant::now() + time, stop }
    }

    /// How much of it is left; zero when it has passed.
    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Waits for one of `fds` until the deadline, or `no_longer_than`; how many are ready, 0 when that time has passed.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when the deadline has passed; another when the run has ended.
    pub(super) fn poll(&self, fds: &mut [PollFd<'_>], no_longer_than: Duration) -> io::Result<usize> {
        let until = Instant::now() + no_longer_than.min(self.left());
        loop {
            if self.stop.is_set() {
                return Err(io::Error::other("the run has ended"));
            }
            let left = until.saturating_duration_since(Instant::now());
            match poll(fds, timeout(left.min(NOTICE))) {
                Ok(0) if self.left().is_zero() => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) if left.is_zero() => return Ok(0),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(ready) => return Ok(ready as usize),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn wait(&self, socket: &TcpStream, event: PollFlags) -> io::Result<()> {
        self.poll(&mut [PollFd::new(socket.as_fd(), event)], self.left()).map(drop)
    }
}

/// In milliseconds, rounded up, so that nobody spins through the last one.
pub(super) fn timeout(time: Duration) -> PollTimeout {
    let millis = time.as_micros().div_ceil(1000);
    PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
}

/// A socket during its handshake: reads and writes end at the deadline, and with the run.
pub(super) struct Timely<'a> {
    pub(super) socket: &'a TcpStream,
    pub(super) deadline: Deadline<'a>,
}

impl Timely<'_> {
    /// Waits for the first bytes and looks at them without taking them. Fewer than there is room for means that no
    /// more have come yet; none, that the peer has closed.
    pub(super) fn peek<'b>(&self, into: &'b mut [u8]) -> io::Result<&'b [u8]> {
        self.deadline.wait(self.socket, PollFlags::POLLIN)?;
        let seen = self.socket.peek(into)?;
        Ok(&into[..seen])
    }
}

impl Read for Timely<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.deadline.wait(self.socket, PollFlags::POLLIN)?;
        self.socket.read(into)
    }
}

impl Write for Timely<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.deadline.wait(self.socket, PollFlags::POLLOUT)?;
            // Writable means room for some of it; a plain write would wait for room for all.
            let socket = SockRef::from(self.socket);
            match socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        (near, listener.accept().expect("dialled").0)
    }

    #[test]
    fn a_silent_or_full_peer_ends_at_the_deadline() {
        let ((near, _far), stop) = (pair(), Stop::new());
        let started = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(150), &stop);
        let mut timely = Timely { socket: &near, deadline };
        assert_eq!(timely.read(&mut [0; 8]).expect_err("silent").kind(), io::ErrorKind::TimedOut);
        let started_writing = Instant::now();
        let mut timely = Timely { socket: &near, deadline: Deadline::after(Duration::from_millis(150), &stop) };
        assert_eq!(timely.write_all(&vec![0; 64 << 20]).expect_err("full").kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert!(started_writing.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_end_of_the_run_ends_a_wait() {
        let ((near, _far), stop) = (pair(), Stop::new());
        let ends = stop.clone();
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            ends.fail(Error::signal(2));
        });
        let started = Instant::now();
        let mut timely = Timely { socket: &near, deadline: Deadline::after(Duration::from_secs(60), &stop) };
        assert!(timely.read(&mut [0; 8]).is_err());
        assert!(started.elapsed() < Duration::from_secs(5));
        ending.join().expect("no panic");
    }
}
