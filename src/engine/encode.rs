//! What a worker does to a part that was read: find zeros, digest, compress.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::adapt::Compress;
use super::memory::{Buffer, Pool};
use super::zeros::data_ranges;
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::usedmap::Extent;
use crate::wire::codec::with_encoder;
use crate::wire::{Codec, DigestKind, FrameHeader, SegmentKind, Segments};

/// A part as it was read: `data` are the extents within `place`, in order, whose bytes are in `buffer`, one after
/// the other.
///
/// What lies between them is holes; in a delta only what was discarded is, and the rest is kept.
pub(super) struct ReadPart {
    pub(super) place: Extent,
    pub(super) data: Vec<Extent>,
    /// In a delta, the extents within `place`, in order, that were discarded.
    pub(super) discarded: Option<Vec<Extent>>,
    /// Of the place, what the map calls data; a little less than what was read, where that was widened.
    pub(super) used: u64,
    pub(super) buffer: Buffer,
    /// Whether the target holds it from an earlier transfer, so that only its digest has to be sent.
    pub(super) held: bool,
}

/// What goes on a link.
pub(super) enum Outgoing {
    /// A range that reads as zeros, or is kept.
    Gap { kind: SegmentKind, place: Extent },
    /// A part in which nothing but zeros was found: segments without data, from this offset on. Of them, so many bytes
    /// were called used by the map.
    Empty { offset: u64, segments: Segments, used: u64 },
    /// A part with data.
    Part { header: Box<FrameHeader>, segments: Segments, payload: Buffer },
}

/// How parts are encoded; shared by the workers.
pub(super) struct Encoding {
    pub(super) compress: Compress,
    pub(super) digest: DigestKind,
    pub(super) level: Level,
    /// One for each worker.
    pub(super) scratch: Pool,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

/// The level of the moment, set by the link that adapts it. `i32::MIN` stands for no compression.
pub(super) struct Level(AtomicI32);

impl Level {
    pub(super) fn new(level: Option<i32>) -> Self {
        Level(AtomicI32::new(level.unwrap_or(i32::MIN)))
    }

    pub(super) fn set(&self, level: Option<i32>) {
        self.0.store(level.unwrap_or(i32::MIN), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<i32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|level| *level != i32::MIN)
    }
}

/// A payload must be shorter by a 32nd to be worth decompressing.
const WORTH: usize = 32;

impl Encoding {
    /// Encodes a part. Fails only when the run is over.
    pub(super) fn encode(&self, part: ReadPart) -> Result<Outgoing, Stopped> {
        let _busy = self.figures.busy(Stage::Cpu);
        let (used, held) = (part.used, part.held);
        let (segments, mut buffer) = take_out_zeros(part.place, &part.data, part.discarded.as_deref(), part.buffer);
        let length = segments.data() as usize;
        self.figures.add_zeros(used.saturating_sub(segments.data()));
        if length == 0 {
            return Ok(Outgoing::Empty { offset: part.place.offset, segments, used });
        }
        let digest = self.digest.of(&[segments.as_bytes(), &buffer[..length]]);
        let mut codec = Codec::None;
        let mut payload = length;
        if let Some(level) = self.level.get().filter(|_| !held) {
            let mut scratch = self.scratch.take(&self.stop)?;
            if let Some(shorter) = self.compress(level, &buffer[..length], &mut scratch)? {
                buffer.swap_contents(&mut scratch);
                (codec, payload) = (Codec::Zstd, shorter);
            }
        }
        let header = FrameHeader::part(part.place.offset, &segments, used, codec, &buffer[..payload], digest);
        let header = Box::new(if held { header.into_held() } else { header });
        Ok(Outgoing::Part { header, segments, payload: buffer })
    }

