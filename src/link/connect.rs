//! One TCP connection to the first of several socket addresses that takes it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::socket::Deadline;

/// How long one address has the field to itself before the next is tried as well (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first of `places` that answers. They are tried in turn, the next one when the last has failed or
/// has been silent for a quarter of a second; all that are under way stay so until the deadline.
///
/// # Errors
/// The first address's failure: it is the one that was meant most. [`io::ErrorKind::TimedOut`] when none answered.
pub(super) fn connect(
    places: &[SocketAddr],
    from: Option<IpAddr>,
    deadline: Deadline<'_>,
) -> io::Result<TcpStream> {
    let mut waiting = places.iter();
    let mut under_way: Vec<Socket> = Vec::new();
    let mut failure = None;
    loop {
        if let Some(place) = waiting.next() {
            match start(*place, from) {
                Ok(socket) => under_way.push(socket),
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            }
        } else if under_way.is_empty() {
            return Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
        }
        let patience = if waiting.len() > 0 { HEAD_START } else { deadline.left() };
        let mut fds: Vec<_> = under_way.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLOUT)).collect();
        deadline.poll(&mut fds, patience).map_err(|e| match e.kind() {
            // Something more telling than silence may have come from another address.
            io::ErrorKind::TimedOut => failure.take().unwrap_or(e),
            _ => e,
        })?;
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        // From the back, so that the indices before stay what they are.
        for index in (0..ready.len()).rev().filter(|index| ready[*index]) {
            let socket = under_way.remove(index);
            match socket.take_error()? {
                None => {
                    socket.set_nonblocking(false)?;
                    return Ok(socket.into());
                }
                Some(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
    }
}

/// Begins to connect, without waiting.
fn start(place: SocketAddr, from: Option<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(ip) = from {
        socket.bind(&SockAddr::from(SocketAddr::new(ip, 0)))?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::from(place)) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(socket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::Stop;
    use std::net::TcpListener;
    use std::time::Instant;

    /// Listens but has its backlog filled, so that a further connection gets no answer, as from an address that
    /// drops what comes.
    struct Silent {
        place: SocketAddr,
        _held: (Socket, Vec<TcpStream>),
    }

    fn silent() -> Silent {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("loopback");
        socket.listen(0).expect("it is bound");
        let place = socket.local_addr().expect("bound").as_socket().expect("IPv4");
        let mut filling = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&place, Duration::from_millis(150)) {
            filling.push(stream);
        }
        Silent { place, _held: (socket, filling) }
    }

    fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound")
    }

    #[test]
    fn silent_and_refusing_addresses_are_passed_over() {
        let (silent, listener) = (silent(), TcpListener::bind("127.0.0.1:0").expect("loopback"));
        let good = listener.local_addr().expect("bound");
        let stop = Stop::new();
        let started = Instant::now();
        let places = [refusing(), silent.place, good];
        let socket = connect(&places, None, Deadline::after(Duration::from_secs(10), &stop)).expect("one is good");
        assert_eq!(socket.peer_addr().expect("connected"), good);
        assert!(started.elapsed() >= HEAD_START, "the silent one had its head start");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn silence_ends_at_the_deadline_and_a_refusal_is_told() {
        let (silent, stop) = (silent(), Stop::new());
        let deadline = || Deadline::after(Duration::from_millis(300), &stop);
        let error = connect(&[silent.place], None, deadline()).expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = connect(&[refusing(), silent.place], None, deadline()).expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect(&[], None, deadline()).is_err());
    }

    #[test]
    fn the_local_address_is_the_one_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let stop = Stop::new();
        let places = [listener.local_addr().expect("bound")];
        let from: IpAddr = "127.0.0.9".parse().expect("an address");
        let deadline = Deadline::after(Duration::from_secs(10), &stop);
        let socket = connect(&places, Some(from), deadline).expect("all of 127/8 is local");
        assert_eq!(socket.local_addr().expect("bound").ip(), from);
        assert_eq!(listener.accept().expect("dialled").1.ip(), from);
    }
}
