//! The two halves of an encrypted link, used by two threads at once.
//!
//! One lock is around the TLS connection. It is held only while records are encrypted or decrypted, from memory to
//! memory, never across a system call: neither thread can wait for the other's peer, however full both directions
//! are, so they cannot deadlock. The socket blocks, and each half blocks on its own direction of it.
//!
//! What TLS itself wants to send (a key update, an alert) goes out with the writer's next record, in order.
//!
//! Ways that were tried, by processor time over loopback (AES-128-GCM, both ends on one host; plain TCP: 0.30 s/GB):
//! this one 0.47 s/GB; rustls's connections without buffers 0.43 to 0.49, for twice the code and with panics where a
//! failure leaves bytes behind; sending under the lock without blocking, which saves a copy, 0.43.
//!
//! Memory: [`READ`] of what comes, [`STEP`] and a little of what goes, and a few records in rustls.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::Connection;

use super::socket::{Deadline, Timely};
use super::{Link, tcp};
use crate::stop::Stop;

/// Bytes that one read takes from the socket at most.
const READ: usize = 128 << 10;
/// Bytes that are encrypted, and then written, at a time. Of 32 KiB to 512 KiB the fastest, as for [`READ`].
const STEP: usize = 128 << 10;
/// How long saying the end may take where the peer does not read.
const FAREWELL: Duration = Duration::from_secs(1);

struct Shared {
    tls: Mutex<Connection>,
    socket: Arc<TcpStream>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The halves of a connection whose handshake is done.
pub(super) fn halves(mut tls: Connection, socket: Arc<TcpStream>) -> (Reader, Writer) {
    tls.set_buffer_limit(Some(STEP));
    let shared = Arc::new(Shared { tls: Mutex::new(tls), socket });
    let reader = Reader { shared: Arc::clone(&shared), incoming: vec![0; READ].into(), unprocessed: 0..0 };
    (reader, Writer { shared, outgoing: Vec::new(), failed: false })
}

/// A link of these halves.
pub(super) fn link((reader, writer): (Reader, Writer), name: String) -> Link {
    let hang_up = tcp::hang_up(&reader.shared.socket);
    Link { name, hang_up, reader: Box::new(reader), writer: Box::new(writer) }
}

/// What the peer sends. The end is the peer's word for it; a connection that just ends is an error.
pub(super) struct Reader {
    shared: Arc<Shared>,
    incoming: Box<[u8]>,
    unprocessed: Range<usize>,
}

impl Reader {
    /// Reads what comes from `source`, which is the link's own socket in one way or another.
    pub(super) fn read_from(&mut self, source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(length) = self.decrypt(into)? {
                return Ok(length);
            }
            let length = source.read(&mut self.incoming)?;
            if length == 0 {
                let cut = "the connection was cut: it ended without the peer's saying so";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
            }
            self.unprocessed = 0..length;
        }
    }

    /// Decrypts what has come, as far as it fits; how much it was, 0 when the peer has said that no more comes.
    /// `None`: more must come first.
    ///
    /// # Errors
    /// What is wrong with the next record, now and for ever; the good ones before it come first.
    fn decrypt(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut tls = self.shared.lock();
        let mut filled = 0;
        while filled < into.len() {
            match tls.reader().read(&mut into[filled..]) {
                Ok(0) => return Ok(Some(filled)),
                Ok(length) => {
                    filled += length;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            if self.unprocessed.is_empty() {
                break;
            }
            self.unprocessed.start += tls.read_tls(&mut &self.incoming[self.unprocessed.clone()])?;
            match tls.process_new_packets() {
                Ok(_) => {}
                // It is kept, and comes again with the next bytes.
                Err(_) if filled > 0 => break,
                Err(e) => {
                    let why = format!("the encrypted connection is broken: {e}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        Ok((filled > 0).then_some(filled))
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let socket = Arc::clone(&self.shared.socket);
        self.read_from(&mut &*socket, into)
    }
}

/// What the peer gets. All that a write has taken is in the kernel's hands when it returns. Dropping it says the
/// end, while answers may still come.
pub(super) struct Writer {
    shared: Arc<Shared>,
    outgoing: Vec<u8>,
    /// Part of a record may have been written: no other can follow it.
    failed: bool,
}

impl Writer {
    /// Encrypts [`STEP`] of these at most, short ones together, and sends them.
    fn send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = {
            let mut tls = self.shared.lock();
            let taken = tls.writer().write_vectored(slices)?;
            encrypted(&mut tls, &mut self.outgoing)?;
            taken
        };
        (&*self.shared.socket).write_all(&self.outgoing)?;
        Ok(taken)
    }
}

/// Takes the records that are ready to be sent.
fn encrypted(tls: &mut Connection, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    while tls.wants_write() {
        tls.write_tls(into)?;
    }
    Ok(())
}

impl Write for Writer {
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

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.failed {
            let last = {
                let mut tls = self.shared.lock();
                tls.send_close_notify();
                encrypted(&mut tls, &mut self.outgoing)
            };
            let stop = Stop::new();
            let deadline = Deadline::after(FAREWELL, &stop);
            // Whoever is not told sees a connection that was cut.
            let _ = last.and_then(|()| Timely { socket: &self.shared.socket, deadline }.write_all(&self.outgoing));
        }
        let _ = self.shared.socket.shutdown(Shutdown::Write);
    }
}
