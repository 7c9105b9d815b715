//! Truncated and damaged streams are never taken for whole: status 3, and nothing under the target's name.
//!
//! Every bit and every length of a small stream is tried on the engine itself, with a target in memory; a sample of
//! them through the binary.

use std::fs;
use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lvpipe::engine::recv::{Receiving, recv};
use lvpipe::engine::{Work, Workshop};
use lvpipe::error::{Result, Status};
use lvpipe::progress::{Figures, Role};
use lvpipe::stop::Stop;
use lvpipe::volume::Target;
use lvpipe::wire::{FrameHeader, FrameKind, Prelude, frame, segments};

use crate::image::{Image, assert_not_there, scratch_in_memory};
use crate::process::{lvpipe, run, run_with_input, send};

const KIB: u64 = 1 << 10;

/// Every kind of frame, segment and codec in few bytes: the first part is compressed, the second has a hole in it,
/// then comes a hole, then 100 bytes that are not compressed.
fn small_image() -> Image {
    Image::new(
        260 * KIB + 100,
        &[0..64 * KIB, 64 * KIB..68 * KIB, 120 * KIB..128 * KIB, 260 * KIB..260 * KIB + 100],
    )
}

fn stream_of(image: &Image, digest: &str) -> Vec<u8> {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    image.write(&source);
    run(&mut send(&["-s", "64k", "--digest", digest], &source)).expect_ok().stdout
}

/// A volume in memory.
#[derive(Default)]
struct MemoryTarget {
    bytes: Mutex<Vec<u8>>,
    finished: AtomicBool,
}

impl Target for MemoryTarget {
    fn in_order(&self) -> bool {
        true
    }

    fn begin(&self, _size: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut bytes = self.bytes.lock().expect("no panic");
        let end = offset as usize + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(data);
        Ok(())
    }

    fn hole(&self, _offset: u64, _length: u64) -> Result<()> {
        Ok(())
    }

