//! The sending end of a connection of `-O`: a peer that moves is waited for, and the end is the peer's having it all.
//!
//! Runs on the output's own thread. In: bytes, and the time-out of `--tcptimeo`, which the socket carries. Out: the
//! peer's system has acknowledged every byte, or why not. What waits in the socket is the system's; nothing is kept
//! here.
//!
//! A `write` that waits is woken only when a good part of the socket's buffer, megabytes of it, is free again. A slow
//! peer may take longer for that than the time-out, and mbuffer gives it up; here it is given up when the buffer has
//! not shrunk in that time. (A peer whose own buffer is full tells when a sixteenth of that is free: a time-out must be
//! longer than that takes.)

use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::SockRef;

use super::descriptor;

/// Between two looks at what is still on its way: at first, and after some time.
const FIRST_NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(10);

/// `write(2)`; EAGAIN only when the peer has taken nothing for the socket's time-out.
pub fn write(fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
    let mut left = unacknowledged(fd)?;
    loop {
        match descriptor::write(fd, data) {
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
        let now = unacknowledged(fd)?;
        if now >= left {
            return Err(Errno::EAGAIN);
        }
        left = now;
    }
}

/// The error that the connection has met since it was last asked for one.
pub fn error(fd: BorrowedFd<'_>) -> Option<Errno> {
    let error = SockRef::from(&fd).take_error().ok().flatten()?;
    error.raw_os_error().map(Errno::from_raw)
}

/// Says that no more comes, and waits until the peer's system has all of it; `moved` is called when it has some more.
///
/// # Errors
/// What the connection has met; EAGAIN when the peer takes nothing for the socket's time-out.
pub fn finish(fd: BorrowedFd<'_>, moved: impl Fn()) -> Result<(), Errno> {
    let socket = SockRef::from(&fd);
    if let Some(error) = error(fd) {
        return Err(error);
    }
    if socket.shutdown(std::net::Shutdown::Write).is_err() {
        // It is no connection any more, and somebody else was told why.
        return Err(error(fd).unwrap_or(Errno::ECONNRESET));
    }
    let timeout = socket.write_timeout().ok().flatten();
    let (mut left, mut since, mut nap) = (u64::MAX, Instant::now(), FIRST_NAP);
    loop {
        let now = unacknowledged(fd)?;
        // The end itself counts for one; a peer that has all the rest needs not confirm it.
        if now <= 1 {
            return Ok(());
        }
        if let Some(error) = error(fd) {
            return Err(error);
        }
        if now < left {
            (left, since) = (now, Instant::now());
            moved();
        } else if timeout.is_some_and(|timeout| since.elapsed() >= timeout) {
            return Err(Errno::EAGAIN);
        }
        thread::sleep(nap);
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

/// Bytes written that the peer's system has not acknowledged (SIOCOUTQ, tcp(7)).
fn unacknowledged(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: for a socket TIOCOUTQ, which is SIOCOUTQ, writes one int to where its argument points.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        (here, listener.accept().expect("the same").0)
    }

    /// Writes until nothing fits any more.
    fn fill(here: &TcpStream) {
        here.set_nonblocking(true).expect("set");
        while descriptor::write(here.as_fd(), &[0; 1 << 16]).is_ok() {}
        here.set_nonblocking(false).expect("set");
    }

    #[test]
    fn the_end_waits_for_a_peer_that_reads() {
        let (here, mut there) = pair();
        fill(&here);
        here.set_write_timeout(Some(Duration::from_secs(10))).expect("set");
        let peer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            there.read_to_end(&mut Vec::new()).expect("data")
        });
        finish(here.as_fd(), || ()).expect("all taken");
        assert!(unacknowledged(here.as_fd()).expect("a socket") <= 1);
        drop(here);
        assert!(peer.join().expect("no panic") > 1 << 16);
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up() {
        let (here, there) = pair();
        fill(&here);
        here.set_write_timeout(Some(Duration::from_millis(100))).expect("set");
        // What fills the peer's own buffer still moves: a few more go in.
        let given_up = loop {
            if let Err(error) = write(here.as_fd(), &[0; 1 << 16]) {
                break error;
            }
        };
        assert_eq!(given_up, Errno::EAGAIN);
        assert_eq!(finish(here.as_fd(), || ()), Err(Errno::EAGAIN));
        drop(there);
    }

    #[test]
    fn a_peer_that_resets_is_an_error_at_the_end() {
        let (here, there) = pair();
        let socket = socket2::Socket::from(there);
        socket.set_linger(Some(Duration::ZERO)).expect("set");
        drop(socket);
        assert_eq!(finish(here.as_fd(), || ()), Err(Errno::ECONNRESET));
        assert_eq!(finish(here.as_fd(), || ()), Err(Errno::ECONNRESET), "although that was told once");
    }
}
