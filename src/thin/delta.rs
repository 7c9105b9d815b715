//! What differs between two thin devices of one pool: a snapshot and a later one, by their trees side by side.
//!
//! In: a superblock and two device ids, the base and the new one. Out: [`Run`]s of chunks by rising offset to the
//! caller's closure, each with its [`Change`]. Chunks that lie in the same place of the pool are the same: dm-thin
//! never writes to a chunk that two devices share, it gives the writer another one. A chunk whose two mappings differ
//! in time only is the same too.
//!
//! A snapshot begins with its origin's tree, block for block, and each write copies the way down to one leaf. So both
//! trees point to the same block wherever nothing was changed, and such a subtree is skipped unread: the cost is that
//! of what changed. Where nothing is shared, each tree is read once.
//!
//! Both trees are descended together, by ranges of keys ([`Walk::level`]): of the nodes side by side on a level, as
//! many as fill a batch in either tree are read at once, up to the key where the first of the two batches ends. A
//! node of the other tree that reaches over that key is read again with the next batch, one a batch at the most, and
//! of its children only those in range are looked at. Trees of different heights begin with the higher one. Memory:
//! one buffer of two batches of leaves, and a list of two batches' children for each level; nothing grows with the
//! devices. All on the caller's thread, but for the readers of [`super::metadata`].
//!
//! What is read is checked as in a walk of one tree. The number of mappings is compared at the end: that of the base,
//! and what was found to be added and dropped, must give that of the new device. An error then means that what was
//! handed out is not to be used.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::block_time::BlockTime;
use super::details;
use super::error::{Checked, ThinError};
use super::metadata::Metadata;
use super::node::{Child, Node};
use super::nodes::Nodes;
use super::runs::{Run, VALUE_SIZE, root_of};
use super::superblock::Superblock;
use crate::error::Result;
use crate::stop::Stop;

/// Leaves of each tree read at once: 4 MiB.
const LEAF_BATCH: usize = 1024;

/// Nodes of each tree read at once above the leaves. Of their children few may be left to read when the trees share
/// most, so these are more than a walk of one tree takes.
const INNER_BATCH: usize = 64;

/// What became of a run of chunks since the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Mapped in the new device, and in the base not or elsewhere in the pool.
    Written,
    /// Mapped in the base only: it reads as zeros now.
    Discarded,
}

/// Hands what differs to `take`, by rising chunks; no run touches the next of its kind. Fails if one of the devices is
/// not there, if anything on the way is damaged, if `take` fails, or if the run is stopped.
pub fn changed_runs(
    metadata: &Metadata,
    superblock: &Superblock,
    base: u32,
    new: u32,
    stop: &Stop,
    mut take: impl FnMut(Change, Run) -> Result<()>,
) -> Result<()> {
    differ(metadata, superblock, base, new, stop, &mut take).map_err(|why| why.on(metadata.path()))
}

fn differ(
    metadata: &Metadata,
    superblock: &Superblock,
    base: u32,
    new: u32,
    stop: &Stop,
    take: &mut dyn FnMut(Change, Run) -> Result<()>,
) -> Checked<()> {
    let mapped_before = details::find(metadata, superblock, base)?.mapped_chunks;
    let mapped_now = details::find(metadata, superblock, new)?.mapped_chunks;
    let roots = (root_of(metadata, superblock, base)?, root_of(metadata, superblock, new)?);
    let changes = Changes { take, run: None, added: 0, dropped: 0 };
    let mut walk = Walk { nodes: Nodes::new(metadata, VALUE_SIZE), stop, changes };
    let sides = [walk.side(roots.0)?, walk.side(roots.1)?];
    walk.level(0..=u64::MAX, sides)?;
    let Changes { take, run, added, dropped } = walk.changes;
    if let Some((change, run)) = run {
        take(change, run)?;
    }
    // In u128, as no sum of what damaged metadata says overflows there.
    if u128::from(mapped_before) + u128::from(added) == u128::from(mapped_now) + u128::from(dropped) {
        Ok(())
    } else {
        Err(ThinError::Difference { base, new, mapped_before, mapped_now, added, dropped })
    }
}

/// Nodes of one tree, next to each other on one level.
struct Side {
    /// How many levels they lie above the leaves.
    height: usize,
    nodes: Vec<Child>,
}

impl Side {
    /// The end of the first batch: the last key of its last node, if there are more.
    fn batch_end(&self, batch: usize) -> Option<u64> {
        (self.nodes.len() > batch).then(|| *self.nodes[batch - 1].keys.end())
    }

    /// The nodes that may have keys in this range.
    fn within(&self, keys: &RangeInclusive<u64>) -> &[Child] {
        let begin = self.nodes.partition_point(|node| node.keys.end() < keys.start());
        let end = self.nodes.partition_point(|node| node.keys.start() <= keys.end());
        &self.nodes[begin.min(end)..end]
    }
}

struct Walk<'a, 't> {
    nodes: Nodes<'a>,
    stop: &'a Stop,
    changes: Changes<'t>,
}

impl Walk<'_, '_> {
    fn side(&mut self, root: u64) -> Checked<Side> {
        let root = Child::root(root);
        Ok(Side { height: self.nodes.height_of(root.clone())?, nodes: vec![root] })
    }

