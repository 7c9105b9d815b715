//! The sender's end of a link: takes encoded parts in order, writes their frames, and adapts the level to what
//! waits. One thread, blocked in the link's writes for as long as the other side makes it wait.

use std::io::{self, IoSlice, Write};
use std::mem;
use std::sync::{Arc, Weak};

use super::adapt::Adapt;
use super::encode::{Encoding, Outgoing};
use super::ordered::Taker;
use super::rate::Rate;
use crate::error::{Error, Result};
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::volume::Source;
use crate::wire::{End, FrameHeader, Prelude, RootDigest};

/// Zeros found part by part are joined into holes of up to this length: few frames, and yet the other side sees
/// progress. A hole that the map knows is one frame, however long.
const LONGEST_JOINED_HOLE: u64 = 1 << 30;

/// Holes that are joined until something else comes.
#[derive(Default)]
struct Hole {
    offset: u64,
    length: u64,
    used: u64,
}

/// Writes frames in order, joins holes, counts, and adapts the level.
pub(super) struct LinkWriter<W> {
    pub(super) link: W,
    pub(super) name: String,
    /// The source, if it must be the same at the end as it was at the start.
    /// Not held by this thread: blocked in a pipe, it may outlive the run.
    pub(super) steady_source: Option<Weak<dyn Source>>,
    pub(super) rate: Option<Rate>,
    pub(super) adapt: Option<Adapt>,
    pub(super) encoding: Arc<Encoding>,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
    pub(super) root: RootDigest,
    pub(super) totals: End,
    pub(super) position: u64,
}

impl<W: Write> LinkWriter<W> {
    /// Writes all frames and the end; the totals. Stopped without an error means that a stage before has failed.
    pub(super) fn run(mut self, prelude: &Prelude, from: &Taker<Outgoing>) -> Result<End, Stopped> {
        self.write(&[&prelude.encode()])?;
        let mut hole = Hole::default();
        while let Some((turn, outgoing)) = from.take(&self.stop)? {
            match outgoing {
                Outgoing::Hole { place, used } => {
                    self.root.add(turn, None);
                    if hole.length > 0 && hole.length + place.length <= LONGEST_JOINED_HOLE {
                        hole.length += place.length;
                        hole.used += used;
                    } else {
                        self.write_hole(hole)?;
                        hole = Hole { offset: place.offset, length: place.length, used };
                    }
                    self.figures.add_done(used);
                }
                Outgoing::Part { header, segments, payload, used } => {
                    self.write_hole(mem::take(&mut hole))?;
                    self.root.add(turn, Some((header.offset, header.length, header.digest)));
                    self.totals.parts += 1;
                    self.totals.data += segments.data();
                    self.totals.holes += segments.length() - segments.data();
                    self.position = header.offset + header.length;
                    self.write(&[&header.encode(), segments.as_bytes(), &payload[..header.payload as usize]])?;
                    self.figures.add_done(used);
                    self.figures.add_parts(1);
                    self.adapt();
                }
            }
        }
        self.write_hole(hole)?;
        self.finish(prelude)
    }

    fn write_hole(&mut self, hole: Hole) -> Result<(), Stopped> {
        if hole.length == 0 {
            return Ok(());
        }
        self.totals.holes += hole.length;
        self.position = hole.offset + hole.length;
        self.figures.add_holes(hole.length);
        self.write(&[&FrameHeader::hole(hole.offset, hole.length, hole.used).encode()])
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
            source.upgrade().ok_or(Stopped)?.unchanged().map_err(|changed| {
                self.stop.fail(changed);
                Stopped
            })?;
        }
        let payload = self.totals.encode();
        let header = FrameHeader::end(self.position, &payload);
        self.write(&[&header.encode(), &payload])?;
        self.link.flush().map_err(|e| self.failed(&e))?;
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

    /// Writes the pieces of a frame.
    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), Stopped> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let written = match &mut self.rate {
            None => {
                let _busy = self.figures.busy(Stage::Link);
                write_all_vectored(&mut self.link, pieces)
            }
            Some(rate) => {
                let _busy = self.figures.busy(Stage::Link);
                let step = rate.step();
                let mut chunks = pieces.iter().flat_map(|piece| piece.chunks(step));
                chunks.try_for_each(|chunk| {
                    rate.wait(chunk.len(), &self.stop).map_err(|Stopped| io::Error::other("ended"))?;
                    self.link.write_all(chunk)
                })
            }
        };
        written.map_err(|e| self.failed(&e))?;
        self.figures.add_wire(length as u64);
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Stopped {
        let failed = Error::io("cannot write stream", &self.name, error);
        self.stop.fail(match error.kind() {
            io::ErrorKind::BrokenPipe => failed.way_out("the process that read it has ended: see its message"),
            _ => failed,
        });
        Stopped
    }
}

/// Writes all pieces with as few system calls as the link allows.
fn write_all_vectored(to: &mut impl Write, pieces: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match to.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => IoSlice::advance_slices(&mut left, length),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
