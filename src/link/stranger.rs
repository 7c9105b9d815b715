//! What is at the other end when it is not lvpipe, or not in the way that was expected; by its first bytes, or by
//! how its handshake failed.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, Error as TlsError};

use super::handshake::HandshakeError;
use crate::error::{Error, Status, plain_reason};

/// How many first bytes tell.
pub(super) const SAMPLE: usize = 8;

/// The first bytes of every prelude, see [`crate::wire`].
const PRELUDE: &[u8] = b"\x89LVP\r\n\x1a\n";
/// The first bytes of a failed answer: a receiver's that is not encrypted.
const FAILED: &[u8] = b"\x06\0\0\0";
/// The first bytes of TLS: a handshake, an alert.
const TLS: [&[u8]; 2] = [b"\x16\x03", b"\x15\x03"];

/// Known beginnings, with what is said of them.
const BEGINNINGS: [(&[u8], &str); 9] = [
    (b"GET ", "it sent an HTTP request"),
    (b"POST", "it sent an HTTP request"),
    (b"HEAD", "it sent an HTTP request"),
    (b"PRI *", "it sent an HTTP request"),
    (b"HTTP", "it is an HTTP server"),
    (b"SSH-", "it speaks ssh"),
    (b"220 ", "it is a mail or FTP server"),
    (b"220-", "it is a mail or FTP server"),
    (b"* OK", "it is a mail server"),
];

/// Whether these bytes begin a prelude, as far as they go.
pub(super) fn is_prelude(first: &[u8]) -> bool {
    PRELUDE.starts_with(&first[..first.len().min(PRELUDE.len())])
}

/// Whether these bytes begin TLS, as far as they go.
pub(super) fn is_tls(first: &[u8]) -> bool {
    TLS.iter().any(|beginning| beginning.starts_with(&first[..first.len().min(beginning.len())]))
}

/// What is said of a peer that began with these bytes, and with nothing that was expected.
pub(super) fn name(first: &[u8]) -> &'static str {
    let known = BEGINNINGS.iter().find(|(beginning, _)| first.starts_with(beginning));
    known.map_or("what it sent is not lvpipe's", |(_, what)| *what)
}

/// Why a connection is no sender's, for the receiver's log.
pub(super) fn instead_of_sender(error: &HandshakeError, patience: Duration) -> String {
    let why = match error {
        HandshakeError::Io(e) if e.kind() == io::ErrorKind::TimedOut => {
            format!("its handshake was not done within {} s", patience.as_secs())
        }
        HandshakeError::Io(e) => plain_reason(e),
        HandshakeError::Closed => "it closed the connection in its handshake".into(),
        HandshakeError::Tls { error, .. } if is_another_key(error) => "its key is another".into(),
        HandshakeError::Tls { error, first } if is_tls(first) => format!("it has no key: {error}"),
        HandshakeError::Tls { first, .. } => name(first).into(),
    };
    format!("not authenticated: {why}")
}

/// Why who was dialled is not the receiver.
pub(super) fn instead_of_receiver(error: &HandshakeError, on: impl Display, patience: Duration) -> Error {
    let foreign = |why: String| Error::new(Status::Peer, "receiver is not authenticated", &on, why);
    let busy = |why: String| {
        Error::new(Status::Io, "cannot connect", &on, why)
            .way_out("it may be busy; if it stays so, see what the receiver says, and whether the port is its own")
    };
    match error {
        HandshakeError::Io(e) if e.kind() == io::ErrorKind::TimedOut => {
            busy(format!("no handshake within {} s", patience.as_secs_f64()))
        }
        HandshakeError::Io(e) => busy(plain_reason(e)),
        HandshakeError::Closed => busy("it closed the connection in the handshake".into()),
        HandshakeError::Tls { error, .. } if is_another_key(error) => {
            foreign("the key is not this receiver's".into())
                .way_out("take the key that this run of the receiver has printed; each has a new one")
        }
        HandshakeError::Tls { first, .. } if first.starts_with(FAILED) => {
            foreign("it does not encrypt".into()).way_out("it was started with --insecure: then both sides are")
        }
        HandshakeError::Tls { error, first } if is_tls(first) => {
            foreign(format!("it speaks TLS, but is no lvpipe receiver: {error}"))
        }
        HandshakeError::Tls { first, .. } => foreign(format!("that is no lvpipe receiver: {}", name(first))),
    }
}

/// Whether the two sides have different keys: found out here, or there.
fn is_another_key(error: &TlsError) -> bool {
    // The second is what rustls says to a peer whose key is not the one that is pinned.
    matches!(error, TlsError::InvalidCertificate(_) | TlsError::AlertReceived(AlertDescription::AccessDenied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_known_from_the_first_byte_on() {
        for first in [&b"\x89LVP\r\n\x1a\n"[..], b"\x89LVP\r\n\x1a\n\0\0", b"\x89L"] {
            assert!(is_prelude(first) && !is_tls(first));
        }
        for first in [&b"\x16\x03\x01\x02"[..], b"\x16", b"\x15\x03\x03"] {
            assert!(is_tls(first) && !is_prelude(first));
        }
        for first in [&b"\x89LVQ"[..], b"\x16\x04", b"GET /", b"\0"] {
            assert!(!is_tls(first) && !is_prelude(first));
        }
        assert_eq!(name(b"GET / HT"), "it sent an HTTP request");
        assert_eq!(name(b"\0\0\0\0"), "what it sent is not lvpipe's");
    }

    #[test]
    fn the_first_bytes_are_those_that_the_wire_has() {
        let failed = crate::wire::Answer::Failed { status: Status::Peer, reason: "no".into() };
        assert!(failed.encode().starts_with(FAILED));
    }
}
