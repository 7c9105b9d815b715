//! Reading nodes of B-trees many at a time.
//!
//! In: children that were promised by their parents. Out: the nodes, checked, in the same order. The blocks are in a
//! buffer that is kept from call to call and is as large as the largest call needs; [`Metadata::read_many`] sorts
//! them and reads many at once.

use super::error::{Checked, ThinError};
use super::metadata::{Block, Metadata, Wanted};
use super::node::{CHECKSUM_XOR, Child, Kind, Node};

/// The most levels that a tree has. With at least 84 children a node, as the kernel keeps it, 16 GiB of metadata
/// would take 4.
const MOST_LEVELS: usize = 16;

/// What reads them.
pub(super) struct Nodes<'a> {
    metadata: &'a Metadata,
    /// Of the values in leaves, in bytes.
    value_size: usize,
    buffer: Vec<Block>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(metadata: &'a Metadata, value_size: usize) -> Self {
        Nodes { metadata, value_size, buffer: Vec::new() }
    }

    /// Reads and checks these nodes.
    pub(super) fn read(&mut self, nodes: &[Child]) -> Checked<Vec<Node<'_>>> {
        if self.buffer.len() < nodes.len() {
            self.buffer.resize(nodes.len(), Block::ZERO);
        }
        let into = self.buffer.iter_mut();
        let wanted = nodes.iter().zip(into).map(|(child, into)| Wanted { number: child.block, into }).collect();
        self.metadata.read_many(wanted, |number, block| block.check(number, CHECKSUM_XOR))?;
        let read = nodes.iter().zip(&self.buffer);
        read.map(|(child, block)| Node::parse(child, block, self.value_size)).collect()
    }

    /// The same of nodes that lie `height` levels above the leaves: a tree that has leaves on several levels is
    /// damaged.
    pub(super) fn read_at(&mut self, height: usize, nodes: &[Child]) -> Checked<Vec<Node<'_>>> {
        let expected = if height == 0 { Kind::Leaf } else { Kind::Internal };
        let nodes = self.read(nodes)?;
        match nodes.iter().find(|node| node.kind() != expected) {
            Some(odd) => Err(ThinError::damaged(odd.number(), "it lies on another level than its like")),
            None => Ok(nodes),
        }
    }

    /// How many levels a tree's root lies above the leaves, by the leftmost way down.
    pub(super) fn height_of(&mut self, mut child: Child) -> Checked<usize> {
        for height in 0..MOST_LEVELS {
            let block = child.block;
            let node = self.read(std::slice::from_ref(&child))?.pop();
            child = match node {
                Some(node) if node.kind() == Kind::Internal => node.child(0),
                _ => return Ok(height),
            };
            if child.block == block {
                return Err(ThinError::damaged(block, "it is its own child"));
            }
        }
        Err(ThinError::damaged(child.block, format!("it lies more than {MOST_LEVELS} levels down")))
    }
}
