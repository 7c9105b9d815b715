//! What is known of a target beyond this run, as far as receiving needs it.

use crate::error::Result;
use crate::wire::Digest;

/// Keeps what is written, so that a later transfer need not bring it again: a journal.
pub trait Record: Send + Sync {
    /// The target has this frame: a part with its digest, or a hole. Called by the threads that write the target,
    /// after the write and before the sender is told. The record puts the target on stable storage before it writes
    /// anything down of it, when it chooses to.
    ///
    /// # Errors
    /// When it cannot be kept, or the target cannot be put on stable storage: that ends the transfer.
    fn written(&self, offset: u64, length: u64, digest: Option<Digest>) -> Result<()>;
}

/// What an earlier transfer has brought.
pub trait Holds: Send + Sync {
    /// Ranges of the volume (offset, length) that the target holds, in order and disjoint.
    fn extents(&self) -> Vec<(u64, u64)>;

    /// Whether all of a range is within them. Asked for every held part: to be answered from memory.
    fn contains(&self, offset: u64, length: u64) -> bool;

    /// The digest that the part at this offset had when it was written; `None` where there was none. Asked only for
    /// parts that are not what the source has, so it may take reading a file.
    fn digest_of(&self, offset: u64) -> Option<Digest>;
}
