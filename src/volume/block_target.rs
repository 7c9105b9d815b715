//! A block device as a target, written with direct I/O.
//!
//! Holes on a thin LV: all of it, what is beyond the end of a smaller source too, is discarded before the first
//! write, so that what is not written is not mapped, and holes cost nothing. On any other device a discarded block
//! may read as anything, so holes are zeroed by the device where it offers that, else by writing zeros.
//!
//! A pool may be told not to zero new chunks (lvchange --zero n): when data is written to a part of one, the rest
//! reads as whatever the pool held there. The holes' shares of such chunks are remembered, 16 bytes each and no more
//! of them than the map has extents, and zeroed at the end, where they do not read as zeros.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

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

/// How much is discarded in one call: a call cannot be interrupted.
const DISCARD_STEP: u64 = 4 << 30;
/// How much is zeroed in one call, for the same reason; without help of the device it is written.
const ZERO_STEP: u64 = 64 << 20;

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
    /// Everything below reads as zeros unless written since.
    unmapped_below: OnceLock<u64>,
    /// Holes' shares of chunks that data may map later, in a pool that does not zero new chunks.
    edges: Mutex<Vec<Extent>>,
    cannot_punch: AtomicBool,
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
            unmapped_below: OnceLock::new(),
            edges: Mutex::default(),
            cannot_punch: AtomicBool::new(false),
        })
    }

    /// The open device, for comparing it with the source.
    pub fn device(&self) -> &File {
        &self.direct
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

    /// Only a byte stream, whose length nobody knew before, comes to a device's end.
    fn check_end(&self, end: u64) -> Result<()> {
        if end <= self.size {
            return Ok(());
        }
        let why = format!("the stream is longer than the device's {} bytes", self.size);
        Err(Error::new(Status::Io, "cannot write target", &self.name, why).way_out("name a larger target"))
    }

    /// Discards all whole chunks of the device; how far that reaches.
    fn discard_all(&self, chunk: u64) -> Result<u64> {
        let end = self.size - self.size % chunk;
        let step = DISCARD_STEP - DISCARD_STEP % chunk;
        let mut offset = 0;
        while offset < end {
            self.stop.check()?;
            let length = step.min(end - offset);
            match block::discard(&self.direct, offset, length) {
                Ok(()) => offset += length,
                // A pool that ignores discards: zeros have to be written, and will be mapped.
                Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(0),
                Err(e) => return Err(self.failed("cannot discard target", offset, &e)),
            }
        }
        Ok(end)
    }

    /// Whether the kernel takes this range as it is for direct I/O, discards and zeroing.
    fn is_aligned(&self, offset: u64, length: u64) -> bool {
        offset.is_multiple_of(self.sector) && length.is_multiple_of(self.sector)
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        if !self.is_aligned(offset, length) {
            let aligned = length - length % self.sector;
            if !offset.is_multiple_of(self.sector) {
                return self.buffered.write_all_at(&vec![0; length as usize], offset);
            }
            if aligned > 0 {
                self.zero(offset, aligned)?;
            }
            return self.buffered.write_all_at(&vec![0; (length - aligned) as usize], offset + aligned);
        }
        if !self.cannot_punch.load(Ordering::Relaxed) {
            use nix::fcntl::{FallocateFlags, fallocate};
            // On a block device: zero by unmapping, or fail where that is not known to give zeros.
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            match fallocate(&self.direct, flags, offset as i64, length as i64) {
                Ok(()) => return Ok(()),
                Err(_) => self.cannot_punch.store(true, Ordering::Relaxed),
            }
        }
        block::zero_out(&self.direct, offset, length)
    }

    /// Remembers what of a hole in discarded space shares a chunk with something else.
    fn remember_edges(&self, offset: u64, end: u64) {
        let Discards::Unmap { chunk, zeroed: false } = self.discards else { return };
        if offset >= end {
            return;
        }
        let (first, last) = (offset.next_multiple_of(chunk).min(end), end - end % chunk);
        let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let mut remember = |edge: Extent| match edges.last_mut() {
            _ if edge.is_empty() => {}
            Some(before) if before.end() == edge.offset => before.length += edge.length,
            _ => edges.push(edge),
        };
        remember(Extent::between(offset, first));
        remember(Extent::between(last.max(first), end));
    }

    /// Zeroes what is remembered, and what follows the volume in its last chunk. All data is written by now: a chunk
    /// that is still not mapped reads as zeros and stays so.
    fn zero_edges(&self, size: u64) -> Result<()> {
        let Discards::Unmap { chunk, zeroed: false } = self.discards else { return Ok(()) };
        let mut edges = std::mem::take(&mut *self.edges.lock().unwrap_or_else(PoisonError::into_inner));
        edges.push(Extent::between(size, size.next_multiple_of(chunk).min(self.size).max(size)));
        for edge in edges {
            self.stop.check()?;
            self.zero_unless_zero(edge.offset, edge.length)
                .map_err(|e| self.failed("cannot zero target", edge.offset, &e))?;
        }
        Ok(())
    }

    /// In what was not discarded, of a device where writing zeros would map a chunk: zeros only over other bytes.
    fn zero_unless_zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut block = vec![0; (64 << 10).min(length) as usize];
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(block.len() as u64);
            let at = offset + done;
            self.buffered.read_exact_at(&mut block[..piece as usize], at)?;
            if block[..piece as usize].iter().any(|byte| *byte != 0) {
                self.zero(at, piece)?;
            }
            done += piece;
        }
        Ok(())
    }
}

impl Target for BlockTarget {
    fn begin(&self, size: Option<u64>) -> Result<()> {
        guards::refuse_if_smaller(&self.name, self.size, size.unwrap_or(0))?;
        if let Discards::Unmap { chunk, .. } = self.discards {
            let end = self.discard_all(chunk)?;
            // Set once: begin() is called once.
            let _ = self.unmapped_below.set(end);
        }
        Ok(())
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
        let (end, unmapped) = (offset + length, self.unmapped_below.get().copied().unwrap_or(0));
        self.remember_edges(offset, end.min(unmapped));
        let mut at = offset.max(unmapped);
        while at < end {
            self.stop.check()?;
            let piece = ZERO_STEP.min(end - at);
            let zeroed = match self.discards {
                Discards::Unmap { .. } => self.zero_unless_zero(at, piece),
                Discards::Unknown => self.zero(at, piece),
            };
            zeroed.map_err(|e| self.failed("cannot zero target", at, &e))?;
            at += piece;
        }
        Ok(())
    }

    fn finish(&self, size: u64) -> Result<()> {
        self.zero_edges(size)?;
        // The buffered one first: its pages go to the device, and the flush of the other makes them last too.
        let synced = self.buffered.sync_all().and_then(|()| self.direct.sync_all());
        synced.map_err(|e| self.failed("cannot sync target", 0, &e))
    }
}
