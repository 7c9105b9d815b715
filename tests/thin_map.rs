//! The used map of a thin volume, from saved metadata and from an active pool. The pool is one that a `dmsetup`
//! made up for the test tells of.

mod generated_pool;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use generated_pool::{Device, Mapping, restore, scattered};
use lvpipe::reserve::Reservations;
use lvpipe::stop::Stop;
use lvpipe::thin::{DeviceNumber, Dmsetup, ThinVolume};
use lvpipe::usedmap::{Extent, MapSource, ThinMap, from_metadata_file, from_thin_device};

const MIB: u64 = 1 << 20;

/// Chunks 2 and 3, and 5, of 1 MiB.
fn three_chunks() -> Device {
    Device { id: 7, runs: vec![Mapping { begin: 2, data: 9, length: 2 }, Mapping { begin: 5, data: 1, length: 1 }] }
}

#[test]
fn a_map_from_saved_metadata_is_as_long_as_is_said() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    restore(&[three_chunks(), scattered(8, 0)], 2048, 4, &path);
    let map = |id, size| from_metadata_file(&path, id, size, &Stop::new()).expect("whole");

    let both = [Extent { offset: 2 * MIB, length: 2 * MIB }, Extent { offset: 5 * MIB, length: MIB }];
    let known = map(7, Some(100 * MIB));
    assert_eq!((known.size(), known.source(), known.extents()), (100 * MIB, MapSource::Thin, both.as_slice()));
    assert_eq!(map(7, None).size(), 6 * MIB);
    let shorter = map(7, Some(5 * MIB + 1));
    assert_eq!((shorter.size(), shorter.used_bytes()), (5 * MIB + 1, 2 * MIB + 1));
    assert_eq!(map(8, Some(1 << 50)).extents(), []);
}

#[test]
fn a_mapping_beyond_any_volume_is_refused() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    restore(&[Device { id: 7, runs: vec![Mapping { begin: 1 << 46, data: 0, length: 1 }] }], 2048, 4, &path);
    let error = from_metadata_file(&path, 7, None, &Stop::new()).expect_err("2^66 bytes");
    assert!(error.to_string().contains("beyond the end of any volume"), "{error}");
}

/// A pool whose metadata is `metadata` in the directory. The metadata snapshot that it gives out is block 0, the
/// superblock itself, which nobody changes here.
const DMSETUP: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
case "$*" in
"table --major=254 --minor=5") cat thin-table ;;
"table --major=254 --minor=2") cat pool-table ;;
"info -c --noheadings -o name --major=254 --minor=2") echo vg-pool-tpool ;;
"status vg-pool-tpool") echo "0 2048 thin-pool 4 12/1024 160/1600 $(cat held 2>/dev/null || echo -) rw" ;;
"message vg-pool-tpool 0 reserve_metadata_snap") [ ! -e held ] && echo 0 >held ;;
"message vg-pool-tpool 0 release_metadata_snap") rm held && echo released >>log ;;
*) echo "Device does not exist: $*" >&2; exit 1 ;;
esac
"#;

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Lab { dir: tempfile::tempdir().expect("scratch directory") };
        // By a child: a program that is open for writing when another test forks could not be run (ETXTBSY).
        let mut tee = Command::new("tee")
            .arg(lab.path("dmsetup"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("tee");
        std::io::Write::write_all(&mut tee.stdin.take().expect("piped"), DMSETUP.as_bytes()).expect("written");
        assert!(tee.wait().expect("ends").success());
        std::fs::set_permissions(lab.path("dmsetup"), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        restore(&[three_chunks()], 2048, 4, &lab.path("metadata"));
        lab.put("thin-table", "0 20480 thin 254:2 7");
        lab.put("pool-table", &format!("0 2048 thin-pool {} 254:1 2048 0", lab.path("metadata").display()));
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn map(&self) -> lvpipe::error::Result<ThinMap> {
        let dmsetup = Dmsetup::at(self.path("dmsetup"));
        let volume = ThinVolume::of_number(DeviceNumber { major: 254, minor: 5 }, &dmsetup)?.expect("thin");
        from_thin_device(&volume, &Reservations::open_in(&self.path("run")), &Stop::new())
    }

    /// Whether the pool's snapshot was taken and let go, with nothing left on record.
    fn let_go(&self) -> bool {
        let records = std::fs::read_dir(self.path("run")).expect("there");
        let held = |path: &Path| path.extension().is_some_and(|extension| extension == "held");
        self.path("log").exists()
            && !self.path("held").exists()
            && !records.into_iter().any(|record| held(&record.expect("entry").path()))
    }
}

#[test]
fn a_devices_map_is_read_from_the_metadata_snapshot_which_is_let_go() {
    let lab = Lab::new();
    let ThinMap { map, notices, untouched } = lab.map().expect("read");
    assert_eq!((map.size(), map.used_bytes(), notices.len()), (10 * MIB, 3 * MIB, 0));
    // Its mappings are of time 0, and it was made at time 1.
    assert_eq!(untouched, Some(3));
    assert!(lab.let_go());
}

#[test]
fn the_metadata_snapshot_is_let_go_when_the_metadata_is_damaged() {
    let lab = Lab::new();
    std::fs::File::options().write(true).open(lab.path("metadata")).expect("there").set_len(8192).expect("cut");
    let error = lab.map().expect_err("cut short");
    assert!(error.to_string().contains("is needed, but there are only 2 blocks"), "{error}");
    assert!(lab.let_go());
}

#[test]
fn metadata_of_another_chunk_size_than_the_pools_is_refused() {
    let lab = Lab::new();
    lab.put("pool-table", &format!("0 2048 thin-pool {} 254:1 128 0", lab.path("metadata").display()));
    let error = lab.map().expect_err("not this pool's");
    assert!(error.to_string().contains("its chunks are of 1048576 bytes, the pool's of 65536"), "{error}");
    assert!(lab.let_go());
}

#[test]
fn with_an_external_origin_nothing_is_a_hole() {
    let lab = Lab::new();
    lab.put("thin-table", "0 20480 thin 254:2 7 254:9");
    let ThinMap { map, notices, .. } = lab.map().expect("known from the table");
    assert_eq!((map.used_bytes(), map.source()), (10 * MIB, MapSource::Unknown));
    assert!(notices[0].contains("external origin 254:9"), "{notices:?}");
}
