//! The sender's other end: walks the map, reads parts, gives them to the workers.
//!
//! The planner takes a buffer and a place in the queue for each part, in order; several readers fill the buffers; a
//! byte stream is read by one thread that does both.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::crew::{Blocks, Crew};
use super::encode::{Encoding, Outgoing, ReadPart};
use super::held_at_target::HeldAtTarget;
use super::memory::{Buffer, Pool, Workshop};
use super::ordered::{Place, Reserver};
use super::send::Input;
use crate::error::{Error, Result};
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::usedmap::{Cell, DataCell, Extent, UsedMap};
use crate::volume::{ALIGN, Piece, Source};
use crate::wire::SegmentKind;

/// Reads under way at once: enough to keep a disk's queue filled.
pub(super) const READERS: usize = 4;

/// What every reader needs.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) workers: Arc<rayon::ThreadPool>,
    pub(super) pool: Pool,
    pub(super) encoding: Arc<Encoding>,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

/// A part to be read.
struct ReadJob {
    place: Extent,
    data: Vec<Extent>,
    discarded: Option<Vec<Extent>>,
    used: u64,
    buffer: Buffer,
    held: bool,
    slot: Place<Outgoing>,
}

/// Starts the threads that read `input`.
pub(super) fn start_reading(
    crew: &mut Crew,
    input: Input,
    held: HeldAtTarget,
    bench: Bench,
    reserver: Reserver<Outgoing>,
    workshop: Workshop,
) -> Result<()> {
    match input {
        Input::Stream(stream) => {
            bench.figures.threads(Stage::Source, 1);
            crew.start("source", Blocks::OnPipe, move || bench.read_stream(stream, reserver))
        }
        Input::Volume { source, map, discarded } => {
            let readers = READERS.min(workshop.buffers);
            bench.figures.threads(Stage::Source, readers);
            let (to_read, jobs) = bounded(workshop.buffers);
            for _ in 0..readers {
                let (bench, source, jobs) = (bench.clone(), source.clone(), jobs.clone());
                crew.start("source", Blocks::OnVolume, move || bench.read_parts(&*source, &jobs))?;
            }
            let part_size = workshop.part_size.bytes() as u64;
            crew.start("planner", Blocks::OnVolume, move || {
                // An end before the end is the stop's, which everybody sees.
                let _ = bench.plan(&map, discarded.as_deref(), &held, part_size, reserver, &to_read);
            })
        }
    }
}

impl Bench {
    /// Walks the map; every part with data gets a buffer and a place, and goes to the readers. `discarded` is a delta's.
    fn plan(
        &self,
        map: &UsedMap,
        discarded: Option<&UsedMap>,
        held: &HeldAtTarget,
        part_size: u64,
        mut reserver: Reserver<Outgoing>,
        to_read: &Sender<ReadJob>,
    ) -> Result<(), Stopped> {
        for cell in map.cells(part_size) {
            match cell {
                Cell::Hole(place) => match discarded {
                    None => reserver.reserve(&self.stop)?.fill(Outgoing::Gap { kind: SegmentKind::Hole, place }),
                    Some(discarded) => self.plan_gap(place, discarded, &mut reserver)?,
                },
                Cell::Data(cell) => {
                    let buffer = self.pool.take(&self.stop)?;
                    let slot = reserver.reserve(&self.stop)?;
                    let (place, used) = (cell.place, cell.used_bytes());
                    let held = held.contains(place);
                    let data = aligned_extents(&cell);
                    let discarded = discarded.map(|discarded| discarded.overlapping(place).collect());
                    let job = ReadJob { place, data, discarded, used, buffer, held, slot };
                    self.stop.send(to_read, job)?;
                }
            }
        }
        Ok(())
    }

