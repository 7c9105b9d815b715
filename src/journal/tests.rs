//! The journal of a run, against a target that records what is asked of it.

mod files;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::record::Record;
use super::writer::MOST_WAITING;
use super::{About, Held, Journal, parse};
use crate::error::{Error, Result, Status};
use crate::stop::Stop;
use crate::usedmap::Extent;
use crate::volume::{JournalPlace, Target, find_journal};
use crate::wire::{Digest, DigestKind, Lineage, PartSize};

const PART: u64 = 64 << 10;

/// Counts what was written, and how much of it a sync has put on stable storage.
#[derive(Default)]
struct Recording {
    written: AtomicU64,
    synced: AtomicU64,
    is_kept: AtomicBool,
    sync_takes: Duration,
    sync_fails: AtomicBool,
    /// Synced parts at each sync, and then the length of the journal.
    log: Mutex<Vec<(u64, u64)>>,
    journal: Option<std::path::PathBuf>,
}

impl Target for Recording {
    fn begin(&self, _size: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<()> {
        self.written.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn hole(&self, _offset: u64, _length: u64) -> Result<()> {
        Ok(())
    }

    fn finish(&self, _size: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        if self.sync_fails.load(Ordering::SeqCst) {
            return Err(Error::new(Status::Io, "cannot sync target", "it", "Input/output error"));
        }
        let written = self.written.load(Ordering::SeqCst);
        std::thread::sleep(self.sync_takes);
        // What the journal had before this sync ended must be of earlier ones.
        if let Some(path) = &self.journal {
            let length = fs::metadata(path).expect("the journal").len();
            self.log.lock().expect("no panic").push((self.synced.load(Ordering::SeqCst), length));
        }
        self.synced.store(written, Ordering::SeqCst);
        Ok(())
    }

    fn keep_unfinished(&self) {
        self.is_kept.store(true, Ordering::SeqCst);
    }
}

/// The place beside a file that is there.
fn place_beside(path: &Path) -> JournalPlace {
    if !path.exists() {
        fs::write(path, "").expect("written");
    }
    find_journal(path.as_os_str()).expect("nothing is wrong").expect("it is a file")
}

fn about(place: &JournalPlace) -> About {
    About {
        id: [5; 16],
        volume_size: Some(1000 * PART),
        part_size: PartSize::new(PART).expect("a power of two"),
        digest: DigestKind::Sha256,
        lineage: Lineage { source: Some("vg/vm1".into()), ..Lineage::default() },
        target: place.identity().into(),
    }
}

fn digest(number: u64) -> Digest {
    Digest([number as u8; 32])
}

fn write_part(target: &dyn Target, journal: &Journal, number: u64) {
    target.write(number * PART, &[]).expect("it takes everything");
    journal.written(number * PART, PART, Some(digest(number)));
}

fn read(place: &JournalPlace) -> Option<(About, Held)> {
    Journal::read(place, &Stop::new()).expect("it can be read")
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_written_is_held_after_an_unfinished_run_and_gone_after_a_finished_one() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let (target, stop) = (Arc::new(Recording::default()), Stop::new());
    let journal = Journal::begin(&place, &about(&place), target.clone(), &stop).expect("begun");
    for number in [0, 1, 5] {
        write_part(&*target, &journal, number);
    }
    journal.written(2 * PART, 2 * PART, None);
    drop(journal);
    assert!(target.is_kept.load(Ordering::SeqCst));

    let (journal, found, held) =
        Journal::resume(&place, target.clone(), &stop).expect("it can be read").expect("something is there");
    assert_eq!(found, about(&place));
    assert_eq!(held.extents(), [(0, 4 * PART), (5 * PART, PART)]);
    assert_eq!((held.digest_of(5 * PART), held.digest_of(2 * PART)), (Some(digest(5)), None));
    write_part(&*target, &journal, 4);
    let length = || fs::metadata(place.path()).expect("the journal").len();
    let before = length();
    // Known already: nothing to be recorded.
    journal.written(2 * PART, PART, None);
    drop((journal, held));
    assert_eq!(length(), before + 64);
    let (_, held) = read(&place).expect("it is there");
    assert_eq!(held.extents(), [(0, 6 * PART)]);
    drop(held);

    let (journal, ..) = Journal::resume(&place, target, &stop).expect("it can be read").expect("it is there");
    journal.finish().expect("removed");
    assert!(!place.path().exists());
    assert!(read(&place).is_none());
}

#[test]
fn a_run_that_recorded_nothing_leaves_nothing() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let target = Arc::new(Recording::default());
    let journal = Journal::begin(&place, &about(&place), target.clone(), &Stop::new()).expect("begun");
    assert!(place.path().exists());
    drop(journal);
    assert!(!place.path().exists());
    assert!(!target.is_kept.load(Ordering::SeqCst));
}

/// At any moment the journal on disk holds nothing that no sync has covered: what a crash leaves is a copy of it.
#[test]
fn the_journal_is_never_ahead_of_the_data() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let target = Arc::new(Recording {
        sync_takes: Duration::from_millis(30),
        journal: Some(place.path().into()),
        ..Recording::default()
    });
    let stop = Stop::new();
    // Parts so large that the bytes make it record often.
    let big = 64 << 20;
    let large =
        About { part_size: PartSize::new(big).expect("a power of two"), volume_size: None, ..about(&place) };
    let journal = Journal::begin(&place, &large, target.clone(), &stop).expect("begun");
    let header = fs::metadata(place.path()).expect("the journal").len();
    let crashes = std::thread::scope(|scope| {
        let crasher = scope.spawn(|| {
            let mut crashes = 0;
            while target.written.load(Ordering::SeqCst) < 400 {
                // In this order: what the journal has now was synced before.
                let image = fs::read(place.path()).expect("the journal");
                let synced = target.synced.load(Ordering::SeqCst);
                let recorded = (image.len() as u64 - header) / 64;
                assert!(recorded <= synced, "{recorded} records, {synced} parts synced");
                crashes += usize::from(recorded > 0);
            }
            crashes
        });
        for number in 0..400 {
            target.write(number * big, &[]).expect("it takes everything");
            journal.written(number * big, big, Some(digest(number)));
            std::thread::sleep(Duration::from_millis(1));
        }
        crasher.join().expect("never ahead")
    });
    assert!(crashes > 10, "only {crashes} copies had records in them");
    drop(journal);
    let log = target.log.lock().expect("no panic");
    assert!(log.len() >= 5, "it synced only {} times", log.len());
    for (synced, length) in &*log {
        assert!((length - header) / 64 <= *synced, "{length} bytes of journal, {synced} parts synced before");
    }
    assert_eq!(read(&place).expect("it is there").1.extents(), [(0, 400 * big)]);
}

