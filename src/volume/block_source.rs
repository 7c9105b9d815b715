//! A block device as a source, read with direct I/O: what passes through once has no place in the page cache.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{ALIGN, Source, block, guards};
use crate::error::{Error, Result};

/// A block device.
pub struct BlockSource {
    device: File,
    name: String,
    size: u64,
}

impl BlockSource {
    /// Opens `path`; `name` is for messages.
    ///
    /// # Errors
    /// When it cannot be opened or is no block device.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let failed = |e: io::Error| guards::cannot_open("cannot open source", name, &e);
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
        let device = match open(libc::O_DIRECT) {
            // Some drivers have no direct I/O.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => open(0),
            other => other,
        }
        .map_err(failed)?;
        let size = block::size(&device).map_err(failed)?;
        Ok(BlockSource { device, name: name.into(), size })
    }

    /// Reads as far as it goes; a short count is followed by the error at the next call.
    fn read_some(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.device.read_at(&mut into[filled..], offset + filled as u64) {
                Ok(0) => return Err(io::Error::other("the device ends here")),
                Ok(length) => filled += length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if filled == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(filled)
    }

    /// The error of a range that could not be read in one go, with the place of the first block that cannot.
    fn locate(&self, offset: u64, into: &mut [u8], error: &io::Error) -> Error {
        let failed = |at: u64, why: &io::Error| {
            Error::io("cannot read source", format_args!("{} at offset {at}", self.name), why)
        };
        for (index, block) in into.chunks_mut(ALIGN as usize).enumerate() {
            let at = offset + index as u64 * ALIGN;
            if let Err(why) = self.read_some(at, block) {
                return failed(at, &why);
            }
        }
        failed(offset, error)
    }
}

impl Source for BlockSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            let at = offset + filled as u64;
            match self.read_some(at, &mut into[filled..]) {
                Ok(length) => filled += length,
                Err(e) => return Err(self.locate(at, &mut into[filled..], &e)),
            }
        }
        Ok(())
    }
}
