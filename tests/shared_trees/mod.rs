//! Metadata in which two devices share parts of their trees, as after a snapshot. thin_restore shares nothing, so
//! the trees are written here, over metadata that it has made for empty devices: block by block, bottom up, and what
//! both trees have alike is one block. Space maps are left as they are: what only reads trees never asks them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::generated_pool::{Device, restore};

const BLOCK: usize = 4096;
/// The most entries of a node with values of 8 bytes: as many as fit, of which the kernel takes a multiple of 3.
pub const FULL: usize = 252;

/// Virtual chunk, data chunk, time.
pub type Mapping = (u64, u64, u64);

/// A tree, as its leaves' mappings, and how many children an inner node has.
pub struct Tree {
    pub leaves: Vec<Vec<Mapping>>,
    pub fan_out: usize,
}

impl Tree {
    fn mapped(&self) -> u64 {
        self.leaves.iter().map(|leaf| leaf.len() as u64).sum()
    }
}

/// Writes metadata of devices 1, 2, ... with these trees. What is alike is shared if `share`.
pub fn write(trees: &[Tree], share: bool, mebibytes: u64, path: &Path) {
    let devices: Vec<_> = (1..).zip(trees).map(|(id, _)| Device { id, runs: Vec::new() }).collect();
    restore(&devices, 128, mebibytes, path);
    let file = OpenOptions::new().read(true).write(true).open(path).expect("metadata");
    // Far behind the few blocks that empty devices take.
    let mut writer = Writer { file: &file, next: 64, known: HashMap::new(), share };
    let roots: Vec<u64> = trees.iter().map(|tree| writer.tree(tree)).collect();
    assert!(writer.next * BLOCK as u64 <= mebibytes << 20, "the metadata is too small for {} blocks", writer.next);
    let mut superblock = [0; BLOCK];
    file.read_exact_at(&mut superblock, 0).expect("superblock");
    let long = |at: usize| u64::from_le_bytes(superblock[at..at + 8].try_into().expect("8 bytes"));
    patch_leaf(&file, long(320), 8, &roots);
    patch_leaf(&file, long(328), 24, &trees.iter().map(Tree::mapped).collect::<Vec<_>>());
}

struct Writer<'a> {
    file: &'a File,
    next: u64,
    /// Blocks by content.
    known: HashMap<Vec<(u64, u64)>, u64>,
    share: bool,
}

impl Writer<'_> {
    fn tree(&mut self, tree: &Tree) -> u64 {
        let mut level = Vec::new();
        for leaf in &tree.leaves {
            let entries: Vec<_> = leaf.iter().map(|&(chunk, data, time)| (chunk, data << 24 | time)).collect();
            let first = entries.first().map_or(0, |entry| entry.0);
            level.push((first, self.node(2, entries)));
        }
        if level.is_empty() {
            return self.node(2, Vec::new());
        }
        while level.len() > 1 {
            level = level.chunks(tree.fan_out).map(|part| (part[0].0, self.node(1, part.to_vec()))).collect();
        }
        level[0].1
    }

    fn node(&mut self, kind: u32, entries: Vec<(u64, u64)>) -> u64 {
        let mut key = entries.clone();
        key.push((u64::MAX, kind.into()));
        if let Some(block) = self.known.get(&key).filter(|_| self.share) {
            return *block;
        }
        // thin_delta wants a node to be a third full, and its room to be a multiple of 3.
        let room = entries.len().max(1).next_multiple_of(3);
        let mut block = [0; BLOCK];
        block[4..8].copy_from_slice(&kind.to_le_bytes());
        block[16..20].copy_from_slice(&(entries.len() as u32).to_le_bytes());
        block[20..24].copy_from_slice(&(room as u32).to_le_bytes());
        block[24..28].copy_from_slice(&8_u32.to_le_bytes());
        for (at, (key, value)) in entries.iter().enumerate() {
            block[32 + at * 8..][..8].copy_from_slice(&key.to_le_bytes());
            block[32 + room * 8 + at * 8..][..8].copy_from_slice(&value.to_le_bytes());
        }
        let number = self.next;
        self.next += 1;
        put(self.file, number, &mut block);
        self.known.insert(key, number);
        number
    }
}

/// Writes a tree's node with its number and checksum.
fn put(file: &File, number: u64, block: &mut [u8; BLOCK]) {
    block[8..16].copy_from_slice(&number.to_le_bytes());
    let sum = !crc32c::crc32c(&block[4..]) ^ 121_107;
    block[..4].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(block, number * BLOCK as u64).expect("written");
}

/// Gives the entries of a leaf that thin_restore has written these values, or the first u64 of each.
fn patch_leaf(file: &File, number: u64, value_size: usize, values: &[u64]) {
    let mut block = [0; BLOCK];
    file.read_exact_at(&mut block, number * BLOCK as u64).expect("there");
    let short = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("4 bytes")) as usize;
    assert_eq!((short(4), short(16), short(24)), (2, values.len(), value_size), "a leaf of these devices");
    let values_at = 32 + short(20) * 8;
    for (entry, value) in values.iter().enumerate() {
        block[values_at + entry * value_size..][..8].copy_from_slice(&value.to_le_bytes());
    }
    put(file, number, &mut block);
}