#[test]
fn a_part_that_waits_alone_is_recorded_after_a_second() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let target = Arc::new(Recording::default());
    let journal = Journal::begin(&place, &about(&place), target.clone(), &Stop::new()).expect("begun");
    let header = fs::metadata(place.path()).expect("the journal").len();
    write_part(&*target, &journal, 0);
    wait_until("it is recorded", || fs::metadata(place.path()).expect("the journal").len() == header + 64);
    journal.finish().expect("removed");
}

#[test]
fn writers_wait_where_a_sync_takes_long_and_the_queue_is_bounded() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let target = Arc::new(Recording { sync_takes: Duration::from_millis(300), ..Recording::default() });
    let journal = Journal::begin(&place, &about(&place), target.clone(), &Stop::new()).expect("begun");
    // The first half fills a batch, the next fills the queue while that is synced; the rest has to wait.
    let since = Instant::now();
    for number in 0..4 * MOST_WAITING as u64 {
        journal.written(number % 1000 * PART, 1, None);
    }
    assert!(since.elapsed() >= Duration::from_millis(300), "nobody waited: {:?}", since.elapsed());
    drop(journal);
    let length = fs::metadata(place.path()).expect("the journal").len();
    assert!(length >= 4 * MOST_WAITING as u64 * 64);
}

