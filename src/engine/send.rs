//! Sending: source to link.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, bounded};

use super::adapt::{Adapt, Compress};
use super::crew::{Blocks, Crew, panicked};
use super::encode::{Encoding, Level, Outgoing, ReadPart};
use super::memory::{Buffer, Pool, Workshop};
use super::ordered::{Place, Reserver, Taker, ordered};
use super::rate::Rate;
use crate::error::{Error, Result};
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::usedmap::{Cell, DataCell, Extent, UsedMap};
use crate::volume::{ALIGN, Source};
use crate::wire::{End, FrameHeader, Prelude, RootDigest};

/// Reads under way at once: enough to keep a disk's queue filled.
const READERS: usize = 4;
/// Zeros found part by part are joined into holes of up to this length: few frames, and yet the other side sees
/// progress. A hole that the map knows is one frame, however long.
const LONGEST_JOINED_HOLE: u64 = 1 << 30;

/// What is sent.
pub enum Input {
    /// A volume by its used map.
    Volume {
        /// Where the bytes are.
        source: Arc<dyn Source>,
        /// Which of them are data; of the source's size.
        map: Arc<UsedMap>,
    },
    /// A byte stream to its end.
    Stream(File),
}

/// How it is sent.
pub struct Sending {
    /// The stream's first bytes.
    pub prelude: Prelude,
    /// Workers and buffers.
    pub workshop: Workshop,
    /// How hard to compress.
    pub compress: Compress,
    /// A limit for the links, if any.
    pub rate: Option<Rate>,
    /// What is counted.
    pub figures: Arc<Figures>,
    /// What ends the run early.
    pub stop: Stop,
}

/// Sends `input` over `link`; returns when all of it has been written to the link.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`] was set to.
pub fn send(input: Input, link: impl Write + Send + 'static, link_name: &str, sending: Sending) -> Result<End> {
    let Sending { prelude, workshop, compress, rate, figures, stop } = sending;
    let adapt = (compress == Compress::Auto).then(|| Adapt::new(figures.snapshot(), workshop.highest_level));
    let begin = match (&adapt, compress) {
        (Some(adapt), _) => adapt.level(),
        (None, Compress::Zstd(level)) => Some(level),
        (None, Compress::None | Compress::Auto) => None,
    };
    let encoding = Arc::new(Encoding {
        compress,
        digest: prelude.digest,
        level: Level::new(begin),
        scratch: Pool::new(workshop.workers, workshop.part_size, None),
        figures: figures.clone(),
        stop: stop.clone(),
    });
    figures.threads(Stage::Cpu, workshop.workers);
    figures.threads(Stage::Link, 1);
    figures.set_level(begin);
    let (reserver, taker) = ordered(workshop.buffers);
    let bench = Bench {
        workers: Arc::new(workshop.hire(&stop)?),
        pool: Pool::new(workshop.buffers, workshop.part_size, Some(figures.clone())),
        encoding: encoding.clone(),
        figures: figures.clone(),
        stop: stop.clone(),
    };
    let end = Arc::new(Mutex::new(None));
    let writer = LinkWriter {
        link,
        name: link_name.into(),
        rate,
        adapt,
        encoding,
        figures,
        stop: stop.clone(),
        root: RootDigest::new(prelude.digest),
        totals: End::default(),
        position: 0,
    };

    let mut crew = Crew::new(&stop);
    start_reading(&mut crew, input, bench, reserver, workshop)?;
    let written = end.clone();
    crew.start("link", Blocks::OnPipe, move || {
        if let Ok(totals) = writer.run(&prelude, &taker) {
            *written.lock().unwrap_or_else(PoisonError::into_inner) = Some(totals);
        }
    })?;
    crew.wait()?;
    let totals = end.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Without an end and without an error only a worker that panicked can have been.
    totals.ok_or_else(|| panicked("a worker"))
}

/// What every reader needs.
#[derive(Clone)]
struct Bench {
    workers: Arc<rayon::ThreadPool>,
    pool: Pool,
    encoding: Arc<Encoding>,
    figures: Arc<Figures>,
    stop: Stop,
}

/// A part to be read.
struct ReadJob {
    place: Extent,
    data: Vec<Extent>,
    buffer: Buffer,
    slot: Place<Outgoing>,
}

fn start_reading(
    crew: &mut Crew,
    input: Input,
    bench: Bench,
    reserver: Reserver<Outgoing>,
    workshop: Workshop,
) -> Result<()> {
    match input {
        Input::Stream(stream) => {
            bench.figures.threads(Stage::Source, 1);
            crew.start("source", Blocks::OnPipe, move || bench.read_stream(stream, reserver))
        }
        Input::Volume { source, map } => {
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
                let _ = bench.plan(&map, part_size, reserver, &to_read);
            })
        }
    }
}

