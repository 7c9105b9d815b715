//! Byte streams: stdin as a source of unknown length, a pipe as a target that takes everything in order.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use super::Target;
use crate::error::{Error, Result};
use crate::stdio;

/// Stdin without a buffer of its own, to be read in parts.
///
/// # Errors
/// A usage error when it is a terminal, or closed.
pub fn stdin_stream() -> Result<File> {
    stdio::input("no stream to read", "put a pipe or a file there: tar c . | lvpipe send - | ...")
}

/// Stdout or another pipe, written densely: holes become zeros.
pub struct StreamTarget {
    to: Mutex<File>,
    name: String,
}

impl StreamTarget {
    /// # Errors
    /// A usage error when stdout is a terminal, or closed.
    pub fn stdout() -> Result<Self> {
        let to = stdio::output("nowhere to write to", "put a pipe or a file there: ... | sha256sum")?;
        Ok(Self::new(to, "stdout"))
    }

    /// Any file that is only appended to: a character device, a FIFO.
    pub fn new(to: File, name: &str) -> Self {
        stdio::enlarge(&to);
        StreamTarget { to: Mutex::new(to), name: name.into() }
    }

    fn write_all(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(data).map_err(|e| {
            let on = format!("{} at offset {offset}", self.name);
            let error = Error::io("cannot write target", on, &e);
            match e.kind() {
                io::ErrorKind::BrokenPipe => error.way_out("the process that read it has ended: see its message"),
                _ => error,
            }
        })
    }
}

impl Target for StreamTarget {
    fn in_order(&self) -> bool {
        true
    }

    fn begin(&self, _size: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write_all(offset, data)
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(ZEROS.len() as u64);
            self.write_all(offset + done, &ZEROS[..piece as usize])?;
            done += piece;
        }
        Ok(())
    }

    fn finish(&self, _size: u64) -> Result<()> {
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        match to.sync_all() {
            // A pipe has nothing to sync; a file behind stdout has.
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP)) => {
                Err(Error::io("cannot sync target", &self.name, &e))
            }
            _ => Ok(()),
        }
    }
}
