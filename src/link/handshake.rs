//! The TLS handshake, over any reader and writer: those of a connection that is given up at its deadline.
//!
//! Memory: what rustls allows for, 64 KiB of a message that comes and a few kilobytes of what goes.

use std::io::{self, Read, Write};

use rustls::Connection;

use super::stranger::SAMPLE;

/// Why there is no encrypted connection.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// The connection failed, or its time was up.
    Io(io::Error),
    /// The peer closed it.
    Closed,
    /// What the peer said is not what one with the same key says.
    Tls {
        /// rustls's word for it.
        error: rustls::Error,
        /// The first bytes that came.
        first: Vec<u8>,
    },
}

/// Does the handshake: the peer is authenticated on return.
///
/// # Errors
/// Why it is not; the peer has been told, as far as TLS provides for it.
pub(super) fn shake_hands(tls: &mut Connection, io: impl Read + Write) -> Result<(), HandshakeError> {
    let mut io = Remembering { io, first: Vec::with_capacity(SAMPLE) };
    while tls.is_handshaking() || tls.wants_write() {
        if let Err(error) = tls.complete_io(&mut io) {
            // The alert that tells the peer. The connection is given up in any case.
            while tls.wants_write() && tls.write_tls(&mut io).is_ok_and(|length| length > 0) {}
            let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return Err(match reason {
                Some(reason) => HandshakeError::Tls { error: reason.clone(), first: io.first },
                None if error.kind() == io::ErrorKind::UnexpectedEof => HandshakeError::Closed,
                None => HandshakeError::Io(error),
            });
        }
    }
    Ok(())
}

/// Keeps the first bytes that come: they tell who it is that is not lvpipe.
struct Remembering<S> {
    io: S,
    first: Vec<u8>,
}

impl<S: Read> Read for Remembering<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.io.read(into)?;
        let missing = SAMPLE - self.first.len();
        self.first.extend(into[..length].iter().take(missing));
        Ok(length)
    }
}

impl<S: Write> Write for Remembering<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.io.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}