    /// The length of the compressed bytes in `out`; `None` where compressing is not worth it.
    fn compress(&self, level: i32, raw: &[u8], out: &mut [u8]) -> Result<Option<usize>, Stopped> {
        let compressed = with_encoder(|encoder| {
            let limit = raw.len() - raw.len() / WORTH;
            let auto = self.compress == Compress::Auto;
            let sampled = samples(raw).filter(|_| auto);
            let looks_hopeless = sampled.is_some_and(|samples| {
                let limit = samples[0].len() - samples[0].len() / WORTH;
                samples.iter().all(|sample| encoder.encode(-1, &raw[sample.clone()], out, limit).is_none())
            });
            if looks_hopeless { None } else { encoder.encode(level, raw, out, limit) }
        });
        compressed.map_err(|e: io::Error| {
            self.stop.fail(crate::error::Error::io("cannot compress", "zstd", &e));
            Stopped
        })
    }
}

/// Four places of a part, from which can be told whether it compresses at all.
fn samples(raw: &[u8]) -> Option<[Range<usize>; 4]> {
    const SAMPLE: usize = 8 << 10;
    (raw.len() >= 16 * SAMPLE).then(|| {
        [0, 1, 2, 3].map(|n| {
            let at = (raw.len() - SAMPLE) / 3 * n;
            at..at + SAMPLE
        })
    })
}

/// The part's segment table, and its buffer with the zeros taken out from between the data.
fn take_out_zeros(
    place: Extent,
    data: &[Extent],
    discarded: Option<&[Extent]>,
    mut buffer: Buffer,
) -> (Segments, Buffer) {
    let mut segments = Segments::default();
    let (mut position, mut read, mut kept) = (place.offset, 0, 0);
    for extent in data {
        let bytes = read..read + extent.length as usize;
        read = bytes.end;
        push_gap(&mut segments, Extent::between(position, extent.offset), discarded);
        position = extent.offset;
        for range in data_ranges(&buffer[bytes.clone()]) {
            let begin = extent.offset + range.start as u64;
            push(&mut segments, SegmentKind::Hole, begin - position);
            push(&mut segments, SegmentKind::Data, range.len() as u64);
            position = begin + range.len() as u64;
            let from = bytes.start + range.start..bytes.start + range.end;
            if from.start != kept {
                buffer.copy_within(from, kept);
            }
            kept += range.len();
        }
        push(&mut segments, SegmentKind::Hole, extent.end() - position);
        position = extent.end();
    }
    push_gap(&mut segments, Extent::between(position, place.end()), discarded);
    (segments, buffer)
}

/// What lies between two extents of data.
fn push_gap(segments: &mut Segments, gap: Extent, discarded: Option<&[Extent]>) {
    let Some(discarded) = discarded else { return push(segments, SegmentKind::Hole, gap.length) };
    let mut position = gap.offset;
    for hole in discarded.iter().map(|hole| hole.clipped_to(gap)).filter(|hole| !hole.is_empty()) {
        push(segments, SegmentKind::Kept, hole.offset - position);
        push(segments, SegmentKind::Hole, hole.length);
        position = hole.end();
    }
    push(segments, SegmentKind::Kept, gap.end() - position);
}

/// All lengths are at most a part's, which is at most 64 MiB.
fn push(segments: &mut Segments, kind: SegmentKind, length: u64) {
    segments.push(kind, length as u32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PartSize;

    #[test]
    fn zeros_between_data_are_taken_out() {
        const KIB: usize = 1 << 10;
        let pool = Pool::new(1, PartSize::default(), None);
        let mut buffer = pool.take(&Stop::new()).expect("a buffer");
        // Read: 64 KiB at 0 (data, zeros from 8 KiB), 64 KiB at 128 KiB (zeros until 40 KiB, data).
        buffer[..8 * KIB].fill(1);
        buffer[104 * KIB..128 * KIB].fill(2);
        let extent = |offset: usize, length: usize| Extent { offset: offset as u64, length: length as u64 };
        let data = [extent(0, 64 * KIB), extent(128 * KIB, 64 * KIB)];
        let (segments, buffer) = take_out_zeros(extent(0, 1024 * KIB), &data, None, buffer);
        let expected = [
            (SegmentKind::Data, 8 * KIB),
            (SegmentKind::Hole, 160 * KIB),
            (SegmentKind::Data, 24 * KIB),
            (SegmentKind::Hole, 832 * KIB),
        ];
        let found: Vec<_> = segments.into_iter().map(|s| (s.kind, s.length as usize)).collect();
        assert_eq!(found, expected);
        assert!(buffer[..8 * KIB].iter().all(|b| *b == 1) && buffer[8 * KIB..32 * KIB].iter().all(|b| *b == 2));
    }
    #[test]
    fn between_the_data_of_a_delta_all_is_kept_but_what_was_discarded() {
        const KIB: usize = 1 << 10;
        let pool = Pool::new(1, PartSize::default(), None);
        let mut buffer = pool.take(&Stop::new()).expect("a buffer");
        buffer[..64 * KIB].fill(1);
        let extent = |offset: usize, length: usize| Extent { offset: offset as u64, length: length as u64 };
        // Written at 128 KiB, and at 512 KiB with zeros.
        let data = [extent(128 * KIB, 64 * KIB), extent(512 * KIB, 64 * KIB)];
        buffer[64 * KIB..128 * KIB].fill(0);
        let discarded = [extent(64 * KIB, 32 * KIB), extent(192 * KIB, 64 * KIB)];
        let (segments, _) = take_out_zeros(extent(0, 1024 * KIB), &data, Some(&discarded), buffer);
        let expected = [
            (SegmentKind::Kept, 64 * KIB),
            (SegmentKind::Hole, 32 * KIB),
            (SegmentKind::Kept, 32 * KIB),
            (SegmentKind::Data, 64 * KIB),
            (SegmentKind::Hole, 64 * KIB),
            (SegmentKind::Kept, 256 * KIB),
            (SegmentKind::Hole, 64 * KIB),
            (SegmentKind::Kept, 448 * KIB),
        ];
        let found: Vec<_> = segments.into_iter().map(|s| (s.kind, s.length as usize)).collect();
        assert_eq!(found, expected);
    }
}