    /// Compares all keys of this range that are below these nodes, of the base and of the new device.
    fn level(&mut self, keys: RangeInclusive<u64>, sides: [Side; 2]) -> Checked<()> {
        let sides = without_shared(sides);
        let height = sides[0].height.max(sides[1].height);
        let batch = if height == 0 { LEAF_BATCH } else { INNER_BATCH };
        let (mut begin, last) = keys.into_inner();
        let mut rest = sides;
        while rest.iter().any(|side| !side.nodes.is_empty()) {
            self.stop.check()?;
            let ends = rest.iter().filter(|side| side.height == height).filter_map(|side| side.batch_end(batch));
            let end = ends.min().unwrap_or(last).min(last);
            let range = begin..=end;
            let within = [rest[0].within(&range), rest[1].within(&range)];
            if height == 0 {
                self.leaves(&range, within)?;
            } else {
                let below = self.below(height, &range, &rest, within)?;
                self.level(range, below)?;
            }
            // What ends here is done with.
            for side in &mut rest {
                let done = side.nodes.partition_point(|node| *node.keys.end() <= end);
                side.nodes.drain(..done);
            }
            let Some(next) = end.checked_add(1).filter(|next| *next <= last) else { break };
            begin = next;
        }
        Ok(())
    }

    /// The nodes one level down of each tree that is as high as this; the other's as they are.
    fn below(
        &mut self,
        height: usize,
        range: &RangeInclusive<u64>,
        sides: &[Side; 2],
        within: [&[Child]; 2],
    ) -> Checked<[Side; 2]> {
        let is_high = [sides[0].height == height, sides[1].height == height];
        let of = |side: usize| if is_high[side] { within[side] } else { &[] };
        let both = [of(0), of(1)].concat();
        let nodes = self.nodes.read_at(height, &both)?;
        let (base, new) = nodes.split_at(of(0).len());
        let side = |side: usize, nodes: &[Node<'_>]| {
            if !is_high[side] {
                return Side { height: sides[side].height, nodes: within[side].to_vec() };
            }
            let children = nodes.iter().flat_map(Node::children);
            let in_range =
                children.filter(|child| child.keys.start() <= range.end() && child.keys.end() >= range.start());
            Side { height: height - 1, nodes: in_range.collect() }
        };
        Ok([side(0, base), side(1, new)])
    }

    /// Compares the keys of this range in leaves side by side.
    fn leaves(&mut self, range: &RangeInclusive<u64>, [base, new]: [&[Child]; 2]) -> Checked<()> {
        let both = [base, new].concat();
        let nodes = self.nodes.read_at(0, &both)?;
        let (base, new) = nodes.split_at(base.len());
        let (mut base, mut new) = (entries(base, range).peekable(), entries(new, range).peekable());
        loop {
            let order = match (base.peek(), new.peek()) {
                (Some(before), Some(now)) => before.0.cmp(&now.0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(()),
            };
            let before = base.next_if(|_| order.is_le());
            let now = new.next_if(|_| order.is_ge());
            self.changes.compare(before, now)?;
        }
    }
}

/// A virtual chunk, and its mapping's value.
type Entry = (u64, u64);

fn data_chunk(value: u64) -> u64 {
    BlockTime::unpack(value).data_chunk
}

/// What leaves have in this range, by rising chunks.
fn entries<'n>(leaves: &'n [Node<'n>], range: &RangeInclusive<u64>) -> impl Iterator<Item = Entry> + use<'n> {
    let (first, last) = (*range.start(), *range.end());
    leaves
        .iter()
        .flat_map(|leaf| leaf.keys().enumerate().map(|(entry, key)| (key, u64::from_le_bytes(leaf.value(entry)))))
        .skip_while(move |entry| entry.0 < first)
        .take_while(move |entry| entry.0 <= last)
}

/// Drops what both trees point to: the same block is the same subtree. Found where both say that it begins with the
/// same key, as they do when it came with a snapshot; what is not found is read and found to be the same then.
fn without_shared([base, new]: [Side; 2]) -> [Side; 2] {
    if base.height != new.height {
        return [base, new];
    }
    let height = base.height;
    let (mut base, mut new) = (base.nodes.into_iter().peekable(), new.nodes.into_iter().peekable());
    let mut left = [Vec::new(), Vec::new()];
    loop {
        let order = match (base.peek(), new.peek()) {
            (Some(base), Some(new)) => base.keys.start().cmp(new.keys.start()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return left.map(|nodes| Side { height, nodes }),
        };
        let pair = (base.next_if(|_| order.is_le()), new.next_if(|_| order.is_ge()));
        if let (Some(base), Some(new)) = &pair
            && base.block == new.block
        {
            continue;
        }
        left[0].extend(pair.0);
        left[1].extend(pair.1);
    }
}

/// Changed chunks that come one by one, made into runs.
struct Changes<'t> {
    take: &'t mut dyn FnMut(Change, Run) -> Result<()>,
    run: Option<(Change, Run)>,
    /// Mapped in the new device only.
    added: u64,
    /// Mapped in the base only.
    dropped: u64,
}

impl Changes<'_> {
    /// What one of the devices has of a chunk, or both.
    fn compare(&mut self, before: Option<Entry>, now: Option<Entry>) -> Result<()> {
        match (before, now) {
            (Some((_, before)), Some((_, now))) if data_chunk(before) == data_chunk(now) => Ok(()),
            (Some((chunk, _)), None) => {
                self.dropped += 1;
                self.add(Change::Discarded, chunk)
            }
            (before, Some((chunk, _))) => {
                self.added += u64::from(before.is_none());
                self.add(Change::Written, chunk)
            }
            (None, None) => Ok(()),
        }
    }

    fn add(&mut self, change: Change, chunk: u64) -> Result<()> {
        match &mut self.run {
            // Chunks rise, so this is no subtraction below 0.
            Some((kind, run)) if *kind == change && chunk - run.begin == run.length => run.length += 1,
            run => {
                if let Some((kind, done)) = run.replace((change, Run { begin: chunk, length: 1 })) {
                    (self.take)(kind, done)?;
                }
            }
        }
        Ok(())
    }
}
