//! What can be wrong with a pool's metadata. Every variant names the block, where there is one.

use std::io;
use std::path::Path;

use crate::error::{Error, Status, plain_reason};

/// What comes out of metadata that has been checked.
pub(super) type Checked<T> = Result<T, ThinError>;

/// Why metadata could not be read, or not be believed.
#[derive(Debug, thiserror::Error)]
pub enum ThinError {
    /// The system could not read the block.
    #[error("cannot read block {block}: {}", plain_reason(source))]
    Read {
        /// The block's number.
        block: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Something points to a block that is not there: damaged, or cut off.
    #[error("block {block} is needed, but there are only {blocks} blocks")]
    BeyondEnd {
        /// The number of the block pointed to.
        block: u64,
        /// How many blocks there are.
        blocks: u64,
    },
    /// The block's content does not match its checksum.
    #[error("block {block} is damaged: its checksum should be {computed:#010x} and is {stored:#010x}")]
    Checksum {
        /// The block's number.
        block: u64,
        /// The checksum in the block.
        stored: u32,
        /// The checksum of the block's content.
        computed: u32,
    },
    /// The block is whole, but was written for another place.
    #[error("block {block} is damaged: it says that it is block {says}")]
    Misplaced {
        /// The block's number.
        block: u64,
        /// The number it has in itself.
        says: u64,
    },
    /// The block is whole, but what it says cannot be.
    #[error("block {block} is damaged: {why}")]
    Damaged {
        /// The block's number.
        block: u64,
        /// What cannot be.
        why: String,
    },
    /// The device's tree holds another number of mappings than the device's details say.
    #[error("block {root} is the root of {found} mappings of device {device}, which should have {expected}")]
    Count {
        /// The root of the device's tree.
        root: u64,
        /// The device's id in its pool.
        device: u32,
        /// Mapped chunks by the device's details.
        expected: u64,
        /// Mapped chunks by the tree.
        found: u64,
    },
    /// The difference between two devices does not add up with what their details say.
    #[error(
        "devices {base} and {new} have {mapped_before} and {mapped_now} mappings, which {added} more and {dropped} fewer \
         do not account for"
    )]
    Difference {
        /// The base's id in the pool.
        base: u32,
        /// The new device's.
        new: u32,
        /// Mapped chunks of the base by its details.
        mapped_before: u64,
        /// Mapped chunks of the new device by its details.
        mapped_now: u64,
        /// Found in the new device only.
        added: u64,
        /// Found in the base only.
        dropped: u64,
    },
    /// This is no pool's metadata, or of a kind that lvpipe does not know.
    #[error("{why}")]
    Foreign {
        /// What it is instead.
        why: String,
        /// What the user can do about it.
        way_out: &'static str,
    },
    /// The pool has no such device.
    #[error("it has no thin device {device}; {there}")]
    NoDevice {
        /// The device's id in its pool.
        device: u32,
        /// Which ids there are.
        there: String,
    },
    /// The run was ended from outside, or whoever takes the runs failed.
    #[error(transparent)]
    Ended(#[from] Error),
}

impl ThinError {
    /// What is wrong with a block that is whole.
    pub(super) fn damaged(block: u64, why: impl Into<String>) -> Self {
        ThinError::Damaged { block, why: why.into() }
    }

    /// The program's error: where the metadata lies becomes known.
    pub fn on(self, path: &Path) -> Error {
        const WHAT: &str = "cannot read thin metadata";
        match self {
            ThinError::Ended(error) => error,
            ThinError::Foreign { why, way_out } => Error::guard(WHAT, path.display(), why).way_out(way_out),
            ThinError::NoDevice { .. } => Error::guard(WHAT, path.display(), self),
            ThinError::Read { .. } => Error::new(Status::Io, WHAT, path.display(), self),
            _ => Error::new(Status::Io, WHAT, path.display(), self)
                .way_out("thin_check tells more; --map none sends the volume without its map"),
        }
    }
}
