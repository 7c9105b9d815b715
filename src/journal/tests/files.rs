//! The journal of a run against real files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{PART, about, digest, read};
use crate::journal::{About, Journal};
use crate::stop::Stop;
use crate::volume::{JournalPlace, OpenTarget, Target, open_target};

fn open(path: &Path) -> (Arc<dyn Target>, JournalPlace) {
    let OpenTarget { target, journal, .. } =
        open_target(path.as_os_str(), Default::default(), &Stop::new()).expect("it opens");
    (target, journal.expect("a file has a place for a journal"))
}

fn pattern(number: u64) -> Vec<u8> {
    (0..PART).map(|n| (n / 512 + number * 7) as u8 | 1).collect()
}

/// A new file: what the failed run left is taken by one that resumes, as it is, and emptied by one that begins anew.
#[test]
fn a_partial_file_with_a_journal_is_kept_and_gone_on_with() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (path, partial) = (scratch.path().join("copy"), scratch.path().join("copy.partial"));
    let stop = Stop::new();
    let size = 4 * PART + 100;
    let sized = |place: &JournalPlace| About { volume_size: Some(size), ..about(place) };
    let write = |target: &Arc<dyn Target>, journal: &Journal, number: u64| {
        target.write(number * PART, &pattern(number)).expect("written");
        journal.written(number * PART, PART, Some(digest(number)));
    };
    let fail_after = |parts: &[u64]| {
        let (target, place) = open(&path);
        let journal = Journal::begin(&place, &sized(&place), target.clone(), &stop).expect("begun");
        target.begin(Some(size)).expect("begun");
        parts.iter().for_each(|number| write(&target, &journal, *number));
        drop((journal, target));
        place
    };

    // Nothing recorded: nothing stays.
    let place = fail_after(&[]);
    assert!(!partial.exists() && !place.path().exists());
    assert_eq!(place.left_behind(), None);

    let place = fail_after(&[0, 2]);
    assert_eq!(fs::metadata(&partial).expect("kept").len(), size);
    let said = place.left_behind().expect("it can be gone on with");
    assert!(said.contains("copy.partial: go on with --resume, or remove it and "), "{said}");

    // Opened and closed again, as by a run that is refused: still there.
    drop(open(&path));
    assert_eq!(fs::metadata(&partial).expect("kept").len(), size);

    let (target, place) = open(&path);
    let (journal, _, held) =
        Journal::resume(&place, target.clone(), &stop).expect("it can be read").expect("it is there");
    assert_eq!(held.extents(), [(0, PART), (2 * PART, PART)]);
    target.resume(Some(size)).expect("resumed");
    let mut back = vec![0; PART as usize];
    for number in [0, 2] {
        target.read_back(number * PART, &mut back).expect("read");
        assert!(back == pattern(number));
    }
    write(&target, &journal, 1);
    // Where the earlier run left something, by a fault of the source perhaps, a hole is a hole.
    target.hole(2 * PART, 2 * PART).expect("punched");
    target.write(4 * PART, &[3; 100]).expect("written");
    target.finish(size).expect("finished");
    journal.finish().expect("removed");
    drop((target, held));
    let expected = [pattern(0), pattern(1), vec![0; 2 * PART as usize], vec![3; 100]].concat();
    assert!(fs::read(&path).expect("whole") == expected);
    assert!(!partial.exists() && !place.path().exists());

    // And one that begins anew finds nothing of the old.
    fs::remove_file(&path).expect("removed");
    fail_after(&[0, 2]);
    let place = fail_after(&[1]);
    let mut expected = vec![0; size as usize];
    expected[PART as usize..2 * PART as usize].copy_from_slice(&pattern(1));
    assert!(fs::read(&partial).expect("kept") == expected);
    assert_eq!(read(&place).expect("it is there").1.extents(), [(PART, PART)]);
}

#[test]
fn a_file_written_in_place_has_its_journal_beside_it() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("disk.img");
    fs::write(&path, vec![9; 3 * PART as usize]).expect("written");
    let stop = Stop::new();
    let (target, place) = open(&path);
    let journal = Journal::begin(&place, &about(&place), target.clone(), &stop).expect("begun");
    target.begin(Some(3 * PART)).expect("begun");
    target.write(0, &pattern(0)).expect("written");
    journal.written(0, PART, Some(digest(0)));
    drop((journal, target));
    let said = place.left_behind().expect("it can be gone on with");
    assert!(
        said.ends_with(&format!("disk.img: go on with --resume, or remove {}", place.path().display())),
        "{said}"
    );

    let (target, place) = open(&path);
    let (journal, _, held) =
        Journal::resume(&place, target.clone(), &stop).expect("it can be read").expect("it is there");
    assert_eq!(held.extents(), [(0, PART)]);
    target.resume(Some(3 * PART)).expect("resumed");
    target.hole(PART, 2 * PART).expect("punched");
    target.finish(3 * PART).expect("finished");
    journal.finish().expect("removed");
    assert!(fs::read(&path).expect("there") == [pattern(0), vec![0; 2 * PART as usize]].concat());
}

#[test]
fn reading_back_beyond_the_end_is_an_error() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("disk.img");
    fs::write(&path, vec![9; PART as usize]).expect("written");
    let (target, _) = open(&path);
    let error = target.read_back(PART - 10, &mut [0; 20]).expect_err("there are only ten");
    assert!(
        error.to_string().contains(&format!("cannot read target: {} at offset {PART}", path.display())),
        "{error}"
    );
}
