//! Walking one B-tree: all its leaves, by rising keys.
//!
//! In: a tree's root. Out: each leaf to a visitor, on the caller's thread, in order. Level by level in batches: the
//! children of some [`INNER_BATCH`] nodes are known before the first of them is read, so [`Metadata::read_many`]
//! can sort them and read many at once, where a walk node by node would wait for every single block. Memory: one
//! buffer of [`LEAF_BATCH`] blocks and, for each level, the list of one batch's children. A damaged tree cannot
//! make the walk go round: all leaves lie on one level, at most [`MOST_LEVELS`] down, and children's keys are parts
//! of their parent's, so that no block can be met twice on a level.

use super::error::{Checked, ThinError};
use super::metadata::{Block, Metadata, Wanted};
use super::node::{CHECKSUM_XOR, Child, Kind, Node};
use crate::stop::Stop;

/// Blocks read at once on the level of the leaves: 8 MiB.
const LEAF_BATCH: usize = 2048;

/// Nodes read at once above the leaves: their children fill a batch of leaves or two.
const INNER_BATCH: usize = 16;

/// The most levels that a tree has. With at least 84 children a node, as the kernel keeps it, 16 GiB of metadata
/// would take 4.
const MOST_LEVELS: usize = 16;

/// Visits the leaves below `root` in order. Values in leaves are of `value_size` bytes. Ends early, with the run's
/// error, when the run is stopped, and with the visitor's when that fails.
pub(super) fn leaves(
    metadata: &Metadata,
    root: u64,
    value_size: usize,
    stop: &Stop,
    visit: &mut dyn FnMut(&Node<'_>) -> Checked<()>,
) -> Checked<()> {
    let root = Child::root(root);
    let mut walk = Walk { metadata, value_size, stop, leaf_level: 0, buffer: Vec::new() };
    walk.leaf_level = walk.find_leaf_level(root.clone())?;
    walk.level(0, &[root], visit)
}

struct Walk<'a> {
    metadata: &'a Metadata,
    value_size: usize,
    stop: &'a Stop,
    leaf_level: usize,
    buffer: Vec<Block>,
}

impl Walk<'_> {
    /// How many levels of internal nodes there are, by the leftmost way down.
    fn find_leaf_level(&mut self, mut child: Child) -> Checked<usize> {
        for level in 0..MOST_LEVELS {
            let block = child.block;
            let node = self.read(std::slice::from_ref(&child))?.pop();
            child = match node {
                Some(node) if node.kind() == Kind::Internal => node.child(0),
                _ => return Ok(level),
            };
            if child.block == block {
                return Err(ThinError::damaged(block, "it is its own child"));
            }
        }
        Err(ThinError::damaged(child.block, format!("it lies more than {MOST_LEVELS} levels down")))
    }

    /// Walks all that is below these nodes, which lie next to each other on this level.
    fn level(
        &mut self,
        level: usize,
        nodes: &[Child],
        visit: &mut dyn FnMut(&Node<'_>) -> Checked<()>,
    ) -> Checked<()> {
        let at_leaves = level == self.leaf_level;
        for batch in nodes.chunks(if at_leaves { LEAF_BATCH } else { INNER_BATCH }) {
            self.stop.check()?;
            let expected = if at_leaves { Kind::Leaf } else { Kind::Internal };
            let nodes = self.read(batch)?;
            if let Some(odd) = nodes.iter().find(|node| node.kind() != expected) {
                return Err(ThinError::damaged(odd.number(), "it lies on another level than its like"));
            }
            if at_leaves {
                nodes.iter().try_for_each(&mut *visit)?;
            } else {
                let children: Vec<Child> = nodes.iter().flat_map(Node::children).collect();
                self.level(level + 1, &children, visit)?;
            }
        }
        Ok(())
    }

    /// Reads and checks these nodes.
    fn read(&mut self, nodes: &[Child]) -> Checked<Vec<Node<'_>>> {
        if self.buffer.len() < nodes.len() {
            self.buffer.resize(nodes.len(), Block::ZERO);
        }
        let into = self.buffer.iter_mut();
        let wanted = nodes.iter().zip(into).map(|(child, into)| Wanted { number: child.block, into }).collect();
        self.metadata.read_many(wanted, |number, block| block.check(number, CHECKSUM_XOR))?;
        let read = nodes.iter().zip(&self.buffer);
        read.map(|(child, block)| Node::parse(child, block, self.value_size)).collect()
    }
}