#[test]
fn a_sync_that_fails_ends_the_run_and_records_nothing() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let (target, stop) = (Arc::new(Recording::default()), Stop::new());
    target.sync_fails.store(true, Ordering::SeqCst);
    let journal = Journal::begin(&place, &about(&place), target.clone(), &stop).expect("begun");
    write_part(&*target, &journal, 0);
    wait_until("the run is ended", || stop.is_set());
    assert!(stop.check().expect_err("ended").to_string().contains("cannot sync target: it: Input/output error"));
    write_part(&*target, &journal, 1);
    drop(journal);
    assert!(!place.path().exists());
}

#[test]
fn a_stale_journal_of_another_target_is_not_believed() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("copy");
    let place = place_beside(&path);
    let target = Arc::new(Recording::default());
    let journal = Journal::begin(&place, &about(&place), target.clone(), &Stop::new()).expect("begun");
    write_part(&*target, &journal, 0);
    drop(journal);
    // Another file of that name; the old one is still there, so that its inode is not given again.
    fs::rename(&path, scratch.path().join("moved")).expect("renamed");
    let place = place_beside(&path);
    assert!(read(&place).is_none());
    assert!(Journal::resume(&place, target.clone(), &Stop::new()).expect("it can be read").is_none());
    fs::rename(scratch.path().join("moved"), &path).expect("renamed");
    assert!(read(&place_beside(&path)).is_some());
}

#[test]
fn a_second_run_at_the_same_journal_is_refused() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let target = Arc::new(Recording::default());
    let begin = || Journal::begin(&place, &about(&place), target.clone(), &Stop::new());
    let journal = begin().expect("begun");
    let refused = [begin().err(), Journal::read(&place, &Stop::new()).err()];
    for error in refused.map(|error| error.expect("it is locked")) {
        assert_eq!(error.status(), Status::Guard);
        assert!(error.to_string().contains("copy.lvpipe-journal: another process holds a lock on it"), "{error}");
    }
    drop(journal);
    begin().expect("free now");
}

#[test]
fn somebody_elses_file_under_the_journals_name_is_not_touched() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let target = Arc::new(Recording::default());
    for content in ["precious", "x"] {
        fs::write(place.path(), content).expect("written");
        let begun = Journal::begin(&place, &about(&place), target.clone(), &Stop::new()).err();
        let found = Journal::read(&place, &Stop::new()).err();
        for error in [begun, found] {
            let error = error.expect("it is not ours").to_string();
            assert!(error.contains("copy.lvpipe-journal: it is not a journal\n  "), "{error}");
        }
        assert_eq!(fs::read_to_string(place.path()).expect("it is there"), content);
    }
    fs::remove_file(place.path()).expect("removed");
    std::os::unix::fs::symlink("precious", place.path()).expect("linked");
    let error = Journal::begin(&place, &about(&place), target, &Stop::new()).err().expect("it is a link");
    assert!(error.to_string().contains("it is a symbolic link"), "{error}");
    assert!(!scratch.path().join("precious").exists());
}

#[test]
fn beginning_anew_forgets_what_was_there() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let (target, stop) = (Arc::new(Recording::default()), Stop::new());
    let journal = Journal::begin(&place, &about(&place), target.clone(), &stop).expect("begun");
    write_part(&*target, &journal, 0);
    drop(journal);
    let other = About { id: [6; 16], ..about(&place) };
    let journal = Journal::begin(&place, &other, target.clone(), &stop).expect("begun");
    // A crash here, before anything is recorded.
    let image = fs::read(place.path()).expect("the journal");
    drop(journal);
    fs::write(place.path(), image).expect("written");
    assert!(read(&place).is_none());
}

