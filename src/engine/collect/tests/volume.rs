//! A small volume and its frames, and targets in memory that remember it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result, Status};
use crate::volume::Target;
use crate::wire::{
    Codec, Digest, DigestKind, End, FrameHeader, FrameKind, Lineage, PartSize, Prelude, RootDigest, SegmentKind,
    Segments,
};

pub const PART: u64 = 64 << 10;

/// One frame, as bytes.
#[derive(Clone)]
pub struct Frame {
    pub header: FrameHeader,
    pub segments: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn bytes(&self) -> Vec<u8> {
        [&self.header.encode()[..], &self.segments, &self.payload].concat()
    }

    /// As a part that the target has already.
    pub fn held(&self) -> Frame {
        Frame { header: self.header.clone().into_held(), payload: Vec::new(), ..self.clone() }
    }

    /// With a payload that its checksum does not fit.
    pub fn damaged(&self) -> Frame {
        let mut frame = self.clone();
        if let Some(byte) = frame.payload.last_mut() {
            *byte ^= 0x10;
        }
        frame
    }
}

/// A volume, and what its sender says.
pub struct Volume {
    pub prelude: Prelude,
    pub bytes: Vec<u8>,
    /// Parts and holes, in order of offset; every fifth is a hole of one to three cells.
    pub frames: Vec<Frame>,
    pub end: Vec<u8>,
    pub totals: End,
}

impl Volume {
    /// Of so many frames; the last one is a short part.
    pub fn new(frames: usize) -> Self {
        Self::with(frames, DigestKind::Sha256)
    }

    pub fn with(frames: usize, digest: DigestKind) -> Self {
        let mut prelude = Prelude {
            transfer: [3; 16],
            link: 0,
            links: 64,
            part_size: PartSize::new(PART).expect("a part size"),
            volume_size: None,
            used: None,
            digest,
            answers: true,
            resumes: false,
            lineage: Lineage::default(),
        };
        let mut bytes: Vec<u8> = Vec::new();
        let list = (0..frames).map(|n| {
            let frame = frame(n, n + 1 == frames, bytes.len() as u64, digest);
            let at = bytes.len();
            bytes.resize(at + frame.header.length as usize, 0);
            if frame.header.kind == FrameKind::Part {
                bytes[at..].copy_from_slice(&content(n, frame.header.length as usize));
            }
            frame
        });
        let list: Vec<Frame> = list.collect();
        prelude.volume_size = Some(bytes.len() as u64);
        let totals = totals(&list, bytes.len() as u64, digest);
        let payload = totals.encode();
        let end = [&FrameHeader::end(bytes.len() as u64, &payload).encode()[..], &payload].concat();
        Volume { prelude, bytes, frames: list, end, totals }
    }

    pub fn prelude(&self, link: u16) -> Prelude {
        Prelude { link, ..self.prelude.clone() }
    }

    /// The end frame with a wrong root digest.
    pub fn wrong_end(&self) -> Vec<u8> {
        let totals = End { root: Digest([1; 32]), ..self.totals };
        let payload = totals.encode();
        [&FrameHeader::end(self.bytes.len() as u64, &payload).encode()[..], &payload].concat()
    }
}

/// What the n-th frame's place holds: data but for a hole of 8 KiB in the middle.
fn content(n: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| ((n * 131 + at * 7 + (at >> 9) * 13) % 255) as u8 + 1;
    let hole = hole_in(length);
    (0..length).map(|at| if hole.contains(&at) { 0 } else { byte(at) }).collect()
}

fn hole_in(length: usize) -> std::ops::Range<usize> {
    if length as u64 == PART { 24 << 10..32 << 10 } else { 0..0 }
}

