//! A link over plain TCP. Each half is used by one thread and blocks there; memory is the kernel's socket buffers.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use super::{HangUp, Link};

/// Halves of a connection whose peer may be trusted, or is at least meant.
pub(super) fn link(socket: Arc<TcpStream>, name: String) -> Link {
    Link {
        name,
        hang_up: hang_up(&socket),
        reader: Box::new(Reader(Arc::clone(&socket))),
        writer: Box::new(Writer(socket)),
    }
}

/// Shuts the connection down, which wakes who blocks on it; the descriptor is closed with the last half.
pub(super) fn hang_up(socket: &Arc<TcpStream>) -> HangUp {
    let socket = Arc::clone(socket);
    HangUp::new(move || {
        // Not connected any more is what is wanted.
        let _ = socket.shutdown(Shutdown::Both);
    })
}

struct Reader(Arc<TcpStream>);

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(into)
    }
}

/// Dropping it says the end to the peer, while answers may still come.
struct Writer(Arc<TcpStream>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0).write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
