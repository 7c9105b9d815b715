//! The sender's side of a link: finds the receiver, connects, and proves itself.
//!
//! Runs on the caller's thread, which it holds no longer than the connect time-out and the handshake's; ends with
//! the run. What failed is told by the error's status: [`Status::Io`] may pass when it is tried again,
//! [`Status::Peer`] and [`Status::Usage`] will not.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::connect::connect;
use super::handshake::{HandshakeError, shake_hands};
use super::socket::{self, Deadline, Timely};
use super::tls::SenderTls;
use super::{Dial, Link, Security, duplex, stranger, tcp};
use crate::error::{Error, Result, Status};
use crate::stop::Stop;

/// A TCP connection to whatever listens there, tuned as those of links are.
///
/// # Errors
/// Why there is none within `timeout`; what ended the run.
pub fn plain(address: &Address, timeout: Duration, stop: &Stop) -> Result<TcpStream> {
    let places = address.resolve(stop)?;
    let connected = connect(&places, None, Deadline::after(timeout, stop)).and_then(|socket| {
        socket::tune(&socket)?;
        Ok(socket)
    });
    connected.map_err(|e| match e.kind() {
        io::ErrorKind::TimedOut => {
            let why = format!("no answer within {} s", timeout.as_secs_f64());
            Error::new(Status::Io, "cannot connect", address, why)
                .way_out("a firewall may drop it, or the network is slow: --connect-timeout SECONDS")
        }
        _ => Error::io("cannot connect", address, &e),
    })
}

/// Dials the links of one transfer.
pub struct Dialer {
    addresses: Vec<Address>,
    binds: Vec<IpAddr>,
    connect_timeout: Duration,
    tls: Option<SenderTls>,
}

impl Dialer {
    /// All `addresses` lead to the same receiver: link 0 takes the first of them, link 1 the second, and so on in
    /// rotation; one that fails gives way to the next. The same rotation goes through `binds`, the local addresses
    /// to connect from; none leaves it to the kernel.
    ///
    /// # Errors
    /// A usage error without an address; what the TLS library says about the key.
    pub fn new(
        addresses: Vec<Address>,
        binds: Vec<IpAddr>,
        connect_timeout: Duration,
        security: Security,
    ) -> Result<Self> {
        if addresses.is_empty() {
            return Err(Error::usage("nobody to send to", "-O", "no address is given"));
        }
        let tls = match security {
            Security::Key(key) => Some(SenderTls::new(&key)?),
            Security::Insecure => None,
        };
        Ok(Dialer { addresses, binds, connect_timeout, tls })
    }

    /// A new connection for this link, ready for the prelude. The same number may be dialled again.
    ///
    /// # Errors
    /// Why none of the addresses led to the receiver: the first one's failure, unless a later one says that
    /// somebody else is there.
    pub fn dial(&self, link_number: u16, stop: &Stop) -> Result<Link> {
        let mut failure: Option<Error> = None;
        for turn in 0..self.addresses.len() {
            let address = &self.addresses[(usize::from(link_number) + turn) % self.addresses.len()];
            match self.dial_address(address, self.bind(link_number), stop) {
                Ok(link) => return Ok(link),
                Err(error) => {
                    stop.check()?;
                    if failure.as_ref().is_none_or(|e| e.status() == Status::Io && error.status() != Status::Io) {
                        failure = Some(error);
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::usage("nobody to send to", "-O", "no address is given")))
    }

    /// How long a connection takes to be made, which is one round trip; the shortest of a few. `None` where none can
    /// be made in a few seconds.
    pub fn round_trip(&self, stop: &Stop) -> Option<Duration> {
        const TRIES: u16 = 3;
        const PATIENCE: Duration = Duration::from_secs(3);
        let places = self.addresses.first()?.resolve(stop).ok()?;
        let patience = self.connect_timeout.min(PATIENCE);
        let timed = (0..TRIES).map_while(|number| {
            let begun = Instant::now();
            let connected = connect(&places, self.bind(number), Deadline::after(patience, stop));
            connected.ok().map(|_| begun.elapsed())
        });
        timed.min()
    }

    fn bind(&self, link_number: u16) -> Option<IpAddr> {
        let index = usize::from(link_number).checked_rem(self.binds.len())?;
        self.binds.get(index).copied()
    }

    fn dial_address(&self, address: &Address, from: Option<IpAddr>, stop: &Stop) -> Result<Link> {
        let deadline = Deadline::after(self.connect_timeout, stop);
        let mut places = address.resolve(stop)?;
        if let Some(ip) = from {
            places.retain(|place| place.is_ipv6() == ip.is_ipv6());
            if places.is_empty() {
                let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
                let why = format!("it has no {family} address, and --bind {ip} is one");
                return Err(Error::usage("cannot connect", address, why));
            }
        }
        let connected = connect(&places, from, deadline).and_then(|socket| {
            socket::tune(&socket)?;
            let peer = socket.peer_addr()?;
            Ok((socket, peer))
        });
        let (socket, peer) = connected.map_err(|e| self.unconnected(address, from, &e))?;
        let shown = peer.to_string();
        let name = if shown == address.to_string() { shown } else { format!("{address} ({})", peer.ip()) };
        self.secure(Arc::new(socket), name, stop)
    }

    fn secure(&self, socket: Arc<TcpStream>, name: String, stop: &Stop) -> Result<Link> {
        let Some(tls) = &self.tls else { return Ok(tcp::link(socket, name)) };
        let deadline = Deadline::after(self.connect_timeout, stop);
        let connected = tls.connection().map_err(|error| HandshakeError::Tls { error, first: Vec::new() });
        let shaken = connected.and_then(|mut tls| {
            shake_hands(&mut tls, Timely { socket: &socket, deadline })?;
            Ok(tls)
        });
        match shaken {
            Ok(tls) => Ok(duplex::link(duplex::halves(tls, socket), name)),
            Err(error) => Err(stranger::instead_of_receiver(&error, name, self.connect_timeout)),
        }
    }

    fn unconnected(&self, address: &Address, from: Option<IpAddr>, error: &io::Error) -> Error {
        let within = self.connect_timeout.as_secs_f64();
        match (error.kind(), from) {
            (io::ErrorKind::TimedOut, _) => {
                let why = format!("no answer within {within} s");
                Error::new(Status::Io, "cannot connect", address, why)
                    .way_out("a firewall may drop it, or the network is slow: --connect-timeout SECONDS")
            }
            (io::ErrorKind::ConnectionRefused, _) => Error::io("cannot connect", address, error)
                .way_out("start the receiver there first: lvpipe recv -I PORT TARGET"),
            (io::ErrorKind::AddrNotAvailable, Some(ip)) => {
                Error::usage("cannot connect", address, format!("{ip} is not an address of this host"))
                    .way_out("--bind takes local addresses: ip -brief address")
            }
            _ => Error::io("cannot connect", address, error),
        }
    }
}

impl Dial for Dialer {
    fn name(&self) -> String {
        self.addresses.first().map(ToString::to_string).unwrap_or_default()
    }

    fn dial(&self, number: u16, stop: &Stop) -> Result<Link> {
        Dialer::dial(self, number, stop)
    }
}
