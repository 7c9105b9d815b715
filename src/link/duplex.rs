//! The two halves of an encrypted link, used by two threads at once.
//!
//! One lock is around the TLS connection. It is held only while records are encrypted or decrypted, never across a
//! system call: neither thread can wait for the other's peer, however full both directions are, so they cannot
//! deadlock. The socket blocks, and each half blocks on its own direction of it.
//!
//! What TLS itself wants to send (a key update, an alert) is made by whichever half meets it, queued under the lock,
//! and sent by the writer before its next record, which keeps records in the order of their numbers.
//!
//! Memory: [`READ`] of what comes, [`STEP`] and a little of what goes, and one record that was read in part.

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};

use super::handshake::{Incoming, Shaken, Side, encode, last_words};
use super::socket::{Deadline, Timely};
use super::{Link, tcp};
use crate::stop::Stop;

/// Bytes that one read takes from the socket at most.
const READ: usize = 128 << 10;
/// Bytes that are encrypted, and then written, at a time.
const STEP: usize = 128 << 10;
/// What fits into a record. Shorter slices are joined, so that a frame's header has none of its own.
const RECORD: usize = 1 << 14;
/// How long saying the end may take where the peer does not read.
const FAREWELL: Duration = Duration::from_secs(1);

struct Shared<S> {
    tls: Mutex<Tls<S>>,
    socket: Arc<TcpStream>,
}

struct Tls<S> {
    side: S,
    /// To be sent before anything that is encrypted from now on.
    queued: Vec<u8>,
    /// The peer has said that it sends no more.
    ended: bool,
    /// What came cannot be believed: rustls is not asked for anything any more.
    failed: Option<rustls::Error>,
}

/// The halves of a connection whose handshake is done.
pub(super) fn halves<S: Side>(side: S, shaken: Shaken, socket: Arc<TcpStream>) -> (Reader<S>, Writer<S>) {
    let tls = Mutex::new(Tls { side, queued: Vec::new(), ended: false, failed: None });
    let shared = Arc::new(Shared { tls, socket });
    let reader = Reader {
        shared: Arc::clone(&shared),
        incoming: shaken.incoming.enlarged(READ),
        rest: shaken.decrypted,
        taken: 0,
    };
    let writer =
        Writer { shared, outgoing: vec![0; STEP + RECORD], joined: Vec::with_capacity(RECORD), failed: false };
    (reader, writer)
}

/// A link of these halves.
pub(super) fn link<S: Side>((reader, writer): (Reader<S>, Writer<S>), name: String) -> Link {
    let hang_up = tcp::hang_up(&reader.shared.socket);
    Link { name, hang_up, reader: Box::new(reader), writer: Box::new(writer) }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Tls<S>> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(error: &rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the encrypted connection is broken: {error}"))
}

/// What the peer sends. The end is the peer's word for it; a connection that just ends is an error.
pub(super) struct Reader<S> {
    shared: Arc<Shared<S>>,
    incoming: Incoming,
    /// Of the last record, what did not fit into the caller's buffer; so much of it is taken.
    rest: Vec<u8>,
    taken: usize,
}

impl<S: Side> Reader<S> {
    /// Reads what comes from `source`, which is the link's own socket in one way or another.
    pub(super) fn read_from(&mut self, source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if self.taken < self.rest.len() {
                let length = into.len().min(self.rest.len() - self.taken);
                into[..length].copy_from_slice(&self.rest[self.taken..self.taken + length]);
                self.taken += length;
                return Ok(length);
            }
            let (length, ended) = self.decrypt(into)?;
            if length > 0 || ended {
                return Ok(length);
            }
            if self.incoming.fill(source)? == 0 {
                let cut = "the connection was cut: it ended without the peer's saying so";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
            }
        }
    }

    /// Decrypts records that are there whole, until there are no more or `into` is full; how much of it is, and
    /// whether the peer has said that no more comes.
    ///
    /// # Errors
    /// What is wrong with the next record; the good ones before it come first.
    fn decrypt(&mut self, into: &mut [u8]) -> io::Result<(usize, bool)> {
        let mut guard = self.shared.lock();
        let Tls { side, queued, ended, failed } = &mut *guard;
        self.rest.clear();
        self.taken = 0;
        let mut filled = 0;
        while failed.is_none() {
            let UnbufferedStatus { discard, state } = side.process(self.incoming.unprocessed());
            let (mut more, mut starved) = (true, false);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        let fits = record.payload.len().min(into.len() - filled);
                        into[filled..filled + fits].copy_from_slice(&record.payload[..fits]);
                        self.rest.extend_from_slice(&record.payload[fits..]);
                        filled += fits;
                    }
                    more = filled < into.len();
                }
                Ok(ConnectionState::EncodeTlsData(data)) => *failed = encode(data, queued).err(),
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    *ended = true;
                    more = false;
                }
                Ok(_) => (more, starved) = (false, true),
                Err(error) => *failed = Some(error),
            }
            self.incoming.discard(discard);
            if failed.is_some() {
                last_words(side, queued);
            } else if starved && !*ended && self.incoming.has_record() {
                // A message in pieces, of which rustls keeps the places: the writer, who has no part in what comes,
                // must not ask it anything then. No lvpipe sends such.
                *failed = Some(rustls::Error::General("a message of the encryption came in pieces".into()));
            }
            if !more {
                break;
            }
        }
        match failed {
            Some(error) if filled == 0 => Err(broken(error)),
            _ => Ok((filled, *ended)),
        }
    }
}

