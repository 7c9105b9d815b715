//! A block device as a target, written with direct I/O.
//!
//! Holes on a thin LV: all of it, what is beyond the end of a smaller source too, is discarded before the first
//! write, so that what is not written is not mapped, and holes cost nothing. On any other device a discarded block
//! may read as anything, so holes are zeroed by the device where it offers that, else by writing zeros.
//!
//! A pool may be told not to zero new chunks (lvchange --zero n): when data is written to a part of one, the rest
//! reads as whatever the pool held there. The holes' shares of such chunks are remembered, 16 bytes each and no more
//! of them than the map has extents, and zeroed at the end, where they do not read as zeros.

mod holes;
#[cfg(test)]
mod loop_device;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use memmap2::MmapMut;

use super::{ALIGN, Target, block, guards};
use crate::error::{Error, Result, Status};
use crate::stop::Stop;
use crate::usedmap::Extent;

/// What discarding does on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discards {
    /// A discarded chunk of so many bytes is unmapped and reads as zeros: a thin LV.
    Unmap {
        /// The pool's chunk size in bytes.
        chunk: u64,
        /// Whether the pool fills the rest of a chunk with zeros when a part of it is written for the first time.
        zeroed: bool,
    },
    /// Nothing is known of what a discarded block reads as.
    Unknown,
}

/// What the device holds where this run has not written.
#[derive(Debug, Clone, Copy)]
enum Started {
    /// Everything below this offset reads as zeros.
    Anew {
        /// In bytes, from the device's start.
        unmapped_below: u64,
    },
    /// Nobody knows.
    Again,
}

/// How much is read in one call where it cannot be read to where it is wanted.
const BOUNCE: usize = 64 << 10;

/// A block device.
pub struct BlockTarget {
    direct: File,
    /// For what is not aligned for direct I/O: the last bytes of an odd-sized volume.
    buffered: File,
    name: String,
    size: u64,
    sector: u64,
    discards: Discards,
    stop: Stop,
    /// `None` before anything has begun.
    started: RwLock<Option<Started>>,
    /// Holes' shares of chunks that data may map later, in a pool that does not zero new chunks.
    edges: Mutex<Vec<Extent>>,
    cannot_punch: AtomicBool,
    /// Whether chunks that become zeros piece by piece are to be unmapped: in a delta.
    joins_chunks: AtomicBool,
    /// The chunks of which a part became zeros.
    in_part_zeros: Mutex<BTreeSet<u64>>,
}

