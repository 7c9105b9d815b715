//! Parts that the target holds from an earlier transfer, and the record of this one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::scene::{Peer, Scene, Terms};
use super::volume::{MemoryTarget, Volume};
use crate::engine::{Holds, Record};
use crate::error::{Error, Result, Status};
use crate::wire::{Answer, Digest, DigestKind, FrameKind};

/// What an earlier transfer has written down.
#[derive(Default)]
pub struct Journal {
    /// By offset.
    pub digests: HashMap<u64, Digest>,
    /// The volume's.
    pub size: u64,
    /// How many digests were asked for.
    pub lookups: Arc<AtomicUsize>,
}

impl Journal {
    /// All parts of the volume.
    pub fn of(volume: &Volume) -> Self {
        let parts = volume.frames.iter().filter(|frame| frame.header.kind == FrameKind::Part);
        let digests = parts.map(|frame| (frame.header.offset, frame.header.digest)).collect();
        Journal { digests, size: volume.bytes.len() as u64, lookups: Arc::default() }
    }
}

impl Holds for Journal {
    fn extents(&self) -> Vec<(u64, u64)> {
        // More than fit in one answer.
        let piece = self.size.div_ceil(5000);
        (0..5000).map(|n| (n * piece, piece)).collect()
    }

    fn contains(&self, offset: u64, length: u64) -> bool {
        offset + length <= self.size
    }

    fn digest_of(&self, offset: u64) -> Option<Digest> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.digests.get(&offset).copied()
    }
}

/// Remembers what it is told, in order.
#[derive(Default)]
struct Notes(Mutex<Vec<(u64, u64, Option<Digest>)>>, bool);

impl Record for Notes {
    fn written(&self, offset: u64, length: u64, digest: Option<Digest>) -> Result<()> {
        if self.1 {
            return Err(Error::new(Status::Io, "cannot write journal", "notes", "No space left on device"));
        }
        self.0.lock().expect("no panic").push((offset, length, digest));
        Ok(())
    }
}

fn resume(volume: &Volume, target: Arc<MemoryTarget>, journal: Journal) -> (Scene, Peer, Arc<Notes>) {
    let notes = Arc::<Notes>::default();
    let terms = Terms { holds: Some(Arc::new(journal)), record: Some(notes.clone()), ..Terms::default() };
    let (scene, peer) = Scene::start(volume, target, terms);
    (scene, peer, notes)
}

fn resumable(frames: usize, digest: DigestKind) -> Volume {
    let mut volume = Volume::with(frames, digest);
    volume.prelude.resumes = true;
    volume
}

#[test]
fn what_is_written_is_recorded_before_it_is_answered() {
    let (volume, target, notes) = (Volume::new(10), Arc::<MemoryTarget>::default(), Arc::<Notes>::default());
    let terms = Terms { record: Some(notes.clone()), ..Terms::default() };
    let (scene, peer) = Scene::start(&volume, target.clone(), terms);
    peer.welcome();
    for frame in &volume.frames {
        let header = &frame.header;
        peer.send(&frame.bytes());
        peer.expect_written([header.offset]);
        let digest = (header.kind == FrameKind::Part).then_some(header.digest);
        let last = notes.0.lock().expect("no panic").last().copied();
        assert_eq!(last, Some((header.offset, header.length, digest)));
    }
    peer.send(&volume.end);
    peer.expect_done(&volume);
    peer.close();
    scene.expect_whole(&volume, &target);
    assert_eq!(notes.0.lock().expect("no panic").len(), 10);
}

#[test]
fn a_record_that_cannot_be_kept_ends_it() {
    let volume = Volume::new(4);
    let terms = Terms { record: Some(Arc::new(Notes(Mutex::default(), true))), ..Terms::default() };
    let (scene, peer) = Scene::start(&volume, Arc::<MemoryTarget>::default(), terms);
    peer.send(&volume.frames[0].bytes());
    assert_eq!(peer.expect_failed(), (Status::Io, "cannot write journal: notes: No space left on device".into()));
    drop(peer);
    assert!(scene.result().is_err());
}