impl Bench {
    /// Walks the map; every part with data gets a buffer and a place, and goes to the readers.
    fn plan(
        &self,
        map: &UsedMap,
        part_size: u64,
        mut reserver: Reserver<Outgoing>,
        to_read: &crossbeam_channel::Sender<ReadJob>,
    ) -> Result<(), Stopped> {
        for cell in map.cells(part_size) {
            match cell {
                Cell::Hole(place) => reserver.reserve(&self.stop)?.fill(Outgoing::Hole { place, used: 0 }),
                Cell::Data(cell) => {
                    let buffer = self.pool.take(&self.stop)?;
                    let slot = reserver.reserve(&self.stop)?;
                    let job = ReadJob { place: cell.place, data: aligned_extents(&cell), buffer, slot };
                    self.stop.send(to_read, job)?;
                }
            }
        }
        Ok(())
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
        let mut filled = 0;
        for extent in &job.data {
            let length = extent.length as usize;
            source.read_at(extent.offset, &mut job.buffer[filled..filled + length])?;
            filled += length;
        }
        self.figures.add_read(filled as u64);
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
            self.hand_over(ReadJob { place, data: vec![place], buffer, slot });
            if is_last {
                return;
            }
        }
    }

    fn fill(&self, stream: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
        let _busy = self.figures.busy(Stage::Source);
        let mut filled = 0;
        while filled < buffer.len() {
            match stream.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(length) => {
                    filled += length;
                    self.figures.add_read(length as u64);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    /// Gives a part that was read to the workers.
    fn hand_over(&self, job: ReadJob) {
        let encoding = self.encoding.clone();
        let ReadJob { place, data, buffer, slot } = job;
        self.workers.spawn(move || {
            if let Ok(outgoing) = encoding.encode(ReadPart { place, data, buffer }) {
                slot.fill(outgoing);
            }
        });
    }
}

/// The cell's extents, widened to what direct I/O can read; what is added are bytes of holes, which are zeros.
fn aligned_extents(cell: &DataCell<'_>) -> Vec<Extent> {
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

/// Writes frames in order, joins holes, counts, and adapts the level.
struct LinkWriter<W> {
    link: W,
    name: String,
    rate: Option<Rate>,
    adapt: Option<Adapt>,
    encoding: Arc<Encoding>,
    figures: Arc<Figures>,
    stop: Stop,
    root: RootDigest,
    totals: End,
    position: u64,
}

impl<W: Write> LinkWriter<W> {
    fn run(mut self, prelude: &Prelude, from: &Taker<Outgoing>) -> Result<End, Stopped> {
        self.write(&[&prelude.encode()])?;
        let mut hole = Extent { offset: 0, length: 0 };
        while let Some((turn, outgoing)) = from.take(&self.stop)? {
            match outgoing {
                Outgoing::Hole { place, used } => {
                    self.root.add(turn, None);
                    if hole.length > 0 && hole.length + place.length <= LONGEST_JOINED_HOLE {
                        hole.length += place.length;
                    } else {
                        self.write_hole(hole)?;
                        hole = place;
                    }
                    self.figures.add_done(used);
                }
                Outgoing::Part { header, segments, payload, used } => {
                    self.write_hole(std::mem::replace(&mut hole, Extent { offset: 0, length: 0 }))?;
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

    fn write_hole(&mut self, hole: Extent) -> Result<(), Stopped> {
        if hole.length == 0 {
            return Ok(());
        }
        self.totals.holes += hole.length;
        self.position = hole.end();
        self.figures.add_holes(hole.length);
        self.write(&[&FrameHeader::hole(hole.offset, hole.length).encode()])
    }

    fn finish(mut self, prelude: &Prelude) -> Result<End, Stopped> {
        // The queue has ended; unless all of the volume came through it, a stage before has, and said why.
        let root = std::mem::replace(&mut self.root, RootDigest::new(prelude.digest));
        self.totals.root = root.finish().ok_or(Stopped)?;
        if self.stop.is_set() || prelude.volume_size.is_some_and(|size| size != self.position) {
            return Err(Stopped);
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
                    rate.wait(chunk.len(), &self.stop).map_err(|Stopped| std::io::Error::other("ended"))?;
                    self.link.write_all(chunk)
                })
            }
        };
        written.map_err(|e| self.failed(&e))?;
        self.figures.add_wire(length as u64);
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> Stopped {
        let failed = Error::io("cannot write stream", &self.name, error);
        self.stop.fail(match error.kind() {
            std::io::ErrorKind::BrokenPipe => failed.way_out("the process that read it has ended: see its message"),
            _ => failed,
        });
        Stopped
    }
}

/// Writes all pieces with as few system calls as the link allows.
fn write_all_vectored(to: &mut impl Write, pieces: &[&[u8]]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match to.write_vectored(left) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(length) => IoSlice::advance_slices(&mut left, length),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
