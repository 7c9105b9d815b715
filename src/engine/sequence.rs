//! What comes out of the workers, in order of offset: holes joined, the root digest and the totals made, the level
//! adapted to what waits. Where the frames go from here is the sink's matter: one pipe, or links to receivers.

use std::mem;
use std::sync::{Arc, Weak};

use super::adapt::Adapt;
use super::encode::{Encoding, Outgoing};
use super::memory::Buffer;
use super::ordered::Taker;
use crate::error::Error;
use crate::progress::Figures;
use crate::stop::{Stop, Stopped};
use crate::volume::Source;
use crate::wire::{Codec, End, FrameHeader, FrameKind, Prelude, RootDigest, SegmentKind, Segments};

/// Zeros found part by part are joined into holes of up to this length: few frames, and yet the other side sees
/// progress. A hole that the map knows is one frame, however long.
const LONGEST_JOINED_HOLE: u64 = 1 << 30;

/// A frame with all that goes on the wire for it.
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    /// Empty but for parts.
    pub(super) segments: Segments,
    /// Of a part; a held part has its data here too, in case the target does not hold it after all.
    pub(super) payload: Option<Buffer>,
}

impl Frame {
    /// Of the volume, where it begins.
    pub(super) fn offset(&self) -> u64 {
        self.header.offset
    }

    /// The payload's bytes as they go on the wire.
    pub(super) fn payload(&self) -> &[u8] {
        // The buffer is as long as a part, of which the payload is never more.
        self.payload.as_ref().map_or(&[], |buffer| &buffer[..self.header.payload as usize])
    }

    /// A held part as one that the target does not hold: its header with the payload, not compressed.
    pub(super) fn made_whole(&self) -> (FrameHeader, &[u8]) {
        let FrameHeader { offset, used, raw, digest, .. } = self.header;
        let data = self.payload.as_ref().map_or(&[][..], |buffer| &buffer[..raw as usize]);
        (FrameHeader::part(offset, &self.segments, used, Codec::None, data, digest), data)
    }

    /// Counts it as sent.
    pub(super) fn count(&self, figures: &Figures) {
        figures.add_done(self.header.used);
        match self.header.kind {
            FrameKind::Hole => figures.add_holes(self.header.length),
            FrameKind::Kept => {}
            FrameKind::Held => figures.add_held(1),
            _ => figures.add_parts(1),
        }
    }
}

/// Where frames go.
pub(super) trait FrameSink {
    /// Takes the next frame in order of offset. Blocks while there is no room for it.
    fn frame(&mut self, frame: Frame) -> Result<(), Stopped>;

    /// All frames of the volume of `size` bytes have been taken.
    fn end(&mut self, end: End, size: u64) -> Result<(), Stopped>;
}

/// Puts the volume together for a sink.
pub(super) struct Sequencer<S> {
    pub(super) sink: S,
    /// The source, if it must be the same at the end as it was at the start.
    /// Not held by this thread: blocked in a pipe, it may outlive the run.
    pub(super) steady_source: Option<Weak<dyn Source>>,
    pub(super) adapt: Option<Adapt>,
    pub(super) encoding: Arc<Encoding>,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
    pub(super) root: RootDigest,
    pub(super) totals: End,
    pub(super) position: u64,
}

/// Ranges without data that are joined until something else comes.
struct Gap {
    kind: SegmentKind,
    offset: u64,
    length: u64,
    used: u64,
}

impl<S: FrameSink> Sequencer<S> {
    /// Passes on all frames and the end; the totals. Stopped without an error means that a stage before has failed.
    pub(super) fn run(mut self, prelude: &Prelude, from: &Taker<Outgoing>) -> Result<End, Stopped> {
        let mut gap = None;
        while let Some((turn, outgoing)) = from.take(&self.stop)? {
            match outgoing {
                Outgoing::Gap { kind, place } => {
                    self.root.add(turn, None);
                    let next = Gap { kind, offset: place.offset, length: place.length, used: 0 };
                    self.join(&mut gap, next)?;
                }
                Outgoing::Empty { offset, segments, mut used } => {
                    self.root.add(turn, None);
                    let mut at = offset;
                    for segment in &segments {
                        let length = u64::from(segment.length);
                        // What the map called used turned out to be zeros.
                        let of_it = if segment.kind == SegmentKind::Hole { used.min(length) } else { 0 };
                        used -= of_it;
                        self.join(&mut gap, Gap { kind: segment.kind, offset: at, length, used: of_it })?;
                        at += length;
                    }
                }
                Outgoing::Part { header, segments, payload } => {
                    self.pass_gap(gap.take())?;
                    self.root.add(turn, Some((header.offset, header.length, header.digest)));
                    self.totals.parts += 1;
                    self.totals.data += segments.data();
                    self.totals.holes += segments.length() - segments.data();
                    self.position = header.offset + header.length;
                    self.sink.frame(Frame { header: *header, segments, payload: Some(payload) })?;
                    self.adapt();
                }
            }
        }
        self.pass_gap(gap)?;
        self.finish(prelude)
    }

    /// Makes one of two ranges of a kind where that is not too long, else passes the first on.
    fn join(&mut self, gap: &mut Option<Gap>, next: Gap) -> Result<(), Stopped> {
        match gap {
            // What is kept asks nothing of the receiver, however long.
            Some(gap)
                if gap.kind == next.kind
                    && (gap.kind == SegmentKind::Kept || gap.length + next.length <= LONGEST_JOINED_HOLE) =>
            {
                gap.length += next.length;
                gap.used += next.used;
                Ok(())
            }
            gap => {
                let before = gap.replace(next);
                self.pass_gap(before)
            }
        }
    }

    fn pass_gap(&mut self, gap: Option<Gap>) -> Result<(), Stopped> {
        let Some(Gap { kind, offset, length, used }) = gap else { return Ok(()) };
        self.totals.holes += length;
        self.position = offset + length;
        let header = match kind {
            SegmentKind::Kept => FrameHeader::kept(offset, length),
            _ => FrameHeader::hole(offset, length, used),
        };
        self.sink.frame(Frame { header, segments: Segments::default(), payload: None })
    }

    fn finish(mut self, prelude: &Prelude) -> Result<End, Stopped> {
        // The queue has ended; unless all of the volume came through it, a stage before has, and said why.
        let root = mem::replace(&mut self.root, RootDigest::new(prelude.digest));
        self.totals.root = root.finish(self.position).ok_or(Stopped)?;
        if self.stop.is_set() || prelude.volume_size.is_some_and(|size| size != self.position) {
            return Err(Stopped);
        }
        // All has been read. Without the end frame what was sent is a truncated stream, on the other side too.
        if let Some(source) = self.steady_source.take() {
            source.upgrade().ok_or(Stopped)?.unchanged().map_err(|changed: Error| {
                self.stop.fail(changed);
                Stopped
            })?;
        }
        self.sink.end(self.totals, self.position)?;
        Ok(self.totals)
    }

    fn adapt(&mut self) {
        let Some(adapt) = &mut self.adapt else { return };
        let before = adapt.level();
        adapt.observe(self.figures.snapshot());
        if adapt.level() != before {
            self.encoding.level.set(adapt.level());
            self.figures.set_level(adapt.level());
        }
    }
}
