//! A pipe that resumes: the same stages, with nobody to ask.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::resume::Journal;
use super::volume::{MemoryTarget, PART, Volume};
use crate::engine::recv::{Receiving, recv};
use crate::engine::{Received, Workshop};
use crate::error::{Result, Status};
use crate::progress::{Figures, Role};
use crate::stop::Stop;
use crate::wire::{Digest, FrameKind, PartSize};

/// Receives the volume with all but its second part held.
fn resume(volume: &mut Volume, target: &Arc<MemoryTarget>, journal: Journal) -> Result<Received> {
    (volume.prelude.answers, volume.prelude.resumes) = (false, true);
    let mut stream = Vec::new();
    for (n, frame) in volume.frames.iter().enumerate() {
        let is_held = n != 1 && frame.header.kind == FrameKind::Part;
        stream.extend(if is_held { frame.held() } else { frame.clone() }.bytes());
    }
    stream.extend(&volume.end);
    let part_size = PartSize::new(PART).expect("a part size");
    let receiving = Receiving {
        prelude: volume.prelude.clone(),
        stream: "stdin".into(),
        workshop: Workshop { workers: 2, buffers: 4, part_size, highest_level: 1 },
        record: None,
        holds: Some(Arc::new(journal)),
        figures: Figures::new(Role::Recv),
        stop: Stop::new(),
    };
    recv(Cursor::new(stream), target.clone(), receiving)
}

/// The volume, and a target that lacks its second part.
fn half_written() -> (Volume, Vec<u8>) {
    let volume = Volume::new(12);
    let mut bytes = volume.bytes.clone();
    bytes[PART as usize..2 * PART as usize].fill(0xee);
    (volume, bytes)
}

#[test]
fn what_is_held_is_compared_and_the_rest_is_written() {
    let (mut volume, bytes) = half_written();
    let target = Arc::new(MemoryTarget::holding(bytes));
    let journal = Journal::of(&volume);
    let received = resume(&mut volume, &target, journal).expect("all is there");
    assert_eq!(received.end, volume.totals);
    assert!(*target.bytes() == volume.bytes && target.is_finished() && target.resumed.load(Ordering::SeqCst));
}

#[test]
fn a_target_that_lost_a_part_cannot_be_resumed() {
    let (mut volume, mut bytes) = half_written();
    bytes[10] ^= 1;
    let target = Arc::new(MemoryTarget::holding(bytes));
    let journal = Journal::of(&volume);
    let error = resume(&mut volume, &target, journal).expect_err("the first part is damaged");
    assert_eq!(error.status(), Status::Stream);
    let said = error.to_string();
    assert!(said.starts_with("cannot resume: part at offset 0: the target has something else"), "{said}");
    assert!(said.contains("\n  begin anew, without --resume"), "{said}");
    assert!(!target.is_finished());
}

#[test]
fn another_source_cannot_be_resumed() {
    let (mut volume, mut bytes) = half_written();
    bytes[10] ^= 1;
    let target = Arc::new(MemoryTarget::holding(bytes));
    let journal = Journal { digests: HashMap::from([(0, Digest([9; 32]))]), ..Journal::default() };
    let error = resume(&mut volume, &target, journal).expect_err("the first part is another");
    assert_eq!(error.status(), Status::Guard);
    assert!(!target.is_finished());
}
