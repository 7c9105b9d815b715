//! What differs between two thin devices, against thin_delta: with trees that share everything, nothing, and what
//! random changes leave of them.

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod generated_pool;
mod shared_trees;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use generated_pool::{Device, Mapping, restore};
use lvpipe::error::Result;
use lvpipe::stop::Stop;
use lvpipe::thin::{Change, LIVE_ROOT, Metadata, changed_runs};
use proptest::prelude::*;
use shared_trees::{FULL, Tree, write};

/// What changed, first chunk, how many.
type Changed = (Change, u64, u64);

fn read(path: &Path, base: u32, new: u32) -> Result<Vec<Changed>> {
    let metadata = Metadata::open(path)?;
    let superblock = metadata.superblock(LIVE_ROOT)?;
    let mut changes = Vec::new();
    changed_runs(&metadata, &superblock, base, new, &Stop::new(), |change, run| {
        changes.push((change, run.begin, run.length));
        Ok(())
    })?;
    Ok(changes)
}

/// The same from thin_delta. It tells what is new from what is elsewhere; both are written.
fn oracle(path: &Path, base: u32, new: u32) -> Vec<Changed> {
    let mut child = Command::new("thin_delta")
        .args(["--thin1", &base.to_string(), "--thin2", &new.to_string()])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("thin_delta starts (Debian: thin-provisioning-tools)");
    let mut changes: Vec<Changed> = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        let change = match line.trim_start().split(' ').next() {
            Some("<left_only") => Change::Discarded,
            Some("<right_only" | "<different") => Change::Written,
            _ => continue,
        };
        let number = |name: &str| {
            let (_, value) = line.split_once(&format!(" {name}=\"")).expect("the attribute is there");
            value.split('"').next().and_then(|value| value.parse().ok()).expect("a number")
        };
        let (begin, length) = (number("begin"), number("length"));
        match changes.last_mut() {
            Some((kind, first, count)) if *kind == change && *first + *count == begin => *count += length,
            _ => changes.push((change, begin, length)),
        }
    }
    assert!(child.wait().expect("thin_delta ends").success());
    changes
}

fn assert_as_oracle(path: &Path) {
    for (base, new) in [(1, 2), (2, 1), (1, 1)] {
        assert_eq!(read(path, base, new).expect("whole"), oracle(path, base, new), "{base} to {new}");
    }
}

/// What a leaf of the base became.
#[derive(Debug, Clone)]
enum Fate {
    Kept,
    /// Every so-manyth mapping written anew.
    Written(usize),
    /// Every so-manyth discarded.
    Discarded(usize),
    /// A mapping more behind each that has room there; the leaf split in two.
    Split,
    Gone,
}

fn fates() -> impl Strategy<Value = Vec<(usize, u64, Fate)>> {
    let fate = prop_oneof![
        6 => Just(Fate::Kept),
        1 => (1..40_usize).prop_map(Fate::Written),
        1 => (1..40_usize).prop_map(Fate::Discarded),
        1 => Just(Fate::Split),
        1 => Just(Fate::Gone),
    ];
    proptest::collection::vec((1..FULL, 1..3_u64, fate), 0..60)
}

/// The base's leaves and the new device's: entries a leaf, and the distance of their chunks.
fn leaves(fates: &[(usize, u64, Fate)]) -> [Vec<Vec<shared_trees::Mapping>>; 2] {
    let (mut chunk, mut data, mut fresh) = (0, 0, 1_000_000);
    let mut sides = [Vec::new(), Vec::new()];
    let mut written = || {
        fresh += 1;
        fresh
    };
    for (entries, distance, fate) in fates {
        let base: Vec<_> = (0..*entries as u64).map(|n| (chunk + n * distance, data + n, 0)).collect();
        (chunk, data) = (chunk + *entries as u64 * distance, data + *entries as u64);
        let with_index = base.iter().copied().enumerate();
        match fate {
            Fate::Kept => sides[1].push(base.clone()),
            Fate::Written(every) => sides[1].push(
                with_index.map(|(n, old)| if n % every == 0 { (old.0, written(), 5) } else { old }).collect(),
            ),
            Fate::Discarded(every) => {
                sides[1].push(with_index.filter(|(n, _)| n % every != 0).map(|(_, old)| old).collect())
            }
            Fate::Split => {
                // The time alone is no difference.
                let old = |(chunk, data, _)| (chunk, data, 7);
                let more: Vec<_> = base
                    .iter()
                    .map(|&one| [Some(old(one)), (*distance > 1).then(|| (one.0 + 1, written(), 5))])
                    .collect();
                sides[1]
                    .extend(more.chunks(FULL / 2).map(|half| half.iter().flatten().flatten().copied().collect()));
            }
            Fate::Gone => {}
        }
        sides[0].push(base);
    }
    sides[1].retain(|leaf| !leaf.is_empty());
    sides
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn shared_trees_differ_as_thin_delta_says(fates in fates(), fan_out in [2..20_usize, 2..20], share: bool) {
        let dir = tempfile::tempdir().expect("scratch directory");
        let path = dir.path().join("metadata");
        let [base, new] = leaves(&fates);
        let trees = [Tree { leaves: base, fan_out: fan_out[0] }, Tree { leaves: new, fan_out: fan_out[1] }];
        write(&trees, share, 4, &path);
        assert_as_oracle(&path);
    }

    #[test]
    fn restored_trees_differ_as_thin_delta_says(
        runs in [proptest::collection::vec((0..5_u64, 1..300_u64, 0..3_u64), 0..40), proptest::collection::vec((0..5_u64, 1..300_u64, 0..3_u64), 0..4)],
    ) {
        let dir = tempfile::tempdir().expect("scratch directory");
        let path = dir.path().join("metadata");
        let device = |(id, runs): (u32, &Vec<(u64, u64, u64)>)| {
            let mut begin = 0;
            let runs = runs.iter().map(|&(gap, length, apart)| {
                begin += gap + length;
                // Data chunks that both devices have alike, or not.
                Mapping { begin: begin - length, data: begin + (u64::from(id) * apart) * 100_000, length }
            });
            Device { id, runs: runs.collect() }
        };
        let devices: Vec<_> = (1..).zip(&runs).map(device).collect();
        restore(&devices, 128, 4, &path);
        assert_as_oracle(&path);
    }
}

