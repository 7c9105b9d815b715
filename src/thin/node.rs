//! One node of a B-tree.
//!
//! | offset | type | what |
//! | --- | --- | --- |
//! | 0 | u32 | checksum: CRC32C of all after it, XORed with 121107 |
//! | 4 | u32 | 1: internal node, 2: leaf |
//! | 8 | u64 | this block's number |
//! | 16 | u32 | entries in use |
//! | 20 | u32 | entries there is room for, n |
//! | 24 | u32 | size of a value in bytes; 8 in internal nodes |
//! | 28 | u32 | not used |
//! | 32 | n x u64 | keys, rising |
//! | 32 + 8n | n values | leaf: the values. Internal: child blocks |
//!
//! `struct node_header` in the kernel's `dm-btree-internal.h`. The keys under child i are at least key i and less
//! than key i + 1; the kernel lowers the first key when it inserts before it, so that no key is below all of them.

use std::ops::RangeInclusive;

use super::error::{Checked, ThinError};
use super::metadata::{BLOCK_SIZE, Block};

/// The checksum's own number for nodes, `BTREE_CSUM_XOR`.
pub(super) const CHECKSUM_XOR: u32 = 121_107;

const HEADER: usize = 32;

/// What a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal,
    Leaf,
}

/// A pointer to a node, with what its parent promises about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) block: u64,
    /// All keys in and below the node are of this range.
    pub(super) keys: RangeInclusive<u64>,
}

impl Child {
    /// A tree's root: any key may be in it.
    pub(super) fn root(block: u64) -> Self {
        Child { block, keys: 0..=u64::MAX }
    }
}

/// A node that has been checked: what it says of itself fits a block, its keys rise and are those its parent
/// promised.
pub(super) struct Node<'a> {
    block: &'a Block,
    number: u64,
    kind: Kind,
    entries: usize,
    value_size: usize,
    values_at: usize,
    last_key: u64,
}

impl<'a> Node<'a> {
    /// Reads the node that `child` points to out of `block`, whose checksum and place have been checked. Leaves of
    /// this tree have values of `value_size` bytes.
    pub(super) fn parse(child: &Child, block: &'a Block, value_size: usize) -> Checked<Self> {
        let number = child.block;
        let damaged = |why: String| ThinError::damaged(number, why);
        let kind = match block.u32_at(4) {
            1 => Kind::Internal,
            2 => Kind::Leaf,
            flags => return Err(damaged(format!("no node of a tree has flags {flags:#x}"))),
        };
        let value_size = if kind == Kind::Leaf { value_size } else { 8 };
        let (entries, room, found) =
            (block.u32_at(16) as usize, block.u32_at(20) as usize, block.u32_at(24) as usize);
        if found != value_size {
            return Err(damaged(format!("its values are of {found} bytes, not {value_size}")));
        }
        if room > (BLOCK_SIZE - HEADER) / (8 + value_size) || entries > room {
            return Err(damaged(format!("it cannot hold {entries} entries of {room}")));
        }
        if entries == 0 && kind == Kind::Internal {
            return Err(damaged("it is an internal node without children".into()));
        }
        let values_at = HEADER + room * 8;
        let node = Node { block, number, kind, entries, value_size, values_at, last_key: *child.keys.end() };
        node.check_keys(&child.keys)?;
        Ok(node)
    }

    fn check_keys(&self, promised: &RangeInclusive<u64>) -> Checked<()> {
        let mut ends = self.keys().take(1).chain(self.keys().next_back());
        if !self.keys().is_sorted_by(|key, next| key < next) {
            Err(ThinError::damaged(self.number, "its keys are out of order"))
        } else if let Some(stray) = ends.find(|key| !promised.contains(key)) {
            let (low, high) = (promised.start(), promised.end());
            Err(ThinError::damaged(
                self.number,
                format!("it has key {stray}, but should be of keys {low} to {high}"),
            ))
        } else {
            Ok(())
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The keys, strictly rising.
    pub(super) fn keys(&self) -> impl ExactSizeIterator<Item = u64> + DoubleEndedIterator + use<'a> {
        let (keys, _) = self.block.0[HEADER..HEADER + self.entries * 8].as_chunks();
        keys.iter().map(|key| u64::from_le_bytes(*key))
    }

    /// Where `key` is: the entry with the greatest key that is not above it.
    pub(super) fn find(&self, key: u64) -> Option<usize> {
        self.keys().take_while(|at| *at <= key).count().checked_sub(1)
    }

    /// The key of an entry below the number of entries.
    pub(super) fn key(&self, entry: usize) -> u64 {
        self.block.u64_at(HEADER + entry * 8)
    }

    /// The value of an entry below the number of entries; `N` is at most the size of a value.
    pub(super) fn value<const N: usize>(&self, entry: usize) -> [u8; N] {
        self.block.bytes_at(self.values_at + entry * self.value_size)
    }

    /// A child of an internal node.
    pub(super) fn child(&self, entry: usize) -> Child {
        let block = u64::from_le_bytes(self.value(entry));
        // Keys rise, so the next one is at least 1.
        let last = if entry + 1 < self.entries { self.key(entry + 1) - 1 } else { self.last_key };
        Child { block, keys: self.key(entry)..=last }
    }

    /// All children of an internal node, by rising keys.
    pub(super) fn children(&self) -> impl ExactSizeIterator<Item = Child> {
        (0..self.entries).map(|entry| self.child(entry))
    }
}

#[cfg(test)]
mod tests;
