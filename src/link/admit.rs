//! One connection at the gate: within two seconds it is a link with a prelude, or it is dropped.
//!
//! Runs on the connection's own thread. What it may take up is constant: a handshake's buffers, then one prelude,
//! whose lineage is at most 64 KiB.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::gate::Place;
use super::socket::{self, Deadline, Timely};
use super::{Link, Security, stranger, tcp};
use crate::error::{Result, Status, plain_reason};
use crate::stop::Stop;
use crate::wire::{Answer, Prelude, WireError};

/// How long a connection may take until its prelude is read.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How a sender proves itself here.
pub(super) struct Admission<'a> {
    security: &'a Security,
    stop: &'a Stop,
}

impl<'a> Admission<'a> {
    pub(super) fn new(security: &'a Security, stop: &'a Stop) -> Result<Self> {
        Ok(Admission { security, stop })
    }
}

/// The link and its prelude.
///
/// # Errors
/// Why the connection is dropped, for the log.
pub(super) fn admit(
    connection: Arc<TcpStream>,
    peer: SocketAddr,
    place: &Place<'_>,
    admission: &Admission<'_>,
) -> Result<(Link, Prelude), String> {
    let deadline = Deadline::after(PATIENCE, admission.stop);
    admit_by(connection, peer, place, admission, deadline).map_err(|why| {
        if place.was_pushed_out() { "others came, and it had not proven itself yet".into() } else { why }
    })
}

fn admit_by(
    connection: Arc<TcpStream>,
    peer: SocketAddr,
    place: &Place<'_>,
    admission: &Admission<'_>,
    deadline: Deadline<'_>,
) -> Result<(Link, Prelude), String> {
    // Accepted from a listener that does not block; on Linux the connection is not like it, elsewhere it would be.
    connection.set_nonblocking(false).and_then(|()| socket::tune(&connection)).map_err(|e| plain_reason(&e))?;
    let mut timely = Timely { socket: &connection, deadline };
    let mut first = [0; stranger::SAMPLE];
    let first = timely.peek(&mut first).map_err(|e| unheard("it said nothing", &e))?;
    place.heard();
    match admission.security {
        Security::Insecure => {
            if let Some(what) = stranger::instead_of_prelude(first) {
                return Err(format!("not an lvpipe sender: {what}"));
            }
            let prelude = Prelude::read(&mut timely).map_err(|e| {
                refuse(&mut timely, &e);
                unread(e)
            })?;
            if !place.known() {
                return Err("it was too late".into());
            }
            Ok((tcp::link(connection, peer.to_string()), prelude))
        }
    }
}

/// Tells a sender of another version why it is refused: it waits for an answer. Others are told nothing.
fn refuse(to: &mut impl Write, error: &WireError) {
    if matches!(error, WireError::Version { .. } | WireError::Features(_)) {
        let refused = Answer::Failed { status: Status::Stream, reason: error.to_string() };
        // It is dropped in any case.
        let _ = to.write_all(&refused.encode()).and_then(|()| to.flush());
    }
}

fn unread(error: WireError) -> String {
    match error {
        WireError::Io(e) => unheard("its prelude did not come", &e),
        WireError::Empty | WireError::Truncated { .. } => {
            "it closed the connection before its prelude was whole".into()
        }
        other => other.to_string(),
    }
}

/// What was not heard, and why.
fn unheard(what: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!("{what} within {} s", PATIENCE.as_secs()),
        _ => format!("{what}: {}", plain_reason(error)),
    }
}
