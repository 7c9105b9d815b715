//! The superblock: where the trees are, and what kind of pool it is.
//!
//! | offset | type | what |
//! | --- | --- | --- |
//! | 0 | u32 | checksum: CRC32C of all after it, XORed with 160774 |
//! | 4 | u32 | flags; 1: needs check |
//! | 8 | u64 | this block's number |
//! | 16 | 16 bytes | UUID, not used |
//! | 32 | u64 | magic, 27022010 |
//! | 40 | u32 | version, 1 or 2 |
//! | 44 | u32 | time: how many snapshots have been taken |
//! | 48 | u64 | transaction id, of whoever manages the pool |
//! | 56 | u64 | held root: the block of the metadata snapshot, 0 if there is none |
//! | 64 | 128 bytes | space map of the data device; its first u64 is the number of data chunks |
//! | 192 | 128 bytes | space map of the metadata device |
//! | 320 | u64 | root of the mappings |
//! | 328 | u64 | root of the devices' details |
//! | 336 | u32 | data chunk in sectors of 512 bytes |
//! | 340 | u32 | metadata block in sectors, 8 |
//! | 344 | u64 | number of metadata blocks |
//! | 352 | 3 x u32 | features: compatible, compatible for reading, incompatible |
//!
//! `struct thin_disk_superblock` in the kernel's `dm-thin-metadata.c`. In a metadata snapshot's copy the space maps
//! are zeroed.

use super::error::{Checked, ThinError};
use super::metadata::{BLOCK_SIZE, Block, Metadata};

/// The block of the superblock in use, as opposed to a metadata snapshot's.
pub const LIVE_ROOT: u64 = 0;

const CHECKSUM_XOR: u32 = 160_774;
const MAGIC: u64 = 27_022_010;
const NEEDS_CHECK: u32 = 1;

/// Data chunks are 64 KiB to 1 GiB, in steps of 64 KiB; here in sectors (`DATA_DEV_BLOCK_SIZE_MIN_SECTORS`, `_MAX_`
/// in the kernel's `dm-thin.c`).
const CHUNK_STEP: u32 = 128;
const CHUNK_MOST: u32 = 2 << 20;

/// What the superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The block that it was read from: [`LIVE_ROOT`], or a metadata snapshot's.
    pub block: u64,
    /// The pool's time: how many snapshots have been taken in it.
    pub time: u32,
    /// The transaction id that LVM keeps.
    pub transaction_id: u64,
    /// The block of the metadata snapshot, if one is held. None in such a snapshot itself.
    pub held_root: Option<u64>,
    /// The kernel found the metadata inconsistent and wants `thin_check` run.
    pub needs_check: bool,
    /// Data chunk in sectors of 512 bytes.
    pub chunk_sectors: u32,
    /// Size of the metadata in blocks when it was made; it may have grown since.
    pub metadata_blocks: u64,
    /// Size of the pool in data chunks; 0 in a metadata snapshot.
    pub data_chunks: u64,
    pub(super) mappings_root: u64,
    pub(super) details_root: u64,
}

impl Superblock {
    /// Data chunk in bytes, 64 KiB to 1 GiB.
    pub fn chunk_bytes(&self) -> u64 {
        u64::from(self.chunk_sectors) * 512
    }
}

/// Reads and checks the superblock in block `root`.
pub(super) fn read(metadata: &Metadata, root: u64) -> Checked<Superblock> {
    if root == LIVE_ROOT && metadata.blocks() == 0 {
        let short = || foreign(format!("it is shorter than one block of {BLOCK_SIZE} bytes"));
        return Err(other_kind(&metadata.read_begin()?).unwrap_or_else(short));
    }
    let block = metadata.read_one(root)?;
    if block.u64_at(32) != MAGIC
        && let Some(other) = other_kind(&block)
    {
        return Err(other);
    }
    if root == LIVE_ROOT && block.0 == [0; BLOCK_SIZE] {
        return Err(foreign("its first block is all zeros".into()));
    }
    block.check(root, CHECKSUM_XOR)?;
    if block.u64_at(32) != MAGIC {
        return Err(ThinError::damaged(root, "it is not a thin pool's superblock"));
    }
    parse(root, &block)
}

fn parse(root: u64, block: &Block) -> Checked<Superblock> {
    let version = block.u32_at(40);
    let incompatible = block.u32_at(360);
    if !(1..=2).contains(&version) || incompatible != 0 {
        return Err(foreign(format!(
            "its format is version {version} with features {incompatible:#x}, which this lvpipe does not know"
        )));
    }
    let chunk_sectors = block.u32_at(336);
    if chunk_sectors == 0 || !chunk_sectors.is_multiple_of(CHUNK_STEP) || chunk_sectors > CHUNK_MOST {
        return Err(ThinError::damaged(root, format!("no chunk is of {chunk_sectors} sectors")));
    }
    let block_sectors = block.u32_at(340);
    if block_sectors as usize * 512 != BLOCK_SIZE {
        return Err(ThinError::damaged(root, format!("no metadata block is of {block_sectors} sectors")));
    }
    Ok(Superblock {
        block: root,
        time: block.u32_at(44),
        transaction_id: block.u64_at(48),
        held_root: Some(block.u64_at(56)).filter(|held| *held != 0),
        needs_check: block.u32_at(4) & NEEDS_CHECK != 0,
        chunk_sectors,
        metadata_blocks: block.u64_at(344),
        data_chunks: block.u64_at(64),
        mappings_root: block.u64_at(320),
        details_root: block.u64_at(328),
    })
}

/// What people have at hand instead of a copy of the metadata device, by its first bytes.
fn other_kind(block: &Block) -> Option<ThinError> {
    let known: [(&[u8], &str, &str); 4] = [
        (
            &0xa537_a0aa_6309_ef77_u64.to_le_bytes(),
            "it was packed by thin_metadata_pack",
            "thin_metadata_unpack -i PACKED -o FILE",
        ),
        (
            b"<superblock",
            "it is XML, as thin_dump writes it",
            "thin_restore -i XML -o FILE, into a FILE of the metadata's size",
        ),
        (&[0x1f, 0x8b], "it is compressed by gzip", "gzip -d"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "it is compressed by zstd", "zstd -d"),
    ];
    let found = known.into_iter().find(|(begin, ..)| block.0.starts_with(begin))?;
    Some(ThinError::Foreign { why: found.1.into(), way_out: found.2 })
}

const WAY_OUT: &str = "what is wanted is a pool's metadata device, or a plain copy of it";

fn foreign(why: String) -> ThinError {
    ThinError::Foreign { why, way_out: WAY_OUT }
}
