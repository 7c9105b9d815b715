//! A block device as a target, written with direct I/O.
//!
//! Holes on a thin LV: all of it, what is beyond the end of a smaller source too, is discarded before the first
//! write, so that what is not written is not mapped, and holes cost nothing. On any other device a discarded block
//! may read as anything, so holes are zeroed by the device where it offers that, else by writing zeros.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ALIGN, Target, block, guards};
use crate::error::{Error, Result};
use crate::stop::Stop;

/// What discarding does on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discards {
    /// A discarded chunk of so many bytes is unmapped and reads as zeros: a thin LV.
    Unmap {
        /// The pool's chunk size in bytes.
        chunk: u64,
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
        if let Discards::Unmap { chunk } = self.discards {
            let end = self.discard_all(chunk)?;
            // Set once: begin() is called once.
            let _ = self.unmapped_below.set(end);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        guards::refuse_if_smaller(&self.name, self.size, offset + data.len() as u64)?;
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
        guards::refuse_if_smaller(&self.name, self.size, offset.saturating_add(length))?;
        let (end, unmapped) = (offset + length, self.unmapped_below.get().copied().unwrap_or(0));
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

    fn finish(&self, _size: u64) -> Result<()> {
        // The buffered one first: its pages go to the device, and the flush of the other makes them last too.
        let synced = self.buffered.sync_all().and_then(|()| self.direct.sync_all());
        synced.map_err(|e| self.failed("cannot sync target", 0, &e))
    }
}
