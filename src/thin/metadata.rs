//! Where metadata blocks come from: a pool's metadata device, or a file with a copy of it.
//!
//! In: block numbers, many at a time. Out: their content, checksums and places checked. A device is read with
//! O_DIRECT: the kernel writes metadata past the page cache, so what the cache holds of an active pool can be old,
//! and old blocks have valid checksums. Blocks asked for together are sorted, neighbours are read in one call, and
//! a few threads share the rest, which live as long as the call: a tree's leaves can be scattered all
//! over the device, and one read at a time would wait for each. No memory but the caller's buffer.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::uio::preadv;

use super::error::{Checked, ThinError};
use super::superblock::{self, Superblock};
use crate::error::{Error, Result};

/// The size of a metadata block in bytes, `THIN_METADATA_BLOCK_SIZE`.
pub const BLOCK_SIZE: usize = 4096;

/// How many threads read at once, at the most: enough to keep an SSD busy.
const READERS: usize = 8;

/// A thread is not worth starting for less than this number of blocks.
const LEAST_BLOCKS_A_READER: usize = 8;

/// The most blocks read in one call: 1 MiB, and below the 1024 buffers that preadv(2) takes.
const MOST_BLOCKS_A_CALL: usize = 256;

/// One metadata block, aligned as O_DIRECT wants it.
#[derive(Clone)]
#[repr(C, align(4096))]
pub(super) struct Block(pub(super) [u8; BLOCK_SIZE]);

impl Block {
    pub(super) const ZERO: Block = Block([0; BLOCK_SIZE]);

    /// The little-endian u32 at `offset`.
    pub(super) fn u32_at(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes_at(offset))
    }

    /// The little-endian u64 at `offset`.
    pub(super) fn u64_at(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes_at(offset))
    }

    /// `N` bytes at `offset`, both within the block.
    pub(super) fn bytes_at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.0[offset..offset + N]);
        bytes
    }

    /// Checks the two things that every kind of block has: a CRC32C over all after itself, XORed with the kind's
    /// own number, and the number of the block.
    pub(super) fn check(&self, block: u64, checksum_xor: u32) -> Checked<()> {
        // The kernel's crc32c() does not invert at the end, the usual one does.
        let computed = !crc32c::crc32c(&self.0[4..]) ^ checksum_xor;
        let stored = self.u32_at(0);
        if stored != computed {
            return Err(ThinError::Checksum { block, stored, computed });
        }
        let says = self.u64_at(8);
        if says != block {
            return Err(ThinError::Misplaced { block, says });
        }
        Ok(())
    }
}

/// A block to be read, and where to.
pub(super) struct Wanted<'a> {
    pub(super) number: u64,
    pub(super) into: &'a mut Block,
}

/// A pool's metadata, open for reading.
#[derive(Debug)]
pub struct Metadata {
    file: File,
    path: PathBuf,
    blocks: u64,
}

impl Metadata {
    /// Opens a metadata device, or a file with a copy of one. Nothing is read yet.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |why: io::Error| Error::io("cannot open thin metadata", path.display(), &why);
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Error::guard(
                "cannot open thin metadata",
                path.display(),
                "it is neither a file nor a block device",
            ));
        }
        let direct = if kind.is_block_device() { libc::O_DIRECT } else { 0 };
        let mut file = OpenOptions::new().read(true).custom_flags(direct).open(path).map_err(failed)?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Metadata { file, path: path.to_path_buf(), blocks: bytes / BLOCK_SIZE as u64 })
    }

    /// Where the metadata lies, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many whole blocks there are.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Reads the superblock, or the copy of it that a metadata snapshot has made in block `root`.
    pub fn superblock(&self, root: u64) -> Result<Superblock> {
        superblock::read(self, root).map_err(|why| why.on(&self.path))
    }

    /// Reads one block, unchecked.
    pub(super) fn read_one(&self, number: u64) -> Checked<Box<Block>> {
        let mut block = Box::new(Block::ZERO);
        self.read_in_order(&mut [Wanted { number, into: &mut block }])?;
        Ok(block)
    }

    /// Reads the first bytes, padded with zeros, of a file that is too short for a block.
    pub(super) fn read_begin(&self) -> Checked<Block> {
        let mut begin = Block::ZERO;
        self.file.read_at(&mut begin.0, 0).map_err(|source| ThinError::Read { block: 0, source })?;
        Ok(begin)
    }

    /// Reads many blocks, and checks each with `check`, which is called on the threads that read.
    pub(super) fn read_many(
        &self,
        mut wanted: Vec<Wanted<'_>>,
        check: impl Fn(u64, &Block) -> Checked<()> + Sync,
    ) -> Checked<()> {
        wanted.sort_unstable_by_key(|wanted| wanted.number);
        let share = wanted.len().div_ceil(READERS).max(LEAST_BLOCKS_A_READER);
        let read = |wanted: &mut [Wanted<'_>]| {
            self.read_in_order(wanted)?;
            wanted.iter().try_for_each(|wanted| check(wanted.number, wanted.into))
        };
        let mut shares = wanted.chunks_mut(share);
        let Some(first) = shares.next() else { return Ok(()) };
        std::thread::scope(|scope| {
            let others: Vec<_> = shares.map(|share| scope.spawn(|| read(share))).collect();
            let mut result = read(first);
            for other in others {
                // A panic there is a bug here; it goes on in this thread.
                let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(other);
            }
            result
        })
    }

    /// Reads blocks sorted by number, neighbours in one call.
    fn read_in_order(&self, wanted: &mut [Wanted<'_>]) -> Checked<()> {
        if let Some(last) = wanted.last().filter(|last| last.number >= self.blocks) {
            return Err(ThinError::BeyondEnd { block: last.number, blocks: self.blocks });
        }
        for neighbours in wanted.chunk_by_mut(|a, b| a.number + 1 == b.number) {
            for run in neighbours.chunks_mut(MOST_BLOCKS_A_CALL) {
                self.read_run(run)?;
            }
        }
        Ok(())
    }

    /// Reads blocks that lie one after the other.
    fn read_run(&self, mut run: &mut [Wanted<'_>]) -> Checked<()> {
        while let Some(first) = run.first() {
            let block = first.number;
            // Below 2^63: the device's end in bytes is an offset too.
            let offset = (block * BLOCK_SIZE as u64) as i64;
            let mut buffers: Vec<_> = run.iter_mut().map(|wanted| IoSliceMut::new(&mut wanted.into.0)).collect();
            match preadv(&self.file, &mut buffers, offset) {
                // Read again from the first block that did not come whole.
                Ok(bytes) if bytes >= BLOCK_SIZE => run = &mut run[bytes / BLOCK_SIZE..],
                // It was longer when it was opened.
                Ok(_) => return Err(ThinError::BeyondEnd { block, blocks: block }),
                Err(Errno::EINTR) => {}
                Err(why) => return Err(ThinError::Read { block, source: why.into() }),
            }
        }
        Ok(())
    }
}
