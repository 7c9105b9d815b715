//! Nodes as no kernel writes them, with a checksum that fits: each says what is wrong.

use super::*;

/// A node of `entries` with its header as given.
fn node(flags: u32, room: u32, value_size: u32, entries: &[(u64, u64)]) -> Block {
    let mut block = Block::ZERO;
    let mut put = |at: usize, bytes: &[u8]| block.0[at..at + bytes.len()].copy_from_slice(bytes);
    put(4, &flags.to_le_bytes());
    put(8, &7_u64.to_le_bytes());
    put(16, &(entries.len() as u32).to_le_bytes());
    put(20, &room.to_le_bytes());
    put(24, &value_size.to_le_bytes());
    for (n, (key, value)) in entries.iter().enumerate() {
        put(HEADER + n * 8, &key.to_le_bytes());
        put(HEADER + room as usize * 8 + n * 8, &value.to_le_bytes());
    }
    block
}

fn error(block: &Block, keys: RangeInclusive<u64>) -> String {
    match Node::parse(&Child { block: 7, keys }, block, 8) {
        Ok(_) => panic!("it should not have been taken"),
        Err(why) => why.to_string(),
    }
}

#[test]
fn children_divide_their_parents_keys() {
    let block = node(1, 252, 8, &[(10, 100), (20, 200), (30, 300)]);
    let node = Node::parse(&Child { block: 7, keys: 10..=99 }, &block, 24).expect("whole");
    let children: Vec<_> = node.children().map(|child| (child.block, child.keys)).collect();
    assert_eq!(children, [(100, 10..=19), (200, 20..=29), (300, 30..=99)]);
    let found: Vec<_> = [9, 10, 19, 20, 1000].map(|key| node.find(key)).into();
    assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(2)]);
}

#[test]
fn what_cannot_be_is_said() {
    let all = 0..=u64::MAX;
    let rows = [
        (node(3, 252, 8, &[(1, 1)]), all.clone(), "no node of a tree has flags 0x3"),
        (node(2, 252, 24, &[(1, 1)]), all.clone(), "its values are of 24 bytes, not 8"),
        (node(2, 255, 8, &[]), all.clone(), "it cannot hold 0 entries of 255"),
        (node(2, 1, 8, &[(1, 1), (2, 2)]), all.clone(), "it cannot hold 2 entries of 1"),
        (node(1, 252, 8, &[]), all.clone(), "it is an internal node without children"),
        (node(2, 252, 8, &[(1, 1), (3, 3), (3, 3)]), all.clone(), "its keys are out of order"),
        (node(2, 252, 8, &[(5, 1), (9, 1)]), 6..=20, "it has key 5, but should be of keys 6 to 20"),
        (node(2, 252, 8, &[(6, 1), (21, 1)]), 6..=20, "it has key 21, but should be of keys 6 to 20"),
    ];
    for (block, keys, expected) in rows {
        assert_eq!(error(&block, keys), format!("block 7 is damaged: {expected}"));
    }
}
