//! Taking, waiting and letting go, with a `dmsetup` that answers as the kernel does and keeps its state in a file.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::error::Status;
use crate::thin::{DeviceNumber, ThinVolume};

/// Thin device 254:5 with id 7 in pool 254:2, `vg-pool-tpool`. The file `held` has the held root, `mode` the mode
/// if it is not rw, `refuse` makes messages fail, `log` lists the messages that were sent.
const DMSETUP: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
case "$*" in
"table --major=254 --minor=5") echo "0 2097152 thin 254:2 7" ;;
"table --major=254 --minor=6") echo "0 2097152 linear 254:2 0" ;;
"table --major=254 --minor=2") echo "0 204800 thin-pool $PWD/metadata 254:1 128 0 1 skip_block_zeroing" ;;
"info -c --noheadings -o name --major=254 --minor=2") echo vg-pool-tpool ;;
"status vg-pool-tpool" | "status --noflush vg-pool-tpool")
    echo "0 204800 thin-pool 4 12/1024 160/1600 $(cat held 2>/dev/null || echo -) $(cat mode 2>/dev/null || echo rw) discard_passdown - 1024" ;;
"message vg-pool-tpool 0 reserve_metadata_snap")
    echo reserve >>log
    [ -e refuse ] && { echo "device-mapper: message ioctl on vg-pool-tpool failed: Operation not supported" >&2; exit 1; }
    [ -e held ] && { echo "device-mapper: message ioctl on vg-pool-tpool failed: Device or resource busy" >&2; exit 1; }
    echo 35 >held ;;
"message vg-pool-tpool 0 release_metadata_snap")
    echo release >>log
    [ -e refuse ] && { echo "device-mapper: message ioctl on vg-pool-tpool failed: Operation not supported" >&2; exit 1; }
    rm held ;;
*) echo "Device does not exist: $*" >&2; exit 1 ;;
esac
"#;