#[test]
fn held_parts_need_not_come_and_damaged_ones_must() {
    let volume = resumable(12, DigestKind::Sha256);
    let mut bytes = volume.bytes.clone();
    // Data of the second part, and what must be zeros in the third.
    let (second, third) = (volume.frames[1].header.offset, volume.frames[2].header.offset);
    bytes[second as usize + 9] ^= 1;
    bytes[third as usize + (25 << 10)] = 1;
    let target = Arc::new(MemoryTarget::holding(bytes));
    let journal = Journal::of(&volume);
    let lookups = journal.lookups.clone();
    let (scene, peer, notes) = resume(&volume, target.clone(), journal);
    assert_eq!(peer.welcome().have, 5000);
    let mut have = 0;
    while have < 5000 {
        let Answer::Have(extents) = peer.answer() else { panic!("the list is not whole") };
        have += extents.len();
    }
    let mut again = Vec::new();
    for frame in &volume.frames {
        let held = if frame.header.kind == FrameKind::Part { frame.held() } else { frame.clone() };
        peer.send(&held.bytes());
        match peer.answer() {
            Answer::Written(offsets) => assert_eq!(offsets, [frame.header.offset]),
            Answer::Again(offset) => again.push(offset),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(again, [second, third]);
    for n in [1, 2] {
        peer.send(&volume.frames[n].bytes());
        peer.expect_written([volume.frames[n].header.offset]);
    }
    // What was on record and is so is not put there again.
    let recorded: Vec<u64> = notes.0.lock().expect("no panic").iter().map(|note| note.0).collect();
    assert_eq!(recorded, [volume.frames[3].header.offset, volume.frames[8].header.offset, second, third]);
    peer.send(&volume.end);
    peer.expect_done(&volume);
    peer.close();
    let figures = scene.figures.clone();
    scene.expect_whole(&volume, &target);
    assert!(target.resumed.load(Ordering::SeqCst));
    let figures = figures.snapshot();
    assert_eq!((figures.held, figures.again, figures.parts), (8, 2, 2));
    assert_eq!(lookups.load(Ordering::SeqCst), 2, "one for each that was damaged");
}

#[test]
fn no_digest_is_looked_up_for_parts_that_are_as_the_source_has_them() {
    let volume = resumable(12, DigestKind::Sha256);
    let target = Arc::new(MemoryTarget::holding(volume.bytes.clone()));
    let mut journal = Journal::of(&volume);
    let lookups = journal.lookups.clone();
    // Of the last part no record was left: it is there, and written down now.
    let last = volume.frames.last().expect("there are twelve").header.clone();
    assert_eq!(last.kind, FrameKind::Part);
    journal.size = last.offset;
    let (scene, peer, notes) = resume(&volume, target.clone(), journal);
    peer.welcome();
    let answer = || std::iter::repeat_with(|| peer.answer()).find(|answer| !matches!(answer, Answer::Have(_)));
    for frame in &volume.frames {
        let held = if frame.header.kind == FrameKind::Part { frame.held() } else { frame.clone() };
        peer.send(&held.bytes());
        assert_eq!(answer(), Some(Answer::Written(vec![frame.header.offset])));
    }
    peer.send(&volume.end);
    peer.expect_done(&volume);
    peer.close();
    assert_eq!(scene.figures.snapshot().held, 10);
    scene.expect_whole(&volume, &target);
    assert_eq!(lookups.load(Ordering::SeqCst), 0);
    let recorded: Vec<_> =
        notes.0.lock().expect("no panic").iter().filter_map(|(at, _, d)| Some((*at, (*d)?))).collect();
    assert_eq!(recorded, [(last.offset, last.digest)]);
}

#[test]
fn another_source_is_refused() {
    let volume = resumable(6, DigestKind::Sha256);
    let mut journal = Journal::of(&volume);
    journal.digests.insert(volume.frames[2].header.offset, Digest([9; 32]));
    let mut bytes = volume.bytes.clone();
    bytes[volume.frames[2].header.offset as usize] ^= 1;
    let target = Arc::new(MemoryTarget::holding(bytes.clone()));
    let (scene, peer, _) = resume(&volume, target.clone(), journal);
    peer.send(&volume.frames[2].held().bytes());
    let (status, reason) = peer.expect_failed();
    assert_eq!(status, Status::Guard);
    assert!(reason.starts_with("cannot resume: part at offset 131072: the source has other data"), "{reason}");
    drop(peer);
    assert_eq!(scene.result().expect_err("it is another").status(), Status::Guard);
    assert!(*target.bytes() == bytes, "the target was touched");
}

#[test]
fn without_digests_nothing_is_believed_to_be_held() {
    let volume = resumable(3, DigestKind::None);
    let target = Arc::new(MemoryTarget::holding(volume.bytes.clone()));
    let (scene, peer, _) = resume(&volume, target.clone(), Journal::of(&volume));
    peer.welcome();
    peer.send(&volume.frames[0].held().bytes());
    let again = std::iter::repeat_with(|| peer.answer()).find(|answer| !matches!(answer, Answer::Have(_)));
    assert_eq!(again, Some(Answer::Again(0)));
    scene.stop.fail(Error::signal(2));
    drop(peer);
    assert!(scene.result().is_err());
}
