//! Holes on a block device.
//!
//! A transfer that begins anew has discarded a thin LV first, and has nothing to do for a hole there but to remember
//! its share of chunks, in a pool that does not zero them. One that goes on with an earlier one knows nothing of what
//! lies where a hole is to be:
//!
//! - On a thin LV the whole chunks of the hole are discarded, which costs next to nothing where they are not mapped.
//!   What is left of it at either end is read, and zeroed where it does not read as zeros; so a chunk that is not
//!   mapped stays so. In a pool that does not zero new chunks, data that this run has yet to write may map the chunk
//!   and bring up what the pool held there: so those ends are remembered again and zeroed at the end. That is why all
//!   holes have to be told again, those in parts that are there already too.
//! - On any other device it is zeroed again if the device does that by itself, else read and zeroed where needed.
//!
//! What is read here is read with direct I/O. The page cache may hold a page of zeros for a chunk that another
//! thread's direct write has mapped since: such a write drops only the pages that it covers.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use memmap2::MmapMut;
use nix::fcntl::{FallocateFlags, fallocate};

use super::{BlockTarget, Discards};
use crate::error::Result;
use crate::usedmap::Extent;
use crate::volume::block;

/// How much is discarded in one call: a call cannot be interrupted.
const DISCARD_STEP: u64 = 4 << 30;
/// How much is zeroed in one call, for the same reason; without help of the device it is written.
const ZERO_STEP: u64 = 64 << 20;
/// How much is read in one call to see whether it is zeros.
const READ_STEP: u64 = 1 << 20;
/// dm-thin's chunks are multiples of this.
const LEAST_CHUNK: u64 = 64 << 10;

impl BlockTarget {
    /// Makes a hole where everything below `unmapped_below` reads as zeros.
    pub(super) fn make_hole(&self, offset: u64, end: u64, unmapped_below: u64) -> Result<()> {
        self.remember_edges(offset, end.min(unmapped_below));
        self.in_steps(offset.max(unmapped_below), end, |at, length| match self.discards {
            Discards::Unmap { .. } => self.zero_unless_zero(at, length),
            Discards::Unknown => self.zero(at, length),
        })
    }

    /// Makes a hole where nothing is known of what the device holds.
    pub(super) fn make_hole_again(&self, offset: u64, end: u64) -> Result<()> {
        let Discards::Unmap { chunk, .. } = self.discards else {
            return self.in_steps(offset, end, |at, length| match self.punch(at, length) {
                true => Ok(()),
                false => self.zero_unless_zero(at, length),
            });
        };
        self.remember_edges(offset, end);
        let first = offset.next_multiple_of(chunk).min(end);
        let last = (end - end % chunk).max(first);
        self.remember_chunks([Extent::between(offset, first), Extent::between(last, end)], chunk);
        let discarded = if self.discard(first, last, chunk)? { last } else { first };
        self.in_steps(offset, first, |at, length| self.zero_unless_zero(at, length))?;
        self.in_steps(discarded, end, |at, length| self.zero_unless_zero(at, length))
    }

    /// In a delta, remembers the chunks of which a hole is only a part. With smaller chunks at the source, its discards
    /// come to a chunk here piece by piece, from delta to delta.
    fn remember_chunks(&self, pieces: [Extent; 2], chunk: u64) {
        if self.joins_chunks.load(Ordering::Relaxed) {
            let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
            let mut chunks = self.in_part_zeros.lock().unwrap_or_else(PoisonError::into_inner);
            chunks.extend(pieces.map(|piece| piece.offset / chunk));
        }
    }

    /// Unmaps the remembered chunks that hold nothing but zeros by now. Read up to their first other byte.
    pub(super) fn unmap_zeros(&self) -> Result<()> {
        let Discards::Unmap { chunk, .. } = self.discards else { return Ok(()) };
        let chunks = std::mem::take(&mut *self.in_part_zeros.lock().unwrap_or_else(PoisonError::into_inner));
        for offset in chunks.into_iter().map(|number| number * chunk) {
            let end = offset + chunk;
            if end <= self.size && self.is_zeros(offset, end)? {
                self.discard(offset, end, chunk)?;
            }
        }
        Ok(())
    }

