//! The accept loop: every connection gets a place at the [gate](super::gate), a thread, and two seconds to prove
//! that it is a sender.
//!
//! In: connections. Out: links that are authenticated and have sent a whole prelude, in a channel. Runs on the
//! caller's thread until the listener is closed or the run ends; the threads of the handshakes end with it. What
//! fails for one connection ends that one, and is said; what fails for all (no more descriptors) is waited out.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use crossbeam_channel::Sender;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use super::admit::{Admission, admit};
use super::complaints::Complaints;
use super::gate::{Gate, Place};
use super::listen::Listener;
use super::socket::{self, NOTICE};
use super::{Link, Security};
use crate::error::{Error, Result, plain_reason};
use crate::stop::Stop;
use crate::wire::Prelude;

/// A handshake's thread needs little; 16 of them are 8 MiB of address space.
const STACK: usize = 512 << 10;

/// What all connections' threads share.
struct Hall<'a> {
    admission: Admission<'a>,
    gate: Gate,
    complaints: Complaints<'a>,
    links: &'a Sender<(Link, Prelude)>,
    /// Where links have come from that proved themselves; as many as the sender has addresses.
    senders: Mutex<HashSet<IpAddr>>,
    stop: &'a Stop,
}

impl Listener {
    /// Accepts connections until the listener is [closed](super::listen::Closer) or the run ends, and sends those
    /// that prove to be the sender's into `links`, with their preludes. `log` gets a line about each that does not,
    /// at most a few in ten seconds. A link waits for room in the channel, and keeps this from returning meanwhile:
    /// whoever closes the listener drops the channel's other end, or empties it.
    ///
    /// # Errors
    /// When a listening socket fails. Whether the run was ended is with `stop`.
    pub fn serve(
        &self,
        security: &Security,
        links: &Sender<(Link, Prelude)>,
        log: &(dyn Fn(&str) + Sync),
        stop: &Stop,
    ) -> Result<()> {
        let hall = Hall {
            admission: Admission::new(security, stop)?,
            gate: Gate::default(),
            complaints: Complaints::new(log),
            links,
            senders: Mutex::default(),
            stop,
        };
        for socket in &self.sockets {
            socket.set_nonblocking(true).map_err(|e| Error::io("cannot listen", "socket", &e))?;
        }
        thread::scope(|scope| {
            let served = self.accept_all(&hall, scope);
            hall.gate.close();
            served
        })
    }

    fn accept_all<'s>(&self, hall: &'s Hall<'_>, scope: &'s Scope<'s, '_>) -> Result<()> {
        let closer = self.closer();
        while !closer.is_closed() && !hall.stop.is_set() {
            hall.complaints.tick();
            for socket in self.wait()? {
                // Checked before each, so that whoever comes while it is crowded waits outside.
                if !hall.gate.make_room(NOTICE) {
                    break;
                }
                match socket.accept() {
                    Ok((connection, peer)) => hall.receive(connection, canonical(peer), scope),
                    Err(error) => hall.not_accepted(&error)?,
                }
            }
        }
        Ok(())
    }

    /// The sockets that have a connection waiting, after [`NOTICE`] at the latest; at once when it is closed.
    fn wait(&self) -> Result<Vec<&TcpListener>> {
        let mut fds: Vec<_> = self.sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
        // The last one, so that it belongs to no socket below.
        fds.push(PollFd::new(self.woken.as_fd(), PollFlags::POLLIN));
        match poll(&mut fds, socket::timeout(NOTICE)) {
            Ok(0) | Err(Errno::EINTR) => Ok(Vec::new()),
            Err(errno) => Err(Error::io("cannot accept connections", "poll", &errno.into())),
            Ok(_) => {
                let ready = fds.iter().map(|fd| fd.any() == Some(true));
                Ok(self.sockets.iter().zip(ready).filter(|(_, ready)| *ready).map(|(socket, _)| socket).collect())
            }
        }
    }
}

impl<'a> Hall<'a> {
    /// Gives a connection its place and its thread.
    fn receive<'s>(&'s self, connection: TcpStream, peer: SocketAddr, scope: &'s Scope<'s, '_>) {
        let connection = Arc::new(connection);
        let place = self.gate.enter(Arc::clone(&connection));
        let started = thread::Builder::new()
            .name("handshake".into())
            .stack_size(STACK)
            .spawn_scoped(scope, move || self.attend(connection, peer, place));
        if let Err(error) = started {
            self.complaints.say(&format!("{peer} dropped: no thread for it: {}", plain_reason(&error)));
        }
    }

    fn attend(&self, connection: Arc<TcpStream>, peer: SocketAddr, place: Place<'_>) {
        // A stranger that finds a fault in the handshake gets no further than its own connection.
        let admitted = catch_unwind(AssertUnwindSafe(|| admit(connection, peer, &place, &self.admission)));
        match admitted.unwrap_or_else(|_| Err("a fault of this program: please report it".to_string().into())) {
            Ok(admitted) => {
                self.senders.lock().unwrap_or_else(PoisonError::into_inner).insert(peer.ip());
                // A session that has ended takes no more links: they are dropped, and the peers see it.
                let _ = self.stop.send(self.links, admitted);
            }
            // Those that are sent away at the end are nobody's concern.
            Err(_) if self.stop.is_set() => {}
            Err(dropped) if dropped.left && self.is_sender(peer) => {}
            Err(dropped) => self.complaints.say(&format!("{peer} dropped: {}", dropped.why)),
        }
    }

    fn is_sender(&self, peer: SocketAddr) -> bool {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer.ip())
    }

    /// What a failed accept(2) means: for the connection, for now, or for good.
    fn not_accepted(&self, error: &io::Error) -> Result<()> {
        match error.raw_os_error() {
            // The connection has gone before it was accepted (accept(2), "Error handling").
            Some(
                libc::EAGAIN
                | libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
                | libc::EPERM,
            ) => Ok(()),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                self.complaints.say(&format!("cannot accept a connection now: {}", plain_reason(error)));
                // The connection stays in the backlog and polls as ready: not at once again.
                let _ = self.stop.sleep(Duration::from_millis(100));
                Ok(())
            }
            _ => Err(Error::io("cannot accept connections", "socket", error)),
        }
    }
}

/// An IPv4 peer of a socket for both families, as people know it.
fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, peer.port()),
        IpAddr::V6(_) => peer,
    }
}
