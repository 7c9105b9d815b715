//! Metadata that thin_restore does not write: trees shared and scattered as the kernel leaves them, and damage.
//!
//! Damage ends in an error that names the block, or, where the block is not of the device that is read, in exactly
//! its map. Never in a panic, never in another map.

mod generated_pool;
mod thin_dump;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use generated_pool::{Device, restore, scattered};
use lvpipe::error::Result;
use tempfile::TempDir;
use thin_dump::{Run, dump, read, read_from};

const BLOCK: usize = 4096;
const SUPERBLOCK_XOR: u32 = 160_774;
const NODE_XOR: u32 = 121_107;

/// Where the superblock keeps the roots of mappings and details.
const MAPPINGS_ROOT: usize = 320;
const DETAILS_ROOT: usize = 328;

/// Metadata of two devices that can be spoilt and mended block by block. Device 1 has a tree of two levels.
struct Patient {
    _dir: TempDir,
    path: PathBuf,
    file: File,
    blocks: usize,
    whole: Vec<Run>,
}

impl Patient {
    fn new() -> Self {
        Self::with(&[scattered(1, 3000), scattered(2, 1000)])
    }

    fn with(devices: &[Device]) -> Self {
        let dir = tempfile::tempdir().expect("scratch directory");
        let path = dir.path().join("metadata");
        restore(devices, 128, 4, &path);
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("there");
        let whole = read(&path, 1).expect("whole");
        assert_eq!(whole.len(), 3000);
        let blocks =
            (0..1024).rev().find(|n| block(&file, *n).iter().any(|byte| *byte != 0)).expect("not empty") + 1;
        Patient { _dir: dir, path, file, blocks, whole }
    }

    fn block(&self, number: usize) -> Vec<u8> {
        block(&self.file, number)
    }

    fn put(&self, number: usize, bytes: &[u8]) {
        self.file.write_all_at(bytes, (number * BLOCK) as u64).expect("written");
    }

    /// Puts a block with the checksum that its content should have.
    fn put_sealed(&self, number: usize, mut bytes: Vec<u8>, xor: u32) {
        let checksum = !crc32c::crc32c(&bytes[4..]) ^ xor;
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        self.put(number, &bytes);
    }

    fn read(&self) -> Result<Vec<Run>> {
        read(&self.path, 1)
    }

    /// The root of device `entry`'s tree; entries are counted from 0.
    fn device_root(&self, entry: usize) -> usize {
        let top = self.block(u64_at(&self.block(0), MAPPINGS_ROOT));
        u64_at(&top, values_at(&top) + entry * 8)
    }

    /// True if reading failed and named the block, false if it gave the whole map; nothing else may be.
    fn named(&self, number: usize, how: &str) -> bool {
        match self.read() {
            Ok(runs) => {
                assert!(runs == self.whole, "block {number}, {how}: a wrong map");
                false
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(&format!("block {number} ")) || number == 0, "block {number}, {how}: {text}");
                true
            }
        }
    }
}

fn block(file: &File, number: usize) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    file.read_exact_at(&mut bytes, (number * BLOCK) as u64).expect("inside");
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize
}

fn set_u64(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
}

/// Where the values of a node begin.
fn values_at(node: &[u8]) -> usize {
    32 + u32_at(node, 20) * 8
}

/// Superblock, details, top of the mappings, the device's root and its leaves, at most 252 mappings in each.
const LEAST_IN_USE: usize = 4 + 3000 / 252;

#[test]
fn any_bit_flipped_is_found_where_it_matters() {
    let patient = Patient::new();
    let mut found = 0;
    for number in 0..patient.blocks {
        let whole = patient.block(number);
        // A bit in every field of the header, and some all over the block, another set in each block.
        let bits = (0..32 * 8).step_by(16).chain((number..BLOCK * 8).step_by(4001));
        let outcomes: Vec<bool> = bits
            .map(|bit| {
                let mut spoilt = whole.clone();
                spoilt[bit / 8] ^= 1 << (bit % 8);
                patient.put(number, &spoilt);
                patient.named(number, &format!("bit {bit}"))
            })
            .collect();
        patient.put(number, &whole);
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "block {number}: only some bits matter");
        found += usize::from(outcomes[0]);
    }
    assert!(found >= LEAST_IN_USE && found < patient.blocks, "{found} of {} blocks matter", patient.blocks);
    assert_eq!(patient.read().expect("mended"), patient.whole);
}

#[test]
fn zeroed_swapped_and_duplicated_blocks_are_found() {
    let patient = Patient::new();
    let mut found = 0;
    for number in 0..patient.blocks {
        let (whole, next) = (patient.block(number), patient.block(number + 1));
        patient.put(number, &[0; BLOCK]);
        found += usize::from(patient.named(number, "zeroed"));
        patient.put(number, &next);
        patient.named(number, "overwritten with the next");
        patient.put(number + 1, &whole);
        // Two blocks are wrong now, and either may be named.
        if let Ok(runs) = patient.read() {
            assert!(runs == patient.whole, "block {number}, swapped with the next: a wrong map");
        }
        patient.put(number, &whole);
        patient.put(number + 1, &next);
    }
    assert!(found >= LEAST_IN_USE, "{found}");
}

#[test]
fn a_file_cut_short_anywhere_is_whole_or_an_error() {
    let patient = Patient::new();
    let mut failed = 0;
    for blocks in (0..patient.blocks).rev() {
        patient.file.set_len((blocks * BLOCK + 1000) as u64).expect("cut");
        match patient.read() {
            Ok(runs) => assert!(runs == patient.whole, "{blocks} blocks: a wrong map"),
            Err(error) => {
                failed += 1;
                let text = error.to_string();
                assert!(text.contains("block ") && text.contains(&format!("{blocks}")) || blocks == 0, "{text}");
            }
        }
    }
    assert!(failed >= LEAST_IN_USE);
}