    fn is_zeros(&self, offset: u64, end: u64) -> Result<bool> {
        let failed = |at, e: &io::Error| self.failed("cannot read target", at, e);
        let mut block = MmapMut::map_anon(READ_STEP.min(end - offset) as usize).map_err(|e| failed(offset, &e))?;
        let mut at = offset;
        while at < end {
            self.stop.check()?;
            let piece = (end - at).min(READ_STEP);
            let block = &mut block[..piece as usize];
            self.read_at(at, block).map_err(|e| failed(at, &e))?;
            if block.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += piece;
        }
        Ok(true)
    }

    /// Discards all whole chunks of the device; how far that reaches.
    pub(super) fn discard_all(&self, chunk: u64) -> Result<u64> {
        let end = self.size - self.size % chunk;
        Ok(if self.discard(0, end, chunk)? { end } else { 0 })
    }

    /// Discards whole chunks. `false` for a pool that ignores discards: zeros have to be written, and will be mapped.
    fn discard(&self, begin: u64, end: u64, chunk: u64) -> Result<bool> {
        let step = DISCARD_STEP - DISCARD_STEP % chunk;
        let mut offset = begin;
        while offset < end {
            self.stop.check()?;
            let length = step.min(end - offset);
            match block::discard(&self.direct, offset, length) {
                Ok(()) => offset += length,
                Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(false),
                Err(e) => return Err(self.failed("cannot discard target", offset, &e)),
            }
        }
        Ok(true)
    }

    /// Zeroes a range so that a signal is not waited for too long.
    fn in_steps(&self, begin: u64, end: u64, zero: impl Fn(u64, u64) -> io::Result<()>) -> Result<()> {
        let mut at = begin;
        while at < end {
            self.stop.check()?;
            let length = ZERO_STEP.min(end - at);
            zero(at, length).map_err(|e| self.failed("cannot zero target", at, &e))?;
            at += length;
        }
        Ok(())
    }

    /// Zeroes by unmapping; `false` where the device does not do that with a result that is known to be zeros.
    fn punch(&self, offset: u64, length: u64) -> bool {
        if self.cannot_punch.load(Ordering::Relaxed) || !self.is_aligned(offset, length) {
            return false;
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let punched = fallocate(&self.direct, flags, offset as i64, length as i64).is_ok();
        self.cannot_punch.fetch_or(!punched, Ordering::Relaxed);
        punched
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        if self.is_aligned(offset, length) {
            return match self.punch(offset, length) {
                true => Ok(()),
                false => block::zero_out(&self.direct, offset, length),
            };
        }
        let aligned = length - length % self.sector;
        if !offset.is_multiple_of(self.sector) {
            return self.buffered.write_all_at(&vec![0; length as usize], offset);
        }
        if aligned > 0 {
            self.zero(offset, aligned)?;
        }
        self.buffered.write_all_at(&vec![0; (length - aligned) as usize], offset + aligned)
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
    pub(super) fn zero_edges(&self, size: u64) -> Result<()> {
        let Discards::Unmap { chunk, zeroed: false } = self.discards else { return Ok(()) };
        let mut edges = std::mem::take(&mut *self.edges.lock().unwrap_or_else(PoisonError::into_inner));
        edges.push(Extent::between(size, size.next_multiple_of(chunk).min(self.size).max(size)));
        for edge in edges {
            self.in_steps(edge.offset, edge.end(), |at, length| self.zero_unless_zero(at, length))?;
        }
        Ok(())
    }

    /// In what was not discarded, of a device where writing zeros would map a chunk: zeros only over other bytes.
    fn zero_unless_zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut block = MmapMut::map_anon(READ_STEP.min(length).max(1) as usize)?;
        let mut done = 0;
        while done < length {
            let (at, piece) = (offset + done, (length - done).min(READ_STEP));
            let block = &mut block[..piece as usize];
            self.read_at(at, block)?;
            self.zero_what_is_not(at, block)?;
            done += piece;
        }
        Ok(())
    }

    /// Zeroes what of a block, which was just read at `offset`, holds other bytes. In pieces that are each within a
    /// chunk: a chunk that is not mapped is not to be mapped for its neighbour's sake.
    fn zero_what_is_not(&self, offset: u64, block: &[u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, block);
        while !rest.is_empty() {
            let length = (LEAST_CHUNK - at % LEAST_CHUNK).min(rest.len() as u64);
            let (piece, after) = rest.split_at(length as usize);
            if piece.iter().any(|byte| *byte != 0) {
                self.zero(at, length)?;
            }
            (at, rest) = (at + length, after);
        }
        Ok(())
    }
}