struct Lab {
    dir: TempDir,
    reservations: Reservations,
    stop: Stop,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("scratch directory");
        let program = dir.path().join("dmsetup");
        // Written by a child: were it open for writing here while another test forks, running it would fail (ETXTBSY).
        let mut write = std::process::Command::new("tee")
            .arg(&program)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("tee starts");
        std::io::Write::write_all(&mut write.stdin.take().expect("piped"), DMSETUP.as_bytes()).expect("written");
        assert!(write.wait().expect("tee ends").success());
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let reservations = Reservations::open_in(&dir.path().join("run"));
        Lab { dir, reservations, stop: Stop::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn dmsetup(&self) -> Dmsetup {
        Dmsetup::at(self.path("dmsetup"))
    }

    fn pool(&self) -> Pool {
        let number = DeviceNumber { major: 254, minor: 5 };
        ThinVolume::of_number(number, &self.dmsetup()).expect("answers").expect("thin").pool
    }

    fn take(&self) -> Result<MetadataSnapshot> {
        MetadataSnapshot::take(&self.pool(), &self.reservations, &self.stop)
    }

    fn held(&self) -> bool {
        self.path("held").exists()
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default().replace('\n', " ")
    }

    /// What an lvpipe leaves that is killed while it holds the snapshot, or while it takes it.
    fn leave_behind(&self, held_root: Option<u64>) {
        let block = held_root.map_or("null".into(), |block| block.to_string());
        let held = format!(r#"{{"kind":"metadata-snapshot","pool":"vg-pool-tpool","held_root":{block}}}"#);
        std::fs::create_dir_all(self.path("run")).expect("made");
        self.put("run/4711-dead.held", &format!(r#"{{"id":0,"pid":4711,"held":{held}}}"#));
    }

    /// How many records there are, of the living and the dead.
    fn records(&self) -> usize {
        let files = std::fs::read_dir(self.path("run")).expect("there");
        let text = |path: &Path| std::fs::read_to_string(path).expect("text");
        files.map(|file| text(&file.expect("entry").path()).lines().count()).sum()
    }
}

#[test]
fn a_device_leads_to_its_pool() {
    let lab = Lab::new();
    let volume = ThinVolume::of_number(DeviceNumber { major: 254, minor: 5 }, &lab.dmsetup());
    let volume = volume.expect("answers").expect("thin");
    assert_eq!((volume.size, volume.device, volume.external_origin), (1 << 30, 7, None));
    assert_eq!((volume.pool.name.as_str(), volume.pool.chunk_bytes), ("vg-pool-tpool", 64 << 10));
    assert_eq!(volume.pool.metadata_path().expect("a path"), lab.path("metadata"));

    let linear = ThinVolume::of_number(DeviceNumber { major: 254, minor: 6 }, &lab.dmsetup());
    assert_eq!(linear.expect("answers"), None);
    let none = ThinVolume::of_number(DeviceNumber { major: 254, minor: 9 }, &lab.dmsetup()).expect_err("not there");
    assert!(none.to_string().contains("Device does not exist"), "{none}");
    assert_eq!(ThinVolume::at(Path::new("/dev/null"), &lab.dmsetup()).expect("no block device"), None);
    assert_eq!(ThinVolume::at(&lab.path("dmsetup"), &lab.dmsetup()).expect("a file"), None);
}

#[test]
fn held_until_released_or_dropped() {
    let lab = Lab::new();
    let snapshot = lab.take().expect("free");
    assert_eq!((snapshot.held_root(), snapshot.notices().len()), (35, 0));
    assert!(lab.held());
    assert_eq!(lab.records(), 2, "one line before it was taken, one with its block");
    snapshot.release().expect("released");
    assert!(!lab.held());

    drop(lab.take().expect("free again"));
    assert!(!lab.held());
    assert_eq!((lab.records(), lab.log().as_str()), (0, "reserve release reserve release "));
}

#[test]
fn one_released_by_somebody_else_is_an_error_and_off_the_record() {
    let lab = Lab::new();
    let snapshot = lab.take().expect("free");
    std::fs::remove_file(lab.path("held")).expect("released");
    let error = snapshot.release().expect_err("the map may be wrong");
    assert!(error.to_string().contains("released by somebody else while it was read"), "{error}");
    assert_eq!(lab.records(), 0);
}

#[test]
fn a_panic_lets_go() {
    let lab = Lab::new();
    let snapshot = lab.take().expect("free");
    let thread = std::thread::spawn(move || {
        let _held = snapshot;
        panic!("on purpose");
    });
    assert!(thread.join().is_err());
    assert!(!lab.held());
    assert_eq!(lab.records(), 0);
}

#[test]
fn two_at_once_both_succeed() {
    let lab = Lab::new();
    std::thread::scope(|scope| {
        let takers: Vec<_> = (0..4).map(|_| scope.spawn(|| lab.take().expect("its turn").release())).collect();
        for taker in takers {
            taker.join().expect("no panic").expect("released");
        }
    });
    assert_eq!(lab.log(), "reserve release ".repeat(4));
}

#[test]
fn what_a_dead_lvpipe_left_is_released_with_a_notice() {
    for held_root in [Some(35), None] {
        let lab = Lab::new();
        lab.put("held", "35");
        lab.leave_behind(held_root);
        let snapshot = lab.take().expect("released first");
        assert_eq!(
            snapshot.notices(),
            ["released the metadata snapshot of pool vg-pool-tpool, left behind by lvpipe, process 4711"]
        );
        snapshot.release().expect("released");
        assert_eq!((lab.records(), lab.log().as_str()), (0, "release reserve release "));
    }
}

#[test]
fn what_was_left_behind_can_be_released_without_taking() {
    let lab = Lab::new();
    lab.put("held", "35");
    lab.leave_behind(Some(35));
    let notices = release_left_behind(&lab.dmsetup(), &lab.reservations, &lab.stop).expect("released");
    assert_eq!(notices.len(), 1);
    assert!(!lab.held());
    let notices = release_left_behind(&lab.dmsetup(), &lab.reservations, &lab.stop).expect("nothing to do");
    assert!(notices.is_empty());
    assert_eq!((lab.records(), lab.log().as_str()), (0, "release "));
}

#[test]
fn another_tools_snapshot_is_waited_for_and_then_refused() {
    let lab = Lab::new();
    lab.put("held", "90");
    // A record of another block: that one was released, and this is not ours.
    lab.leave_behind(Some(35));
    let error = lab.take().expect_err("held by another tool");
    assert_eq!(error.status(), Status::Guard);
    assert_eq!(
        error.to_string(),
        "cannot read the pool's metadata: vg-pool-tpool: another tool holds the pool's only metadata snapshot, in block 90\n  \
         if no tool uses it any more: dmsetup message vg-pool-tpool 0 release_metadata_snap"
    );
    assert_eq!((lab.held(), lab.log().as_str()), (true, ""));

    // It lets go after a while.
    std::thread::scope(|scope| {
        let taker = scope.spawn(|| lab.take());
        std::thread::sleep(Duration::from_millis(300));
        std::fs::remove_file(lab.path("held")).expect("released");
        assert_eq!(taker.join().expect("no panic").expect("free now").held_root(), 35);
    });
}

#[test]
fn waiting_ends_with_the_run() {
    let lab = Lab::new();
    lab.put("held", "90");
    std::thread::scope(|scope| {
        let taker = scope.spawn(|| lab.take());
        std::thread::sleep(Duration::from_millis(100));
        lab.stop.fail(Error::signal(15));
        assert_eq!(taker.join().expect("no panic").expect_err("ended"), Error::signal(15));
    });
    assert!(lab.held(), "not ours to release");
}

#[test]
fn a_pool_that_refuses_leaves_no_record() {
    let lab = Lab::new();
    lab.put("refuse", "");
    let error = lab.take().expect_err("refused");
    assert!(error.to_string().contains("reserve_metadata_snap: device-mapper: message ioctl"), "{error}");
    assert_eq!(lab.records(), 0);
}

#[test]
fn a_read_only_pool_is_refused_unasked() {
    let lab = Lab::new();
    lab.put("mode", "ro");
    let error = lab.take().expect_err("refused");
    assert_eq!(error.status(), Status::Guard);
    assert!(error.to_string().contains("it is read-only"), "{error}");
    assert_eq!((lab.records(), lab.log().as_str()), (0, ""));
}

#[test]
fn a_release_that_fails_is_told_and_left_for_the_next_run() {
    let lab = Lab::new();
    let snapshot = lab.take().expect("free");
    lab.put("refuse", "");
    let error = snapshot.release().expect_err("refused");
    assert!(error.to_string().contains("release_metadata_snap: device-mapper: message ioctl"), "{error}");
    assert_eq!(lab.records(), 2);

    std::fs::remove_file(lab.path("refuse")).expect("removed");
    let Lab { dir, reservations, stop } = lab;
    drop(reservations); // the process ends
    let lab = Lab { reservations: Reservations::open_in(&dir.path().join("run")), dir, stop };
    let snapshot = lab.take().expect("cleaned up");
    assert_eq!(snapshot.notices().len(), 1);
}
