//! Looking up one key in a B-tree: one node a level, each checked as in a walk.

use super::error::{Checked, ThinError};
use super::metadata::Metadata;
use super::node::{CHECKSUM_XOR, Child, Kind, Node};

/// As in a walk: no whole tree is deeper.
const MOST_LEVELS: usize = 16;

/// The value of `key` in the tree below `root`, whose leaves have values of `N` bytes.
pub(super) fn value<const N: usize>(metadata: &Metadata, root: u64, key: u64) -> Checked<Option<[u8; N]>> {
    let mut child = Child::root(root);
    for _ in 0..MOST_LEVELS {
        let block = metadata.read_one(child.block)?;
        block.check(child.block, CHECKSUM_XOR)?;
        let node = Node::parse(&child, &block, N)?;
        let Some(entry) = node.find(key) else { return Ok(None) };
        child = match node.kind() {
            Kind::Leaf => return Ok((node.key(entry) == key).then(|| node.value(entry))),
            Kind::Internal => node.child(entry),
        };
    }
    Err(ThinError::damaged(child.block, format!("it lies more than {MOST_LEVELS} levels down")))
}