fn frame(n: usize, last: bool, offset: u64, digest: DigestKind) -> Frame {
    if n % 5 == 3 && !last {
        let header = FrameHeader::hole(offset, PART * (1 + n as u64 % 3), 0);
        return Frame { header, segments: Vec::new(), payload: Vec::new() };
    }
    let length = if last { 5000 } else { PART as usize };
    let (content, hole) = (content(n, length), hole_in(length));
    let mut segments = Segments::default();
    segments.push(SegmentKind::Data, hole.start as u32);
    segments.push(SegmentKind::Hole, hole.len() as u32);
    segments.push(SegmentKind::Data, (length - hole.end) as u32);
    let data = [&content[..hole.start], &content[hole.end..]].concat();
    let digest = digest.of(&[segments.as_bytes(), &data]);
    // Every third is compressed.
    let (codec, payload) = match n % 3 {
        0 => (Codec::Zstd, zstd::bulk::compress(&data, 1).expect("it compresses")),
        _ => (Codec::None, data),
    };
    let header = FrameHeader::part(offset, &segments, length as u64, codec, &payload, digest);
    Frame { header, segments: segments.as_bytes().to_vec(), payload }
}

fn totals(frames: &[Frame], size: u64, digest: DigestKind) -> End {
    let (mut end, mut root) = (End::default(), RootDigest::new(digest));
    for (turn, Frame { header, .. }) in frames.iter().enumerate() {
        let part = header.kind == FrameKind::Part;
        end.parts += u64::from(part);
        end.data += u64::from(header.raw);
        end.holes += header.length - u64::from(header.raw);
        root.add(turn as u64, part.then_some((header.offset, header.length, header.digest)));
    }
    end.root = root.finish(size).expect("all turns");
    end
}

/// A target in memory. Where it wants order it refuses anything else.
#[derive(Default)]
pub struct MemoryTarget {
    pub in_order: bool,
    /// Fails to write at this offset.
    pub fails_at: Option<u64>,
    pub fails_to_finish: bool,
    /// How long each write takes.
    pub write_takes: Duration,
    pub finish_takes: Duration,
    pub resumed: AtomicBool,
    pub finished: AtomicBool,
    /// What has been written.
    pub written: Mutex<Vec<u8>>,
}

impl MemoryTarget {
    /// That holds this already.
    pub fn holding(bytes: Vec<u8>) -> Self {
        MemoryTarget { written: Mutex::new(bytes), ..Self::default() }
    }

    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    fn put(&self, offset: u64, length: usize, data: Option<&[u8]>) -> Result<()> {
        let refused = |why: &str| Err(Error::new(Status::Io, "cannot write target", offset, why));
        if self.fails_at.is_some_and(|at| (offset..offset + length as u64).contains(&at)) {
            return refused("No space left on device");
        }
        let mut bytes = self.bytes();
        if self.in_order && offset as usize != bytes.len() {
            return refused("out of order");
        }
        let end = offset as usize + length;
        if bytes.len() < end {
            // A byte that nobody has written is seen.
            bytes.resize(end, 0xee);
        }
        match data {
            Some(data) => bytes[offset as usize..end].copy_from_slice(data),
            None => bytes[offset as usize..end].fill(0),
        }
        Ok(())
    }
}

impl Target for MemoryTarget {
    fn in_order(&self) -> bool {
        self.in_order
    }

    fn begin(&self, size: Option<u64>) -> Result<()> {
        let fits = size.is_none_or(|size| size < 1 << 30);
        if fits { Ok(()) } else { Err(Error::guard("target refused", "memory", "it is too small")) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        std::thread::sleep(self.write_takes);
        self.put(offset, data.len(), Some(data))
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        self.put(offset, length as usize, None)
    }

    fn finish(&self, size: u64) -> Result<()> {
        std::thread::sleep(self.finish_takes);
        if self.fails_to_finish {
            return Err(Error::new(Status::Io, "cannot sync target", "memory", "Input/output error"));
        }
        assert_eq!(self.bytes().len() as u64, size);
        self.finished.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn resume(&self, size: Option<u64>) -> Result<()> {
        self.resumed.store(true, Ordering::SeqCst);
        self.begin(size)
    }

    fn read_back(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        into.copy_from_slice(&self.bytes()[offset as usize..offset as usize + into.len()]);
        Ok(())
    }
}
