//! Where in a journal's file the part at an offset may be recorded.
//!
//! Records are read back in blocks of [`BLOCK`]. Of each it is known between which offsets its parts begin. Parts are
//! written about almost in order, so these spans hardly overlap; but a part that came late, or again in a later
//! transfer, makes one that reaches over thousands of others. So they are kept as an interval tree: finding those
//! around an offset takes steps as many as its depth, and as many again for each that is found. 32 bytes each: 3 MB
//! for 100 million records.

/// Records that are read together.
pub(super) const BLOCK: usize = 1024;

/// Between which offsets a block's parts begin, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    first: u64,
    last: u64,
}

impl Span {
    /// With one more part in it.
    pub(super) fn with(span: Option<Span>, offset: u64) -> Span {
        span.map_or(Span { first: offset, last: offset }, |Span { first, last }| Span {
            first: first.min(offset),
            last: last.max(offset),
        })
    }
}

/// The blocks that have parts in them, by the offset of their first.
///
/// A slice of them is a tree: its middle is the root, what is on either side of it are the subtrees.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks(Vec<Node>);

#[derive(Debug, PartialEq, Eq)]
struct Node {
    span: Span,
    /// The block's number in the file.
    number: u64,
    /// The largest `last` in the tree below this node, its own included.
    reach: u64,
}

impl Blocks {
    /// Of the blocks with these numbers.
    pub(super) fn new(blocks: Vec<(u64, Span)>) -> Self {
        let nodes = blocks.into_iter().map(|(number, span)| Node { span, number, reach: span.last });
        let mut nodes: Vec<Node> = nodes.collect();
        nodes.sort_unstable_by_key(|node| node.span.first);
        set_reach(&mut nodes);
        Blocks(nodes)
    }

    /// The numbers of the blocks that a part at this offset may be recorded in, the newest first.
    pub(super) fn around(&self, offset: u64) -> Vec<u64> {
        let mut found = Vec::new();
        find(&self.0, offset, &mut found);
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }
}

/// Sets it in all nodes of a tree, and returns the root's; 0 for none. As deep as the tree: 17 for 98,000 blocks.
fn set_reach(nodes: &mut [Node]) -> u64 {
    let middle = nodes.len() / 2;
    let (before, rest) = nodes.split_at_mut(middle);
    let Some((root, after)) = rest.split_first_mut() else { return 0 };
    root.reach = root.span.last.max(set_reach(before)).max(set_reach(after));
    root.reach
}

fn find(nodes: &[Node], offset: u64, found: &mut Vec<u64>) {
    let (before, rest) = nodes.split_at(nodes.len() / 2);
    let Some((root, after)) = rest.split_first() else { return };
    if root.reach < offset {
        return;
    }
    find(before, offset, found);
    if root.span.first > offset {
        return;
    }
    if root.span.last >= offset {
        found.push(root.number);
    }
    find(after, offset, found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_blocks_are_around_nothing() {
        assert_eq!(Blocks::default().around(0), [0; 0]);
        let ends = Blocks::new(vec![(4, Span::with(None, 0)), (5, Span::with(None, u64::MAX))]);
        assert_eq!((ends.around(0), ends.around(1), ends.around(u64::MAX)), (vec![4], vec![], vec![5]));
    }

    proptest! {
        #[test]
        fn blocks_found_are_those_of_a_scan(ends in proptest::collection::vec((0u64..60, 0u64..60), 0..40)) {
            let span = |(a, b): &(u64, u64)| Span::with(Some(Span::with(None, *a)), *b);
            let spans: Vec<(u64, Span)> = (0..).zip(ends.iter().map(span)).collect();
            let blocks = Blocks::new(spans.clone());
            for offset in 0..61 {
                let around = spans.iter().rev().filter(|(_, span)| (span.first..=span.last).contains(&offset));
                let expected: Vec<u64> = around.map(|(number, _)| *number).collect();
                prop_assert_eq!(blocks.around(offset), expected);
            }
        }
    }
}