/// More than fills the batches of all levels, with everything next to each other and the new device twice as dense in
/// places: the cuts of the batches fall anywhere.
#[test]
fn trees_larger_than_any_batch_differ_as_thin_delta_says() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    let fates: Vec<_> = (0..5000_usize)
        .map(|n| {
            let fate = match n % 50 {
                _ if (1500..3000).contains(&n) => Fate::Split,
                0 => Fate::Written(7),
                1 => Fate::Discarded(3),
                2 => Fate::Gone,
                _ => Fate::Kept,
            };
            (4 + n % 20, 2, fate)
        })
        .collect();
    for share in [true, false] {
        let [base, new] = leaves(&fates);
        write(&[Tree { leaves: base, fan_out: 5 }, Tree { leaves: new, fan_out: 9 }], share, 96, &path);
        assert_as_oracle(&path);
    }
}

#[test]
fn map_tells_what_changed_since_a_device_in_saved_metadata() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    let [base, new] =
        [vec![vec![(0, 10, 0), (2, 11, 0), (3, 12, 0)]], vec![vec![(2, 11, 4), (3, 20, 4), (9, 21, 4)]]];
    write(&[Tree { leaves: base, fan_out: 3 }, Tree { leaves: new, fan_out: 3 }], true, 4, &path);
    let map = |how: &str| {
        let output = assert_cmd::Command::cargo_bin("lvpipe")
            .expect("built")
            .args(["map", how, "--thin-metadata"])
            .arg(&path)
            .args(["--thin-id=2", "--since-thin-id=1"])
            .output()
            .expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(map("--extents"), "0 65536 discarded\n196608 65536 written\n589824 65536 written\n");
    let json: serde_json::Value = serde_json::from_str(&map("--json")).expect("an object");
    assert_eq!(
        (&json["size"], &json["written"], &json["discarded"]),
        (&655_360.into(), &131_072.into(), &65_536.into())
    );
    assert_eq!(json["written_extents"].to_string(), "[[196608,65536],[589824,65536]]");
    assert_eq!(json["discarded_extents"].to_string(), "[[0,65536]]");
}

#[test]
fn what_is_shared_is_not_read() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    let fates = vec![(FULL, 1, Fate::Kept); 40];
    let [base, mut new] = leaves(&fates);
    new[20].pop();
    write(&[Tree { leaves: base, fan_out: 4 }, Tree { leaves: new, fan_out: 4 }], true, 4, &path);
    // The second leaf, which both trees have; the first is looked at for the height of the trees.
    let file = std::fs::File::options().write(true).open(&path).expect("there");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 4096], 65 * 4096).expect("damaged");
    let last = 21 * FULL as u64 - 1;
    assert_eq!(read(&path, 1, 2).expect("not looked at"), [(Change::Discarded, last, 1)]);
}

#[test]
fn a_damaged_leaf_and_a_missing_device_are_errors() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    let [base, new] = leaves(&vec![(FULL, 1, Fate::Written(9)); 4]);
    write(&[Tree { leaves: base, fan_out: 4 }, Tree { leaves: new, fan_out: 4 }], true, 4, &path);
    let error = read(&path, 1, 3).expect_err("no device 3");
    assert!(error.to_string().contains("it has no thin device 3; it has 1, 2"), "{error}");
    let file = std::fs::File::options().write(true).open(&path).expect("there");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 8], 65 * 4096 + 100).expect("damaged");
    let error = read(&path, 1, 2).expect_err("damaged");
    assert!(error.to_string().contains("block 65 is damaged: its checksum"), "{error}");
}

#[test]
fn counts_that_do_not_add_up_are_damage() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    let [base, new] = leaves(&[(100, 1, Fate::Kept), (100, 1, Fate::Written(2))]);
    // The base's tree is now found without its first leaf, which its details count.
    write(&[Tree { leaves: base.clone(), fan_out: 4 }, Tree { leaves: new, fan_out: 4 }], true, 4, &path);
    let shorter = dir.path().join("shorter");
    write(&[Tree { leaves: base[1..].to_vec(), fan_out: 4 }, Tree { leaves: base, fan_out: 4 }], true, 4, &shorter);
    assert_eq!(read(&shorter, 1, 2).expect("whole"), [(Change::Written, 0, 100)]);
    // The root of device 2 for that of device 1: the details are still those of two different devices.
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(&shorter).expect("there");
    let mut superblock = [0; 4096];
    file.read_exact_at(&mut superblock, 0).expect("there");
    let top = u64::from_le_bytes(superblock[320..328].try_into().expect("8 bytes"));
    let mut block = [0; 4096];
    file.read_exact_at(&mut block, top * 4096).expect("there");
    let values = 32 + u32::from_le_bytes(block[20..24].try_into().expect("4 bytes")) as usize * 8;
    block.copy_within(values + 8..values + 16, values);
    let sum = !crc32c::crc32c(&block[4..]) ^ 121_107;
    block[..4].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&block, top * 4096).expect("written");
    let error = read(&shorter, 1, 2).expect_err("100 mappings are not accounted for");
    let why = "devices 1 and 2 have 100 and 200 mappings, which 0 more and 0 fewer do not account for";
    assert!(error.to_string().contains(why), "{error}");
}