    fn finish(&self, size: u64) -> Result<()> {
        self.bytes.lock().expect("no panic").resize(size as usize, 0);
        self.finished.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// What is received from these bytes, or with which status that failed.
fn receive(stream: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut link = Cursor::new(stream);
    let prelude = Prelude::read(&mut link).map_err(|e| e.at("stream", "").status())?;
    let workshop = Workshop::plan(8 << 20, Some(1), prelude.part_size, Work::Decompress).map_err(|e| e.status())?;
    let (figures, stop) = (Figures::new(Role::Recv), Stop::new());
    let receiving =
        Receiving { prelude, stream: "stream".into(), workshop, record: None, holds: None, figures, stop };
    let target = Arc::new(MemoryTarget::default());
    let received = recv(link, target.clone(), receiving);
    let finished = target.finished.load(Ordering::SeqCst);
    assert_eq!(received.is_ok(), finished, "finished, and yet failed: {received:?}");
    received.map_err(|e| e.status())?;
    Ok(std::mem::take(&mut *target.bytes.lock().expect("no panic")))
}

fn flipped(stream: &[u8], bit: usize) -> Vec<u8> {
    let mut stream = stream.to_vec();
    stream[bit / 8] ^= 1 << (bit % 8);
    stream
}

fn every_flip_is_noticed(digest: &str) {
    let stream = stream_of(&small_image(), digest);
    assert!(receive(stream.clone()) == Ok(small_image().bytes()), "undamaged");
    for bit in 0..stream.len() * 8 {
        let received = receive(flipped(&stream, bit));
        assert!(received == Err(Status::Stream), "bit {} of byte {}: {:?}", bit % 8, bit / 8, received.err());
    }
}

#[test]
fn every_flipped_bit_is_noticed_with_sha256() {
    every_flip_is_noticed("sha256");
}

#[test]
fn every_flipped_bit_is_noticed_with_blake3() {
    every_flip_is_noticed("blake3");
}

#[test]
fn every_flipped_bit_is_noticed_without_a_digest() {
    every_flip_is_noticed("none");
}

#[test]
fn every_truncation_is_noticed() {
    for digest in ["sha256", "none"] {
        let stream = stream_of(&small_image(), digest);
        for length in 0..stream.len() {
            let received = receive(stream[..length].to_vec());
            assert!(received == Err(Status::Stream), "{length} of {} bytes: {:?}", stream.len(), received.err());
        }
    }
}

#[test]
fn a_damaged_stream_leaves_no_target_and_ends_with_status_3() {
    for digest in ["sha256", "blake3", "none"] {
        let stream = stream_of(&small_image(), digest);
        let scratch = scratch_in_memory();
        let target = scratch.path().join("copy");
        for bit in (0..stream.len() * 8).step_by(271) {
            let ran = run_with_input(lvpipe(["recv"]).arg(&target), &flipped(&stream, bit));
            ran.expect_failure(3, &["lvpipe: ", "stream"]);
            assert_not_there(scratch.path(), &[]);
        }
    }
}

#[test]
fn a_truncated_stream_leaves_no_target_and_says_where_it_ends() {
    let stream = stream_of(&small_image(), "sha256");
    let scratch = scratch_in_memory();
    let target = scratch.path().join("copy");
    for length in (0..stream.len()).step_by(37).chain([stream.len() - 1]) {
        let ran = run_with_input(lvpipe(["recv"]).arg(&target), &stream[..length]);
        let said = if length == 0 { ": it is empty" } else { " short of the next piece" };
        ran.expect_failure(3, &["lvpipe: stream is truncated: stdin", said]);
        assert_not_there(scratch.path(), &[]);
    }
    let without_its_end = &stream[..stream.len() - frame::HEADER - frame::END];
    run_with_input(lvpipe(["recv"]).arg(&target), without_its_end).expect_failure(
        3,
        &[&format!("stdin at offset 266340 of the volume: the stream ends here, {} bytes short", frame::HEADER)],
    );
}

#[test]
fn a_damaged_part_is_named() {
    let stream = stream_of(&small_image(), "sha256");
    let frames = frames(&stream);
    let payload_of_the_second = frames[1].1.end - 1;
    run_with_input(&mut lvpipe(["recv", "-"]), &flipped(&stream, payload_of_the_second * 8)).expect_failure(
        3,
        &["lvpipe: stream is corrupt: stdin in the part at offset 65536: the payload is damaged: its checksum is "],
    );
}

/// The stream's frames: what they are, and where they are.
fn frames(stream: &[u8]) -> Vec<(FrameKind, std::ops::Range<usize>)> {
    let mut link = Cursor::new(stream);
    let prelude = Prelude::read(&mut link).expect("a prelude");
    let mut begin = link.position() as usize;
    let mut frames = Vec::new();
    while begin < stream.len() {
        let header = FrameHeader::read(&mut Cursor::new(&stream[begin..]), &prelude).expect("a frame");
        let length = frame::HEADER + usize::from(header.segments) * segments::ENTRY + header.payload as usize;
        frames.push((header.kind, begin..begin + length));
        begin += length;
    }
    frames
}

#[test]
fn a_frame_that_is_missing_or_twice_there_or_elsewhere_is_noticed() {
    for digest in ["sha256", "none"] {
        let stream = stream_of(&small_image(), digest);
        let frames = frames(&stream);
        let kinds: Vec<FrameKind> = frames.iter().map(|(kind, _)| *kind).collect();
        use FrameKind::{End, Hole, Part};
        assert_eq!(kinds, [Part, Part, Hole, Part, End]);
        let with_frames = |order: &[usize]| {
            let pieces = order.iter().flat_map(|n| &stream[frames[*n].1.clone()]);
            receive(stream[..frames[0].1.start].iter().chain(pieces).copied().collect())
        };
        assert!(with_frames(&[0, 1, 2, 3, 4]).is_ok());
        let orders: [&[usize]; 8] = [
            &[1, 2, 3, 4],
            &[0, 2, 3, 4],
            &[0, 1, 3, 4],
            &[0, 1, 2, 4],
            &[0, 1, 2, 3],
            &[0, 0, 1, 2, 3, 4],
            &[1, 0, 2, 3, 4],
            &[4],
        ];
        for order in orders {
            assert!(with_frames(order) == Err(Status::Stream), "{order:?} with digest {digest}");
        }
    }
}

/// Same size, same layout, other content: only the root digest tells.
#[test]
fn a_part_of_another_volume_is_noticed() {
    let (stream, other) = (stream_of(&small_image(), "sha256"), stream_of(&small_image().seed(2), "sha256"));
    let (ours, theirs) = (frames(&stream), frames(&other));
    for (number, (kind, frame)) in ours.iter().enumerate().filter(|(_, (kind, _))| *kind == FrameKind::Part) {
        let mut mixed = stream[..frame.start].to_vec();
        mixed.extend(&other[theirs[number].1.clone()]);
        mixed.extend(&stream[frame.end..]);
        assert!(receive(mixed) == Err(Status::Stream), "{kind:?} {number}");
    }
}

#[test]
fn an_existing_target_is_never_said_to_be_done_from_a_damaged_stream() {
    let stream = stream_of(&small_image(), "none");
    let scratch = scratch_in_memory();
    let target = scratch.path().join("copy");
    for bit in (0..stream.len() * 8).step_by(997) {
        fs::write(&target, b"what was there").expect("written");
        run_with_input(lvpipe(["recv"]).arg(&target), &flipped(&stream, bit)).expect_failure(3, &["stream"]);
    }
}
