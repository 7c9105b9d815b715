//! Where a receiver waits for its senders: sockets of its own, or those that systemd hands over.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::activation;
use super::address::ListenSpec;
use crate::error::{Error, Result};

/// Connections that the kernel completes while the accept loop is busy; net.core.somaxconn caps it.
const BACKLOG: i32 = 1024;

/// Listening sockets, not accepting yet. Dropped, they are closed.
pub struct Listener {
    pub(super) sockets: Vec<TcpListener>,
    /// Readable once it is closed. The sockets cannot say it themselves: shutting down one that systemd handed over
    /// would end it for those who come after.
    pub(super) woken: PipeReader,
    closer: Closer,
}

/// Ends [`Listener::serve`] from another thread.
#[derive(Clone)]
pub struct Closer {
    closed: Arc<AtomicBool>,
    wake: Arc<PipeWriter>,
}

impl Closer {
    /// No connection is accepted from now on, and those that are not authenticated yet are dropped.
    pub fn close(&self) {
        // One byte is enough, and always fits.
        if !self.closed.swap(true, Ordering::SeqCst) {
            let _ = (&*self.wake).write(&[0]);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Listener {
    /// Listens at the first free port of `spec`.
    ///
    /// # Errors
    /// When all ports are taken, or the address is not one of this host.
    pub fn bind(spec: &ListenSpec) -> Result<Self> {
        let mut in_use = None;
        for port in spec.candidates() {
            match listen_at(spec, port) {
                Ok(sockets) => return Listener::of(sockets),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => in_use = Some(error),
                Err(error) => return Err(failed(spec, &error)),
            }
        }
        let in_use = in_use.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        Err(failed(spec, &in_use).way_out("see who listens there with ss -ltnp, or give another port"))
    }

    /// The sockets that systemd, or another supervisor, has opened for this process (sd_listen_fds(3)); `None` when
    /// there are none. To be called before the process opens files of its own.
    ///
    /// # Errors
    /// When what was handed over is not a listening TCP socket.
    pub fn activated() -> Result<Option<Self>> {
        activation::sockets()?.map(Listener::of).transpose()
    }

    fn of(sockets: Vec<TcpListener>) -> Result<Self> {
        let (woken, wake) = io::pipe().map_err(|e| Error::io("cannot listen", "pipe", &e))?;
        Ok(Listener { sockets, woken, closer: Closer { closed: Arc::default(), wake: Arc::new(wake) } })
    }

    /// Where it listens; an unspecified address means all of this host's, an IPv6 one IPv4's as well.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// The sockets alone, for who accepts connections itself.
    pub fn into_sockets(self) -> Vec<TcpListener> {
        self.sockets
    }

    /// How to end [`Listener::serve`].
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }
}

fn failed(spec: &ListenSpec, error: &io::Error) -> Error {
    let failed = Error::io("cannot listen", spec, error);
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => failed.way_out("listen on an address of this host: ip -brief address"),
        io::ErrorKind::PermissionDenied => failed.way_out("ports below 1024 are root's: take one above"),
        _ => failed,
    }
}

/// All sockets of one port; the last error if there is no way.
fn listen_at(spec: &ListenSpec, port: u16) -> io::Result<Vec<TcpListener>> {
    let mut failure: io::Error = io::ErrorKind::AddrNotAvailable.into();
    for places in spec.places(port)? {
        match listen_at_all(&places) {
            Ok(sockets) => return Ok(sockets),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_at_all(places: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut sockets: Vec<TcpListener> = Vec::new();
    for place in places {
        // Any free port is the same one for all addresses.
        let port = match sockets.first() {
            Some(first) => first.local_addr()?.port(),
            None => place.port(),
        };
        sockets.push(listen(SocketAddr::new(place.ip(), port))?);
    }
    if sockets.is_empty() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(sockets) }
}

fn listen(place: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
    // A receiver that is started again, to resume, finds the last one's connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if place.is_ipv6() {
        // Whatever net.ipv6.bindv6only says: the unspecified address is for both, others are what they are.
        socket.set_only_v6(!place.ip().is_unspecified())?;
    }
    socket.bind(&SockAddr::from(place))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn bind(spec: &str) -> Result<Listener> {
        Listener::bind(&spec.parse().expect("a place"))
    }

    #[test]
    fn a_bare_port_is_open_to_both_families() {
        let listener = bind("0").expect("a free port");
        let port = listener.local_addresses()[0].port();
        for peer in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            TcpStream::connect(&peer).expect("it listens there");
        }
    }

    #[test]
    fn one_address_is_not_open_to_others() {
        let listener = bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addresses()[0].port();
        assert!(TcpStream::connect(("::1", port)).is_err());
        assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
        TcpStream::connect(("127.0.0.1", port)).expect("it listens there");
    }

    #[test]
    fn the_first_free_port_of_a_range_is_taken() {
        let taken = bind("127.0.0.1:0").expect("a free port");
        let first = taken.local_addresses()[0].port();
        let error = bind(&format!("127.0.0.1:{first}")).err().expect("it is taken");
        assert!(error.to_string().contains("already in use"), "{error}");
        let last = first.saturating_add(20);
        let range = format!("{first}-{last}").parse().expect("a range");
        let spec: ListenSpec = "127.0.0.1:1".parse().expect("a place");
        let listener = Listener::bind(&spec.with_ports(range)).expect("one of them is free");
        let port = listener.local_addresses()[0].port();
        assert!(port > first && port <= last, "{port}");
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        // TEST-NET-1: nobody's.
        let error = bind("192.0.2.1:0").err().expect("not of this host");
        assert!(error.to_string().contains("ip -brief address"), "{error}");
    }
}