#[test]
fn whole_blocks_that_lie_are_found() {
    let patient = Patient::new();
    let root = patient.device_root(0);
    let other_root = patient.device_root(1);
    let whole = patient.block(root);
    let values = values_at(&whole);
    let children = u32_at(&whole, 16);
    let child = |entry: usize| u64_at(&whole, values + entry * 8);
    let key = |entry: usize| u64_at(&whole, 32 + entry * 8);
    assert!(children > 10);

    // Entry of the root, what it points to instead, and the block that must be named for it.
    let rows = [
        (0, root, root),                  // its own child
        (1, root, root),                  // the same, further right
        (3, child(4), child(4)),          // one leaf twice
        (5, child(2), child(2)),          // a leaf that belongs elsewhere
        (2, other_root, other_root),      // another device's tree below this one's
        (children - 1, 1 << 40, 1 << 40), // beyond the end
        (0, 0, 0),                        // the superblock
    ];
    for (entry, instead, named) in rows {
        let mut lying = whole.clone();
        set_u64(&mut lying, values + entry * 8, instead);
        patient.put_sealed(root, lying, NODE_XOR);
        let error = patient.read().expect_err("a lie").to_string();
        assert!(error.contains(&format!("block {named} ")), "entry {entry} to {instead}: {error}");
    }

    let mut out_of_order = whole.clone();
    set_u64(&mut out_of_order, 32 + 8, key(2) + 1);
    patient.put_sealed(root, out_of_order, NODE_XOR);
    assert!(patient.read().expect_err("a lie").to_string().contains(&format!("block {root} is damaged: its keys")));

    let mut shorter = whole.clone();
    shorter[16] -= 1;
    patient.put_sealed(root, shorter, NODE_XOR);
    let error = patient.read().expect_err("a leaf is missing").to_string();
    assert!(
        error.contains(&format!("block {root} is the root of")) && error.contains("should have 3000"),
        "{error}"
    );

    patient.put(root, &whole);
    assert_eq!(patient.read().expect("mended"), patient.whole);
}

#[test]
fn a_loop_far_down_is_an_error() {
    // Two internal nodes with one entry each that point to each other: their keys are in order everywhere.
    let patient = Patient::new();
    let root = patient.device_root(0);
    let free = patient.blocks + 1;
    let mut one_entry = patient.block(root);
    one_entry[16..20].copy_from_slice(&1_u32.to_le_bytes());
    let values = values_at(&one_entry);
    for (number, next) in [(root, free), (free, root)] {
        let mut node = one_entry.clone();
        set_u64(&mut node, 8, number);
        set_u64(&mut node, values, next);
        patient.put_sealed(number, node, NODE_XOR);
    }
    assert!(patient.read().expect_err("endless").to_string().contains("levels down"));
}

#[test]
fn leaves_scattered_all_over_are_the_same_map() {
    // As after months of snapshots: the leaves in falling order, with gaps.
    let patient = Patient::new();
    let root = patient.device_root(0);
    let mut node = patient.block(root);
    let (values, children) = (values_at(&node), u32_at(&node, 16));
    for entry in 0..children {
        let old = u64_at(&node, values + entry * 8);
        let new = patient.blocks + 3 * (children - entry);
        let mut leaf = patient.block(old);
        set_u64(&mut leaf, 8, new);
        patient.put_sealed(new, leaf, NODE_XOR);
        patient.put(old, &[0xff; BLOCK]);
        set_u64(&mut node, values + entry * 8, new);
    }
    patient.put_sealed(root, node, NODE_XOR);
    assert_eq!(patient.read().expect("whole"), patient.whole);
}

#[test]
fn a_shared_tree_is_the_same_map_for_both() {
    // thin_restore shares nothing, the kernel does: make both devices' entries point to the first one's tree.
    let patient = Patient::with(&[scattered(1, 3000), scattered(2, 3000)]);
    let top = u64_at(&patient.block(0), MAPPINGS_ROOT);
    let mut mappings = patient.block(top);
    let second = values_at(&mappings) + 8;
    set_u64(&mut mappings, second, patient.device_root(0));
    patient.put_sealed(top, mappings, NODE_XOR);
    let dumped = dump(&patient.path);
    assert_eq!(dumped.len(), 2);
    for (id, runs) in dumped {
        assert!(runs == patient.whole);
        assert_eq!(read(&patient.path, id).expect("whole"), runs);
    }
}

#[test]
fn a_snapshot_of_the_superblock_is_read_like_the_superblock() {
    // As the kernel reserves it: a copy in another block, without space maps.
    let patient = Patient::new();
    let held = patient.blocks + 3;
    let mut copy = patient.block(0);
    set_u64(&mut copy, 8, held);
    copy[64..320].fill(0);
    patient.put_sealed(held, copy, SUPERBLOCK_XOR);
    let mut live = patient.block(0);
    set_u64(&mut live, 56, held);
    // The live trees go on without us.
    set_u64(&mut live, MAPPINGS_ROOT, 1);
    set_u64(&mut live, DETAILS_ROOT, 1);
    patient.put_sealed(0, live, SUPERBLOCK_XOR);

    assert!(patient.read().expect_err("the live tree is gone").to_string().contains("block 1 is damaged"));
    let held_root = live_held_root(&patient.path);
    assert_eq!(held_root, Some(held as u64));
    assert_eq!(read_from(&patient.path, held as u64, 1).expect("whole"), patient.whole);
}

fn live_held_root(path: &Path) -> Option<u64> {
    lvpipe::thin::Metadata::open(path).expect("there").superblock(0).expect("whole").held_root
}
