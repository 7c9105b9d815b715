//! The root digest: over all parts in order of offset, whichever order they come in.

use std::collections::BTreeMap;

use super::digest::Hasher;
use super::{Digest, DigestKind};

/// Takes parts with their place in the order and digests them in order.
///
/// Parts that come before their turn wait: 56 bytes each, and no more of them than parts are in flight at once.
#[derive(Clone)]
pub struct RootDigest {
    hasher: Hasher,
    next: u64,
    waiting: BTreeMap<u64, Option<[u8; 48]>>,
}

impl RootDigest {
    /// Nothing digested yet.
    pub fn new(kind: DigestKind) -> Self {
        let mut hasher = kind.hasher();
        hasher.update(b"lvpipe root 1\n");
        RootDigest { hasher, next: 0, waiting: BTreeMap::new() }
    }

    /// The part (offset, length, digest) that is `turn`-th in the order, counted from 0; `None` for a hole.
    pub fn add(&mut self, turn: u64, part: Option<(u64, u64, Digest)>) {
        let bytes = part.map(|(offset, length, digest)| {
            let mut bytes = [0; 48];
            bytes[..8].copy_from_slice(&offset.to_le_bytes());
            bytes[8..16].copy_from_slice(&length.to_le_bytes());
            bytes[16..].copy_from_slice(&digest.0);
            bytes
        });
        self.waiting.insert(turn, bytes);
        while let Some(bytes) = self.waiting.remove(&self.next) {
            if let Some(bytes) = bytes {
                self.hasher.update(&bytes);
            }
            self.next += 1;
        }
    }

    /// The digest of all parts of a volume of this size; `None` when a turn is missing.
    pub fn finish(mut self, size: u64) -> Option<Digest> {
        self.hasher.update(&size.to_le_bytes());
        self.waiting.is_empty().then(|| self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root(order: &[u64]) -> Option<Digest> {
        let mut root = RootDigest::new(DigestKind::Sha256);
        for turn in order {
            let part = (turn % 5 != 0).then_some((turn * 7, 7, Digest([*turn as u8; 32])));
            root.add(*turn, part);
        }
        root.finish(1 << 20)
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(order in Just((0..40).collect::<Vec<u64>>()).prop_shuffle()) {
            prop_assert_eq!(root(&order), root(&(0..40).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn a_missing_part_is_missed() {
        assert_eq!(root(&[0, 1, 3]), None);
        assert_ne!(root(&[0, 1, 2]), root(&[0, 1]));
    }
}
