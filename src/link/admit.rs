//! One connection at the gate: within two seconds it is a link with a prelude, or it is dropped.
//!
//! Runs on the connection's own thread. What it may take up is constant: a handshake's buffers, then one prelude,
//! whose lineage is at most 64 KiB.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::gate::Place;
use super::handshake::{HandshakeError, shake_hands};
use super::socket::{self, Deadline, Timely};
use super::tls::ReceiverTls;
use super::{Link, Security, duplex, stranger, tcp};
use crate::error::{Result, Status, plain_reason};
use crate::stop::Stop;
use crate::wire::{Answer, Prelude, WireError};

/// How long a connection may take until its prelude is read.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How a sender proves itself here.
pub(super) struct Admission<'a> {
    tls: Option<ReceiverTls>,
    stop: &'a Stop,
}

impl<'a> Admission<'a> {
    pub(super) fn new(security: &Security, stop: &'a Stop) -> Result<Self> {
        let tls = match security {
            Security::Key(key) => Some(ReceiverTls::new(key)?),
            Security::Insecure => None,
        };
        Ok(Admission { tls, stop })
    }
}

/// Why a connection is dropped.
pub(super) struct Dropped {
    /// For the log.
    pub(super) why: String,
    /// It has closed the connection itself, and had said nothing wrong until then. A sender does so with links that it
    /// does not need any more: a short transfer is over before the last are made.
    pub(super) left: bool,
}

impl From<String> for Dropped {
    fn from(why: String) -> Self {
        Dropped { why, left: false }
    }
}

/// The link and its prelude.
///
/// # Errors
/// Why the connection is dropped.
pub(super) fn admit(
    connection: Arc<TcpStream>,
    peer: SocketAddr,
    place: &Place<'_>,
    admission: &Admission<'_>,
) -> Result<(Link, Prelude), Dropped> {
    let deadline = Deadline::after(PATIENCE, admission.stop);
    admit_by(connection, peer, place, admission, deadline).map_err(|dropped| match place.was_pushed_out() {
        true => "others came, and it had not proven itself yet".to_string().into(),
        false => dropped,
    })
}

fn admit_by(
    connection: Arc<TcpStream>,
    peer: SocketAddr,
    place: &Place<'_>,
    admission: &Admission<'_>,
    deadline: Deadline<'_>,
) -> Result<(Link, Prelude), Dropped> {
    // Accepted from a listener that does not block; on Linux the connection is not like it, elsewhere it would be.
    connection.set_nonblocking(false).and_then(|()| socket::tune(&connection)).map_err(|e| plain_reason(&e))?;
    let mut timely = Timely { socket: &connection, deadline };
    let mut first = [0; stranger::SAMPLE];
    let first = timely.peek(&mut first).map_err(|e| unheard("it said nothing", &e))?;
    place.heard();
    let name = peer.to_string();
    match &admission.tls {
        Some(tls) if stranger::is_tls(first) => encrypted(tls, &connection, name, place, deadline),
        Some(_) if stranger::is_prelude(first) => {
            send_away(&mut timely, "it wants an encrypted connection: leave --insecure away, and give its key");
            Err("not authenticated: it is a sender with --insecure, and this receiver has a key".to_string().into())
        }
        Some(_) => Err(format!("not authenticated: {}", stranger::name(first)).into()),
        None if stranger::is_prelude(first) => {
            let prelude = read_prelude(&mut timely, place).map_err(|(why, refused)| {
                answer(&mut timely, refused);
                why
            })?;
            Ok((tcp::link(connection, name), prelude))
        }
        None if stranger::is_tls(first) => {
            send_away(&mut timely, "it was started with --insecure");
            Err("it wants an encrypted connection, and this receiver was started with --insecure"
                .to_string()
                .into())
        }
        None => Err(format!("not an lvpipe sender: {}", stranger::name(first)).into()),
    }
}

fn encrypted(
    tls: &ReceiverTls,
    connection: &Arc<TcpStream>,
    name: String,
    place: &Place<'_>,
    deadline: Deadline<'_>,
) -> Result<(Link, Prelude), Dropped> {
    let mut tls = tls.connection().map_err(|e| e.to_string())?;
    let mut timely = Timely { socket: connection, deadline };
    shake_hands(&mut tls, &mut timely)
        .map_err(|e| Dropped { why: stranger::instead_of_sender(&e, PATIENCE), left: has_left(&e) })?;
    let (mut reader, mut writer) = duplex::halves(tls, Arc::clone(connection));
    let prelude =
        read_prelude(&mut Decrypting { reader: &mut reader, timely }, place).map_err(|(why, refused)| {
            answer(&mut writer, refused);
            why
        })?;
    Ok((duplex::link((reader, writer), name), prelude))
}

/// Whether the other side has ended the handshake without a word.
fn has_left(error: &HandshakeError) -> bool {
    match error {
        HandshakeError::Closed => true,
        HandshakeError::Io(e) => matches!(
            e.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
        ),
        HandshakeError::Tls { .. } => false,
    }
}

/// An encrypted link before its prelude has come: what it reads ends at the deadline.
struct Decrypting<'a> {
    reader: &'a mut duplex::Reader,
    timely: Timely<'a>,
}

impl Read for Decrypting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read_from(&mut self.timely, into)
    }
}

/// The prelude; or why there is none, and what the sender is to be told of it.
fn read_prelude(from: &mut impl Read, place: &Place<'_>) -> Result<Prelude, (Dropped, Option<String>)> {
    let prelude = Prelude::read(from).map_err(|e| {
        // One of another version waits for an answer. Others are told nothing.
        let refused = matches!(e, WireError::Version { .. } | WireError::Features(_)).then(|| e.to_string());
        (unread(e), refused)
    })?;
    if place.known() { Ok(prelude) } else { Err(("it was too late".to_string().into(), None)) }
}

fn answer(to: &mut impl Write, refused: Option<String>) {
    if let Some(reason) = refused {
        let refused = Answer::Failed { status: Status::Stream, reason };
        // It is dropped in any case.
        let _ = to.write_all(&refused.encode());
    }
}

/// Tells an lvpipe that encrypts where this side does not, or the other way round.
fn send_away(peer: &mut Timely<'_>, reason: &str) {
    // What it has sent is read, prelude or hello: closing a connection with unread bytes would reset it, and the
    // answer be lost.
    let mut hello = [0; 4096];
    if peer.read(&mut hello).is_ok() {
        let refused = Answer::Failed { status: Status::Peer, reason: reason.into() };
        let _ = peer.write_all(&refused.encode());
    }
}

fn unread(error: WireError) -> Dropped {
    match error {
        WireError::Io(e) => unheard("its prelude did not come", &e).into(),
        WireError::Empty | WireError::Truncated { .. } => {
            Dropped { why: "it closed the connection before its prelude was whole".into(), left: true }
        }
        other => other.to_string().into(),
    }
}

/// What was not heard, and why.
fn unheard(what: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!("{what} within {} s", PATIENCE.as_secs()),
        _ => format!("{what}: {}", plain_reason(error)),
    }
}