    /// Where a delta has written nothing: some of it was discarded, the rest is kept.
    fn plan_gap(
        &self,
        place: Extent,
        discarded: &UsedMap,
        reserver: &mut Reserver<Outgoing>,
    ) -> Result<(), Stopped> {
        let mut fill = |kind, place: Extent| match place.is_empty() {
            true => Ok(()),
            false => reserver.reserve(&self.stop).map(|slot| slot.fill(Outgoing::Gap { kind, place })),
        };
        let mut position = place.offset;
        for hole in discarded.overlapping(place) {
            fill(SegmentKind::Kept, Extent::between(position, hole.offset))?;
            fill(SegmentKind::Hole, hole)?;
            position = hole.end();
        }
        fill(SegmentKind::Kept, Extent::between(position, place.end()))
    }

    fn read_parts(&self, source: &dyn Source, jobs: &Receiver<ReadJob>) {
        while let Ok(Some(mut job)) = self.stop.recv(jobs) {
            if let Err(error) = self.read_part(source, &mut job) {
                return self.stop.fail(error);
            }
            self.hand_over(job);
        }
    }

    fn read_part(&self, source: &dyn Source, job: &mut ReadJob) -> Result<()> {
        let _busy = self.figures.busy(Stage::Source);
        let length = read_extents(source, &job.data, &mut job.buffer)?;
        self.figures.add_read(length);
        Ok(())
    }

    /// Reads a stream to its end, part by part.
    fn read_stream(&self, mut stream: File, mut reserver: Reserver<Outgoing>) {
        let mut offset = 0;
        while let Ok(mut buffer) = self.pool.take(&self.stop) {
            let length = match self.fill(&mut stream, &mut buffer) {
                Ok(0) => return,
                Ok(length) => length as u64,
                Err(e) => {
                    let on = format!("stdin at offset {offset}");
                    return self.stop.fail(Error::io("cannot read source", on, &e));
                }
            };
            let Ok(slot) = reserver.reserve(&self.stop) else { return };
            let place = Extent { offset, length };
            offset += length;
            let is_last = length < buffer.len() as u64;
            self.hand_over(ReadJob {
                place,
                data: vec![place],
                discarded: None,
                used: length,
                buffer,
                held: false,
                slot,
            });
            if is_last {
                return;
            }
        }
    }

    fn fill(&self, stream: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
        let _busy = self.figures.busy(Stage::Source);
        let mut filled = 0;
        while filled < buffer.len() {
            match stream.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(length) => {
                    filled += length;
                    self.figures.add_read(length as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    /// Gives a part that was read to the workers.
    fn hand_over(&self, job: ReadJob) {
        let encoding = self.encoding.clone();
        let ReadJob { place, data, discarded, used, buffer, held, slot } = job;
        self.workers.spawn(move || {
            if let Ok(outgoing) = encoding.encode(ReadPart { place, data, discarded, used, buffer, held }) {
                slot.fill(outgoing);
            }
        });
    }
}

/// Reads a part's extents into the beginning of `into`, one after the other; how many bytes they are.
pub(super) fn read_extents(source: &dyn Source, extents: &[Extent], into: &mut [u8]) -> Result<u64> {
    let mut length = 0;
    let mut rest = into;
    let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(extents.len());
    for extent in extents {
        let (piece, after) = rest.split_at_mut(extent.length as usize);
        pieces.push((extent.offset, piece));
        rest = after;
        length += extent.length;
    }
    source.read_pieces(&mut pieces)?;
    Ok(length)
}

/// The cell's extents, widened to what direct I/O can read; what is added are bytes of holes, which are zeros.
pub(super) fn aligned_extents(cell: &DataCell<'_>) -> Vec<Extent> {
    let mut aligned: Vec<Extent> = Vec::new();
    for extent in cell.extents() {
        let begin = extent.offset - extent.offset % ALIGN;
        let end = extent.end().next_multiple_of(ALIGN).min(cell.place.end());
        match aligned.last_mut() {
            Some(last) if begin <= last.end() => *last = Extent::between(last.offset, end),
            _ => aligned.push(Extent::between(begin, end)),
        }
    }
    aligned
}
