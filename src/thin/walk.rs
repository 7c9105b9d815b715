//! Walking one B-tree: all its leaves, by rising keys.
//!
//! In: a tree's root. Out: each leaf to a visitor, on the caller's thread, in order. Level by level in batches: the
//! children of some [`INNER_BATCH`] nodes are known before the first of them is read, so that many can be read at
//! once, where a walk node by node would wait for every single block. Memory: one buffer of [`LEAF_BATCH`] blocks
//! and, for each level, the list of one batch's children. A damaged tree cannot make the walk go round: all leaves
//! lie on one level, a few levels down ([`Nodes::height_of`]), and children's keys are parts of their parent's, so
//! that no block can be met twice on a level.

use super::error::Checked;
use super::metadata::Metadata;
use super::node::{Child, Node};
use super::nodes::Nodes;
use crate::stop::Stop;

/// Blocks read at once on the level of the leaves: 8 MiB.
const LEAF_BATCH: usize = 2048;

/// Nodes read at once above the leaves: their children fill a batch of leaves or two.
const INNER_BATCH: usize = 16;

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
    let mut walk = Walk { nodes: Nodes::new(metadata, value_size), stop };
    let height = walk.nodes.height_of(root.clone())?;
    walk.level(height, &[root], visit)
}

struct Walk<'a> {
    nodes: Nodes<'a>,
    stop: &'a Stop,
}

impl Walk<'_> {
    /// Walks all that is below these nodes, which lie next to each other, `height` levels above the leaves.
    fn level(
        &mut self,
        height: usize,
        nodes: &[Child],
        visit: &mut dyn FnMut(&Node<'_>) -> Checked<()>,
    ) -> Checked<()> {
        for batch in nodes.chunks(if height == 0 { LEAF_BATCH } else { INNER_BATCH }) {
            self.stop.check()?;
            let nodes = self.nodes.read_at(height, batch)?;
            if height == 0 {
                nodes.iter().try_for_each(&mut *visit)?;
            } else {
                let children: Vec<Child> = nodes.iter().flat_map(Node::children).collect();
                self.level(height - 1, &children, visit)?;
            }
        }
        Ok(())
    }
}