/// The end of the file is torn at every byte of the last record, as a power cut may leave it; the next run goes on.
#[test]
fn a_torn_end_is_cut_off_and_written_over() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let place = place_beside(&scratch.path().join("copy"));
    let (target, stop) = (Arc::new(Recording::default()), Stop::new());
    let journal = Journal::begin(&place, &about(&place), target.clone(), &stop).expect("begun");
    (0..3).for_each(|number| write_part(&*target, &journal, number));
    drop(journal);
    let whole = fs::read(place.path()).expect("the journal");
    for torn in 1..=64 {
        fs::write(place.path(), &whole[..whole.len() - torn]).expect("written");
        let (journal, _, held) =
            Journal::resume(&place, target.clone(), &stop).expect("it can be read").expect("it is there");
        assert_eq!(held.extents(), [(0, 2 * PART)], "{torn} bytes torn off");
        write_part(&*target, &journal, 7);
        drop((journal, held));
        let (_, held) = read(&place).expect("it is there");
        assert_eq!(held.extents(), [(0, 2 * PART), (7 * PART, PART)], "{torn} bytes torn off");
    }
}

proptest! {
    /// Bytes flipped, left out and put in anywhere: what is still believed was there before, from the start on.
    #[test]
    fn a_damaged_journal_says_nothing_new(
        parts in 0u64..40,
        damage in proptest::collection::vec((any::<u16>(), any::<u8>(), 0u8..3), 1..4),
    ) {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let place = place_beside(&scratch.path().join("copy"));
        let about = about(&place);
        let mut bytes = about.encode();
        for number in 0..parts {
            let extent = Extent { offset: number * PART, length: PART };
            bytes.extend(Record { extent, digest: Some(digest(number)) }.encode(&about.id, number));
        }
        let held = |parts: u64| if parts == 0 { vec![] } else { vec![(0, parts * PART)] };
        prop_assert_eq!(parse(&bytes), Some((about.clone(), held(parts))));
        for (at, byte, kind) in damage {
            let at = usize::from(at) % bytes.len();
            match kind {
                0 => bytes[at] ^= byte.max(1),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        if let Some((found, extents)) = parse(&bytes) {
            prop_assert_eq!(&found, &about);
            prop_assert!((0..=parts).any(|parts| extents == held(parts)), "{:?}", extents);
        }
        let garbage = [&about.encode()[..], &bytes].concat();
        let _ = (parse(&garbage), parse(&bytes[bytes.len() / 2..]));
    }
}

/// A journal whose file cannot grow: the transfer goes on, the user can be told, and in the end nothing is left.
#[test]
fn a_journal_that_cannot_be_written_does_not_end_the_run() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mounted = scratch.path().join("full");
    fs::create_dir(&mounted).expect("made");
    let done = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&mounted)
        .status()
        .expect("mount(8)");
    assert!(done.success(), "this test needs root: it mounts a small file system");
    let _unmount = Unmount(mounted.clone());
    let place = place_beside(&mounted.join("copy"));
    let (target, stop) = (Arc::new(Recording::default()), Stop::new());
    let journal = Journal::begin(&place, &about(&place), target.clone(), &stop).expect("begun");
    write_part(&*target, &journal, 0);
    wait_until("the first is recorded", || target.is_kept.load(Ordering::SeqCst));
    let filler = OpenOptions::new().create(true).truncate(true).write(true).open(mounted.join("filler"));
    let filler = filler.expect("made");
    let mut end = 0;
    while filler.write_all_at(&[1; 4096], end).is_ok() {
        end += 4096;
    }
    (1..200).for_each(|number| write_part(&*target, &journal, number));
    wait_until("it is in trouble", || journal.trouble().is_some());
    let said = journal.trouble().expect("trouble").to_string();
    assert!(said.contains("copy.lvpipe-journal: No space left on device\n  the transfer goes on"), "{said}");
    assert!(!stop.is_set());
    write_part(&*target, &journal, 200);
    drop(journal);
    assert_eq!(read(&place).expect("it is there").1.extents()[0].0, 0);

    let (journal, ..) = Journal::resume(&place, target, &stop).expect("it can be read").expect("it is there");
    journal.finish().expect("removed");
    assert!(!place.path().exists());
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}