impl<S: Side> Read for Reader<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let socket = Arc::clone(&self.shared.socket);
        self.read_from(&mut &*socket, into)
    }
}

/// What the peer gets. All that a write has taken is in the kernel's hands when it returns. Dropping it says the
/// end, while answers may still come.
pub(super) struct Writer<S: Side> {
    shared: Arc<Shared<S>>,
    outgoing: Vec<u8>,
    joined: Vec<u8>,
    /// Part of a record may have been written: no other can follow it.
    failed: bool,
}

impl<S: Side> Writer<S> {
    /// Lets `encrypt` fill `outgoing`, and what is to be sent before it; how much of it is filled.
    fn encrypt<T>(
        &mut self,
        encrypt: impl FnOnce(&mut WriteTraffic<'_, S::Data>, &mut Outgoing<'_>, &mut Vec<u8>) -> Result<T, EncryptError>,
    ) -> io::Result<(T, usize)> {
        let mut tls = self.shared.lock();
        let Tls { side, queued, ended, failed } = &mut *tls;
        if let Some(error) = failed {
            return Err(broken(error));
        }
        loop {
            // With nothing that comes: the reader's half alone takes that.
            match side.process(&mut []).state.map_err(|e| broken(&e))? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let mut outgoing = Outgoing { bytes: &mut self.outgoing, filled: 0 };
                    outgoing.append(queued);
                    queued.clear();
                    let done = encrypt(&mut traffic, &mut outgoing, &mut self.joined);
                    let done = done.map_err(|e| io::Error::other(format!("cannot encrypt: {e}")))?;
                    return Ok((done, outgoing.filled));
                }
                ConnectionState::EncodeTlsData(data) => encode(data, queued).map_err(|e| broken(&e))?,
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                // Said once, and the reader wants to know.
                ConnectionState::PeerClosed => *ended = true,
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    fn send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let (taken, filled) =
            self.encrypt(|traffic, outgoing, joined| encrypt_step(traffic, outgoing, joined, slices))?;
        (&*self.shared.socket).write_all(&self.outgoing[..filled])?;
        Ok(taken)
    }
}

/// The bytes that go out next.
struct Outgoing<'a> {
    bytes: &'a mut Vec<u8>,
    filled: usize,
}

impl Outgoing<'_> {
    fn append(&mut self, bytes: &[u8]) {
        if self.bytes.len() - self.filled < bytes.len() {
            self.bytes.resize(self.filled + bytes.len(), 0);
        }
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Appends what `encrypt` makes; there is room for it the second time.
    fn make(
        &mut self,
        mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), EncryptError> {
        let made = match encrypt(&mut self.bytes[self.filled..]) {
            Err(EncryptError::InsufficientSize(needed)) => {
                self.bytes.resize(self.filled + needed.required_size, 0);
                encrypt(&mut self.bytes[self.filled..])
            }
            other => other,
        };
        self.filled += made?;
        Ok(())
    }
}

/// Encrypts the first bytes of these slices, [`STEP`] at most; how many.
fn encrypt_step<D>(
    traffic: &mut WriteTraffic<'_, D>,
    outgoing: &mut Outgoing<'_>,
    joined: &mut Vec<u8>,
    slices: &[IoSlice<'_>],
) -> Result<usize, EncryptError> {
    let mut taken = 0;
    joined.clear();
    for slice in slices {
        let mut slice = &slice[..slice.len().min(STEP - taken)];
        taken += slice.len();
        if !joined.is_empty() || slice.len() < RECORD {
            let (first, rest) = slice.split_at(slice.len().min(RECORD - joined.len()));
            joined.extend_from_slice(first);
            slice = rest;
            if joined.len() == RECORD {
                outgoing.make(|into| traffic.encrypt(joined, into))?;
                joined.clear();
            }
        }
        let (whole, rest) = if slice.len() < RECORD { (&slice[..0], slice) } else { (slice, &slice[..0]) };
        if !whole.is_empty() {
            outgoing.make(|into| traffic.encrypt(whole, into))?;
        }
        joined.extend_from_slice(rest);
    }
    if !joined.is_empty() {
        outgoing.make(|into| traffic.encrypt(joined, into))?;
    }
    Ok(taken)
}

impl<S: Side> Write for Writer<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = self.send(slices);
        self.failed = sent.is_err();
        sent
    }

    /// Nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Side> Drop for Writer<S> {
    fn drop(&mut self) {
        if !self.failed {
            let said = self.encrypt(|traffic, outgoing, _| outgoing.make(|into| traffic.queue_close_notify(into)));
            let last = match said {
                Ok(((), filled)) => mem::take(&mut self.outgoing).drain(..filled).collect(),
                // What came could not be believed: the peer gets the alert that says so.
                Err(_) => mem::take(&mut self.shared.lock().queued),
            };
            let stop = Stop::new();
            let deadline = Deadline::after(FAREWELL, &stop);
            // Whoever is not told sees a connection that was cut.
            let _ = Timely { socket: &self.shared.socket, deadline }.write_all(&last);
        }
        let _ = self.shared.socket.shutdown(Shutdown::Write);
    }
}
