//! The registry as its users see it: taken, cleared, left behind by the dead.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::*;
use crate::error::Status;

fn snapshot(held_root: Option<u64>) -> Held {
    Held::MetadataSnapshot { pool: "vg-pool-tpool".into(), held_root }
}

fn temporary() -> Held {
    Held::TemporaryLv { vg: "vg".into(), lv: "vm1.lvpipe".into(), tag: "lvpipe.lv.1".into() }
}

/// What a new run finds. Tries for a while where it is to find something: a child that another test starts has a copy
/// of every open file, and so of its lock, from its fork to its exec.
fn left_behind(registry: &Reservations) -> Vec<StaleRecord> {
    for _ in 0..100 {
        let stale = registry.stale().expect("read");
        if !stale.is_empty() {
            return stale;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Vec::new()
}

fn held_files(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, |files| files.count())
}

#[test]
fn nothing_is_left_after_everything_was_let_go() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let run = dir.path().join("lvpipe");
    let ours = Reservations::open_in(&run);
    assert!(!run.exists());

    let mut first = ours.record(snapshot(None)).expect("recorded");
    let second = ours.record(temporary()).expect("recorded");
    first.update(snapshot(Some(35))).expect("updated");
    assert_eq!(first.held(), &snapshot(Some(35)));
    assert_eq!(run.metadata().expect("made").permissions().mode() & 0o777, 0o700);

    let others = Reservations::open_in(&run);
    assert!(others.stale().expect("read").is_empty(), "the owner lives");
    first.clear().expect("cleared");
    second.clear().expect("cleared");
    drop(ours);
    assert_eq!(held_files(&run), 0);
}

#[test]
fn what_was_not_cleared_is_found_by_the_next_run_and_by_one_only() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let ours = Reservations::open_in(dir.path());
    let first = ours.record(snapshot(Some(35))).expect("recorded");
    let second = ours.record(temporary()).expect("recorded");
    ours.record(Held::ActivatedLv { vg: "vg".into(), lv: "s1".into(), uuid: "id".into() })
        .expect("recorded")
        .clear()
        .expect("cleared");
    drop((first, second, ours));

    let next = Reservations::open_in(dir.path());
    let mut stale = left_behind(&next);
    assert_eq!(stale.iter().map(StaleRecord::held).collect::<Vec<_>>(), [&snapshot(Some(35)), &temporary()]);
    assert_eq!(stale[0].pid(), std::process::id());
    assert!(Reservations::open_in(dir.path()).stale().expect("read").is_empty(), "another run is at it");

    stale.remove(0).clear().expect("cleared");
    drop(stale);
    let mut stale = left_behind(&next);
    assert_eq!(stale.iter().map(StaleRecord::held).collect::<Vec<_>>(), [&temporary()]);
    stale.remove(0).clear().expect("cleared");
    assert_eq!(held_files(dir.path()), 0);
}

#[test]
fn a_killed_process_leaves_what_it_held() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "reserve::tests::child_that_holds", "--nocapture"])
        .env("LVPIPE_RUN_DIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut told = Vec::new();
    let mut stdout = child.stdout.take().expect("piped");
    while !told.ends_with(b"held\n") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).expect("the child says what it does");
        told.push(byte[0]);
    }
    let next = Reservations::open_in(dir.path());
    assert!(next.stale().expect("read").is_empty(), "the child lives");
    child.kill().expect("SIGKILL");
    child.wait().expect("ended");

    let stale = left_behind(&next);
    assert_eq!(stale.len(), 1);
    assert_eq!((stale[0].held(), stale[0].pid()), (&snapshot(Some(35)), child.id()));
}

/// Holds a reservation until it is killed.
#[test]
#[ignore = "run as a child by a_killed_process_leaves_what_it_held"]
fn child_that_holds() {
    assert!(
        std::env::var_os("LVPIPE_RUN_DIR").is_some(),
        "set by the parent, to keep out of the host's own registry"
    );
    let ours = Reservations::open();
    let _record = ours.record(snapshot(Some(35))).expect("recorded");
    println!("held");
    // Until the parent kills this process or goes away itself.
    std::io::stdin().read_to_end(&mut Vec::new()).expect("the parent keeps it open");
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().expect("scratch directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("chmod");
    let ours = Reservations::open_in(dir.path());
    for error in [ours.record(temporary()).expect_err("refused"), ours.stale().expect_err("refused")] {
        assert_eq!(error.status(), Status::Guard);
        assert!(error.to_string().contains("others than its owner can write to it"), "{error}");
    }
}

#[test]
fn where_nothing_can_be_written_nothing_can_be_recorded() {
    let ours = Reservations::open_in(Path::new("/proc/lvpipe"));
    let error = ours.record(temporary()).expect_err("no such place");
    assert!(error.to_string().contains("LVPIPE_RUN_DIR"), "{error}");
    assert!(ours.stale().expect("nothing there").is_empty());
}