impl BlockTarget {
    /// Opens the device for this process alone.
    ///
    /// # Errors
    /// A guard's, when it is in use or read-only; else the system's.
    pub fn open(path: &Path, name: &str, discards: Discards, stop: &Stop) -> Result<Self> {
        let failed = |e: &io::Error| guards::cannot_open("cannot open target", name, e);
        let open = |flags| OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
        let metadata = std::fs::metadata(path).map_err(|e| failed(&e))?;
        let direct = match open(libc::O_EXCL | libc::O_DIRECT) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => open(libc::O_EXCL),
            other => other,
        };
        let direct = direct.map_err(|e| match e.raw_os_error() {
            Some(libc::EBUSY) => guards::busy_device(name, &metadata),
            Some(libc::EROFS | libc::EACCES) if nix::unistd::geteuid().is_root() => guards::read_only(name),
            _ => failed(&e),
        })?;
        if block::is_read_only(&direct).map_err(|e| failed(&e))? {
            return Err(guards::read_only(name));
        }
        guards::refuse_if_open(name, &metadata)?;
        Ok(BlockTarget {
            size: block::size(&direct).map_err(|e| failed(&e))?,
            sector: block::sector_size(&direct).map_err(|e| failed(&e))?,
            buffered: open(0).map_err(|e| failed(&e))?,
            direct,
            name: name.into(),
            discards,
            stop: stop.clone(),
            started: RwLock::default(),
            edges: Mutex::default(),
            cannot_punch: AtomicBool::new(false),
            joins_chunks: AtomicBool::new(false),
            in_part_zeros: Mutex::default(),
        })
    }

    /// The open device, for comparing it with the source.
    pub fn device(&self) -> &File {
        &self.direct
    }

    /// The device's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn failed(&self, what: &str, offset: u64, error: &io::Error) -> Error {
        let failed = Error::io(what, format_args!("{} at offset {offset}", self.name), error);
        match (error.raw_os_error(), self.discards) {
            (Some(libc::ENOSPC | libc::EIO), Discards::Unmap { .. }) => {
                failed.way_out("if the thin pool is full: lvextend the pool, or free space in it, and send again")
            }
            _ => failed,
        }
    }

    fn start(&self, how: Started) {
        *self.started.write().unwrap_or_else(PoisonError::into_inner) = Some(how);
    }

    /// Only a byte stream, whose length nobody knew before, comes to a device's end.
    fn check_end(&self, end: u64) -> Result<()> {
        if end <= self.size {
            return Ok(());
        }
        let why = format!("the stream is longer than the device's {} bytes", self.size);
        Err(Error::new(Status::Io, "cannot write target", &self.name, why).way_out("name a larger target"))
    }

    /// Whether the kernel takes this range as it is for direct I/O, discards and zeroing.
    fn is_aligned(&self, offset: u64, length: u64) -> bool {
        offset.is_multiple_of(self.sector) && length.is_multiple_of(self.sector)
    }

    /// Reads any range with direct I/O: to where it is wanted as far as that is aligned, the rest by way of a buffer.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let in_memory = into.as_ptr().addr() as u64;
        let is_aligned = offset.is_multiple_of(self.sector) && in_memory.is_multiple_of(ALIGN);
        let direct = if is_aligned { into.len() - into.len() % self.sector as usize } else { 0 };
        let (whole, rest) = into.split_at_mut(direct);
        self.direct.read_exact_at(whole, offset)?;
        if rest.is_empty() {
            return Ok(());
        }
        // A device ends with a sector, so there is always a whole one around.
        let mut bounce = MmapMut::map_anon(BOUNCE + 2 * self.sector as usize)?;
        let mut at = offset + direct as u64;
        for piece in rest.chunks_mut(BOUNCE) {
            let before = (at % self.sector) as usize;
            let sectors = (before + piece.len()).next_multiple_of(self.sector as usize);
            self.direct.read_exact_at(&mut bounce[..sectors], at - before as u64)?;
            piece.copy_from_slice(&bounce[before..before + piece.len()]);
            at += piece.len() as u64;
        }
        Ok(())
    }
}

impl Target for BlockTarget {
    fn begin(&self, size: Option<u64>) -> Result<()> {
        guards::refuse_if_smaller(&self.name, self.size, size.unwrap_or(0))?;
        let unmapped_below = match self.discards {
            Discards::Unmap { chunk, .. } => self.discard_all(chunk)?,
            Discards::Unknown => 0,
        };
        self.start(Started::Anew { unmapped_below });
        Ok(())
    }

    fn resume(&self, size: Option<u64>) -> Result<()> {
        guards::refuse_if_smaller(&self.name, self.size, size.unwrap_or(0))?;
        self.start(Started::Again);
        Ok(())
    }

    fn begin_delta(&self, size: Option<u64>) -> Result<()> {
        self.joins_chunks.store(true, Ordering::Relaxed);
        self.resume(size)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check_end(offset + data.len() as u64)?;
        let direct = if self.is_aligned(offset, data.len() as u64) { data.len() } else { 0 };
        let direct = direct.max(data.len() - data.len() % ALIGN as usize);
        let (whole, tail) = data.split_at(direct);
        let at = offset + direct as u64;
        self.direct
            .write_all_at(whole, offset)
            .and_then(|()| self.buffered.write_all_at(tail, at))
            .map_err(|e| self.failed("cannot write target", offset, &e))
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        self.check_end(offset.saturating_add(length))?;
        let end = offset + length;
        let started = *self.started.read().unwrap_or_else(PoisonError::into_inner);
        match started {
            Some(Started::Again) => self.make_hole_again(offset, end),
            Some(Started::Anew { unmapped_below }) => self.make_hole(offset, end, unmapped_below),
            None => self.make_hole(offset, end, 0),
        }
    }

    fn finish(&self, size: u64) -> Result<()> {
        self.zero_edges(size)?;
        self.unmap_zeros()?;
        // The buffered one first: its pages go to the device, and the flush of the other makes them last too.
        let synced = self.buffered.sync_all().and_then(|()| self.direct.sync_all());
        synced.map_err(|e| self.failed("cannot sync target", 0, &e))
    }

    fn sync(&self) -> Result<()> {
        let synced = self.buffered.sync_data().and_then(|()| self.direct.sync_data());
        synced.map_err(|e| self.failed("cannot sync target", 0, &e))
    }

    fn read_back(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.read_at(offset, into).map_err(|e| self.failed("cannot read target", offset, &e))
    }
}
