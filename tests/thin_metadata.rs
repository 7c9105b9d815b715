//! The reader of thin metadata against thin_restore and thin_dump, on generated pools. Damage is in
//! `thin_damage.rs`.

mod generated_pool;
mod thin_dump;

use generated_pool::{Device, Mapping, restore, scattered};
use lvpipe::error::{Error, Status};
use lvpipe::stop::Stop;
use lvpipe::thin::{DeviceDetails, LIVE_ROOT, Metadata, Run, device_details, devices, mapped_runs};
use proptest::prelude::*;
use thin_dump::{dump, read};

/// Runs with random gaps; data chunks are given out one after the other, with a gap after each second run, so that
/// some neighbours are neighbours in the pool too and some are not.
fn fresh_runs(base: u64, gaps_and_lengths: &[(u64, u64)], next_data: &mut u64) -> Vec<Mapping> {
    let mut begin = base;
    let mut runs = Vec::new();
    for (n, &(gap, length)) in gaps_and_lengths.iter().enumerate() {
        begin += gap;
        *next_data += n as u64 % 2;
        runs.push(Mapping { begin, data: *next_data, length });
        begin += length;
        *next_data += length;
    }
    runs
}

/// A few devices; some are snapshots: they share the other's mappings, but for every third run.
fn pools() -> impl Strategy<Value = Vec<Device>> {
    let runs = proptest::collection::vec((0u64..6, 1u64..40), 0..150);
    let base = prop_oneof![Just(0), 0u64..1000, Just(1u64 << 40)];
    let device = (0u32..1 << 24, base, runs, any::<bool>());
    proptest::collection::btree_map(0u32..1 << 24, device, 0..5).prop_map(|drawn| {
        let mut next_data = 0;
        let mut devices: Vec<Device> = Vec::new();
        for (id, (_, base, runs, is_snapshot)) in drawn {
            let runs = match devices.last() {
                Some(origin) if is_snapshot => {
                    origin.runs.iter().enumerate().filter(|(n, _)| n % 3 > 0).map(|(_, run)| *run).collect()
                }
                _ => fresh_runs(base, &runs, &mut next_data),
            };
            devices.push(Device { id, runs });
        }
        devices
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn maps_are_those_of_thin_dump(pool in pools(), chunk_sectors in prop_oneof![Just(128u32), Just(2048), Just(2 << 20)]) {
        let dir = tempfile::tempdir().expect("scratch directory");
        let path = dir.path().join("metadata");
        restore(&pool, chunk_sectors, 8, &path);

        let dumped = dump(&path);
        prop_assert_eq!(dumped.len(), pool.len());
        for (id, runs) in dumped {
            prop_assert_eq!(read(&path, id).expect("whole"), runs);
        }

        let metadata = Metadata::open(&path).expect("there");
        let superblock = metadata.superblock(LIVE_ROOT).expect("whole");
        prop_assert_eq!(superblock.chunk_sectors, chunk_sectors);
        let facts = |device: &Device| DeviceDetails {
            mapped_chunks: device.mapped(),
            transaction_id: u64::from(device.id) + 1,
            creation_time: 1,
            snapshot_time: 2,
        };
        let expected: Vec<_> = pool.iter().map(|device| (device.id, facts(device))).collect();
        prop_assert_eq!(devices(&metadata, &superblock, &Stop::new()).expect("whole"), expected);
    }
}

#[test]
fn millions_of_mappings_are_those_that_thin_dump_finds() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    restore(&[scattered(1, 300), scattered(5, 1_000_000)], 128, 64, &path);
    for (id, runs) in dump(&path) {
        assert_eq!(read(&path, id).expect("whole"), runs);
    }
}

#[test]
fn a_superblock_tells_about_its_pool() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    restore(&[scattered(3, 10)], 256, 4, &path);
    let metadata = Metadata::open(&path).expect("there");
    assert_eq!(metadata.blocks(), 1024);
    let superblock = metadata.superblock(LIVE_ROOT).expect("whole");
    assert_eq!(superblock.chunk_bytes(), 128 << 10);
    assert_eq!((superblock.time, superblock.transaction_id, superblock.data_chunks), (3, 7, 11));
    assert_eq!((superblock.held_root, superblock.needs_check), (None, false));
}

#[test]
fn a_device_that_is_not_there_is_refused_with_those_that_are() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    restore(&[scattered(3, 10), scattered(70_000, 0)], 128, 4, &path);
    let metadata = Metadata::open(&path).expect("there");
    let superblock = metadata.superblock(LIVE_ROOT).expect("whole");
    let error = device_details(&metadata, &superblock, 4).expect_err("no such device");
    assert_eq!(error.status(), Status::Guard);
    assert!(error.to_string().ends_with("it has no thin device 4; it has 3, 70000"), "{error}");
    assert_eq!(read(&path, 70_000).expect("empty"), []);
}

#[test]
fn reading_ends_when_the_run_is_stopped_or_the_taker_fails() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    restore(&[scattered(3, 10_000)], 128, 4, &path);
    let metadata = Metadata::open(&path).expect("there");
    let superblock = metadata.superblock(LIVE_ROOT).expect("whole");
    let full = Error::guard("full", "", "");
    let mut taken = 0;
    let take = |_: Run| {
        taken += 1;
        if taken == 300 { Err(full.clone()) } else { Ok(()) }
    };
    assert_eq!(mapped_runs(&metadata, &superblock, 3, &Stop::new(), take), Err(full));
    assert_eq!(taken, 300);

    let stop = Stop::new();
    stop.fail(Error::signal(15));
    let never = |_: Run| panic!("the run was stopped before");
    assert_eq!(mapped_runs(&metadata, &superblock, 3, &stop, never), Err(Error::signal(15)));
}

#[test]
fn what_is_no_metadata_is_named() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("other");
    let rows: [(&[u8], usize, &str); 6] = [
        (b"", 0, "shorter than one block"),
        (b"<superblock uuid=\"\"", 100, "XML"),
        (b"<superblock uuid=\"\"", 8192, "XML"),
        (&[0x77, 0xef, 0x09, 0x63, 0xaa, 0xa0, 0x37, 0xa5], 4096, "thin_metadata_pack"),
        (&[0x1f, 0x8b, 8], 50_000, "gzip"),
        (&[], 8192, "all zeros"),
    ];
    for (begin, size, expected) in rows {
        let mut bytes = begin.to_vec();
        bytes.resize(size, 0);
        std::fs::write(&path, bytes).expect("written");
        let error = read(&path, 1).expect_err("foreign");
        assert_eq!(error.status(), Status::Guard);
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(
        read(dir.path(), 1).expect_err("a directory").to_string().contains("neither a file nor a block device")
    );
}
