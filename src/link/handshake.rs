//! The TLS handshake, over any reader and writer: those of a connection that is given up at its deadline.
//!
//! rustls turns bytes into bytes and does no I/O here (its "unbuffered" connections). Memory: one record of what
//! comes, and a few kilobytes of what goes. A handshake message that does not fit into it is no peer's of ours.

use std::io::{self, Read, Write};
use std::ops::Range;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

/// The longest record that rustls takes: header, 2^14 bytes, and 2048 for what encryption adds (RFC 8446, section
/// 5.2, allows for 256).
pub(super) const LONGEST_RECORD: usize = 5 + (1 << 14) + 2048;

/// A connection of either side; the same but for its type.
pub(super) trait Side: Send + 'static {
    /// rustls's own.
    type Data;

    /// See [`rustls::unbuffered`].
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// Whether the peer is not authenticated yet.
    fn is_handshaking(&self) -> bool;

    /// Whether it has something to send that is not encoded yet.
    fn wants_write(&self) -> bool;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }
}

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

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        HandshakeError::Io(error)
    }
}

/// Bytes that have come and are not processed yet.
pub(super) struct Incoming {
    bytes: Box<[u8]>,
    filled: Range<usize>,
}

impl Incoming {
    /// Room for `capacity` bytes, at least [`LONGEST_RECORD`].
    pub(super) fn new(capacity: usize) -> Self {
        Incoming { bytes: vec![0; capacity].into(), filled: 0..0 }
    }

    /// The same bytes, with more room.
    pub(super) fn enlarged(self, capacity: usize) -> Self {
        let mut larger = Incoming::new(capacity.max(self.filled.len()));
        larger.bytes[..self.filled.len()].copy_from_slice(&self.bytes[self.filled.clone()]);
        larger.filled = 0..self.filled.len();
        larger
    }

    pub(super) fn unprocessed(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled.clone()]
    }

    pub(super) fn discard(&mut self, length: usize) {
        self.filled.start += length;
    }

    /// Whether a whole record is there.
    pub(super) fn has_record(&self) -> bool {
        // Header of a record: type (1), version (2), length (2).
        let bytes = &self.bytes[self.filled.clone()];
        match bytes {
            [_, _, _, high, low, rest @ ..] => rest.len() >= usize::from(u16::from_be_bytes([*high, *low])),
            _ => false,
        }
    }

    /// Reads once; 0 is the end.
    ///
    /// # Errors
    /// The reader's; and when all the room is taken by what cannot be processed.
    pub(super) fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        // Moved seldom: at most one record of a whole buffer is left, and only when the next would not fit.
        if self.filled.is_empty() || self.bytes.len() - self.filled.end < LONGEST_RECORD {
            self.bytes.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.end == self.bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of the encryption is too long"));
        }
        loop {
            match from.read(&mut self.bytes[self.filled.end..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(length) => {
                    self.filled.end += length;
                    return Ok(length);
                }
            }
        }
    }
}

/// Appends what TLS has to say.
pub(super) fn encode<D>(mut data: EncodeTlsData<'_, D>, to: &mut Vec<u8>) -> Result<(), rustls::Error> {
    let before = to.len();
    let mut room = 0;
    loop {
        to.resize(before + room, 0);
        match data.encode(&mut to[before..]) {
            Ok(length) => {
                to.truncate(before + length);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > room => {
                room = needed.required_size
            }
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
    }
}

/// What comes first on an encrypted connection, and what came with its handshake already.
pub(super) struct Shaken {
    /// Not decrypted.
    pub(super) incoming: Incoming,
    /// Decrypted.
    pub(super) decrypted: Vec<u8>,
}

/// Does the handshake: the peer is authenticated on return.
///
/// # Errors
/// Why it is not; the peer has been told, as far as TLS provides for it.
pub(super) fn shake_hands<S: Side>(side: &mut S, io: &mut (impl Read + Write)) -> Result<Shaken, HandshakeError> {
    let mut incoming = Incoming::new(LONGEST_RECORD);
    let (mut outgoing, mut decrypted, mut first) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let UnbufferedStatus { discard, state } = side.process(incoming.unprocessed());
        let (mut read, mut done) = (false, false);
        match state {
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, &mut outgoing).map_err(|error| HandshakeError::Tls { error, first: first.clone() })?;
            }
            Ok(ConnectionState::TransmitTlsData(sent)) => {
                io.write_all(&outgoing)?;
                outgoing.clear();
                sent.done();
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(|error| HandshakeError::Tls { error, first: first.clone() })?;
                    decrypted.extend_from_slice(record.payload);
                }
            }
            Ok(ConnectionState::WriteTraffic(_)) => done = true,
            Ok(ConnectionState::BlockedHandshake) => read = true,
            Ok(_) => return Err(HandshakeError::Closed),
            Err(error) => {
                outgoing.clear();
                last_words(side, &mut outgoing);
                // The connection is given up in any case.
                let _ = io.write_all(&outgoing);
                return Err(HandshakeError::Tls { error, first });
            }
        }
        incoming.discard(discard);
        if done && !side.is_handshaking() {
            return Ok(Shaken { incoming, decrypted });
        }
        if read || done {
            if incoming.fill(io)? == 0 {
                return Err(HandshakeError::Closed);
            }
            if first.is_empty() {
                first = incoming.unprocessed().iter().take(super::stranger::SAMPLE).copied().collect();
            }
        }
    }
}

/// Appends the alert that a failure has made, if it has.
///
/// After a failure rustls may be asked for what it wants to send and for nothing else: it would process the same
/// bytes again, or miss them, and panics over either.
pub(super) fn last_words<S: Side>(side: &mut S, to: &mut Vec<u8>) {
    while side.wants_write() {
        match side.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(data)) => {
                if encode(data, to).is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}
