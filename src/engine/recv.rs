//! Receiving: link to target.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::crew::{Blocks, Crew, panicked};
use super::decode::{Decoding, Halt, Incoming, ReceivedPart};
use super::memory::{Pool, Workshop};
use super::ordered::{Reserver, Taker, ordered};
use super::tally::{Received, Tally};
use crate::error::Result;
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::volume::Target;
use crate::wire::{End, FrameHeader, FrameKind, Prelude, SegmentKind, Segments, WireError};

/// Writes under way at once, on a target that takes them in any order.
const WRITERS: usize = 4;

/// How a stream is received.
pub struct Receiving {
    /// What the link said first.
    pub prelude: Prelude,
    /// The link's name, for messages.
    pub stream: String,
    /// Workers and buffers.
    pub workshop: Workshop,
    /// What is counted.
    pub figures: Arc<Figures>,
    /// What ends the run early.
    pub stop: Stop,
}

/// Receives what follows the prelude on `link` into `target`, and finishes the target when all of it is verified.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`] was set to. The target is not finished then.
pub fn recv(link: impl Read + Send + 'static, target: Arc<dyn Target>, receiving: Receiving) -> Result<Received> {
    let Receiving { prelude, stream, workshop, figures, stop } = receiving;
    target.begin(prelude.volume_size)?;
    let (reserver, taker) = ordered(workshop.buffers);
    let workers = Arc::new(workshop.hire(&stop)?);
    let decoding = Arc::new(Decoding {
        digest: prelude.digest,
        stream: stream.clone(),
        scratch: Pool::new(workshop.workers, workshop.part_size, None),
        figures: figures.clone(),
        stop: stop.clone(),
    });
    let reader = LinkReader {
        link: Counted { link, figures: figures.clone() },
        tally: Tally::new(&prelude),
        prelude,
        stream,
        pool: Pool::new(workshop.buffers, workshop.part_size, Some(figures.clone())),
        workers,
        decoding,
        figures: figures.clone(),
        stop: stop.clone(),
    };
    let writers = if target.in_order() { 1 } else { WRITERS.min(workshop.buffers) };
    figures.threads(Stage::Cpu, workshop.workers);
    figures.threads(Stage::Link, 1);
    figures.threads(Stage::Target, writers);

    let received = Arc::new(Mutex::new(None));
    let written = Arc::new(AtomicU64::new(0));
    let mut crew = Crew::new(&stop);
    // A pipe's reader may never come back; a volume's writes do.
    let blocks = if target.in_order() { Blocks::OnPipe } else { Blocks::OnVolume };
    for _ in 0..writers {
        let (target, figures, stop) = (target.clone(), figures.clone(), stop.clone());
        let (taker, written) = (taker.clone(), written.clone());
        crew.start("target", blocks, move || {
            let writer = TargetWriter { target, figures, stop, written };
            writer.run(&taker);
        })?;
    }
    drop(taker);
    let result = received.clone();
    crew.start("link", Blocks::OnPipe, move || {
        if let Ok(all) = reader.run(reserver) {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(all);
        }
    })?;
    crew.wait()?;
    let received = received.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Nothing failed, so all of the volume was verified and written, unless a worker panicked.
    let Some(received) = received.filter(|all| written.load(Ordering::SeqCst) == all.size) else {
        return Err(panicked("a worker"));
    };
    stop.check()?;
    target.finish(received.size)?;
    Ok(received)
}

/// Reads frames and hands parts to the workers.
struct LinkReader<R> {
    link: Counted<R>,
    prelude: Prelude,
    stream: String,
    pool: Pool,
    workers: Arc<rayon::ThreadPool>,
    decoding: Arc<Decoding>,
    figures: Arc<Figures>,
    stop: Stop,
    tally: Tally,
}

impl<R: Read> LinkReader<R> {
    /// Reads to the end frame; says what is wrong with the stream where something is.
    fn run(mut self, mut to: Reserver<Incoming>) -> Result<Received, Stopped> {
        loop {
            match self.frame(&mut to) {
                Ok(None) => {}
                Ok(Some(end)) => {
                    let position = self.tally.position();
                    self.figures.set_volume(Some(position));
                    let (stop, stream) = (self.stop, self.stream);
                    return self.tally.finish(end).map_err(|error| fail(&stop, &stream, position, error));
                }
                Err(Halt::Stopped) => return Err(Stopped),
                Err(Halt::Wire(error)) => return Err(fail(&self.stop, &self.stream, self.tally.position(), error)),
            }
        }
    }

    /// One frame; the totals when it was the last.
    fn frame(&mut self, to: &mut Reserver<Incoming>) -> Result<Option<End>, Halt> {
        let header = FrameHeader::read(&mut self.link, &self.prelude)?;
        match header.kind {
            FrameKind::End => return Ok(Some(End::read(&header, &mut self.link)?)),
            FrameKind::Hole => {
                self.tally.count(&header)?;
                let incoming = Incoming::Hole { offset: header.offset, length: header.length, used: header.used };
                to.reserve(&self.stop)?.fill(incoming);
            }
            FrameKind::Held | FrameKind::Alive | FrameKind::Abort => {
                // Nothing here holds parts of an earlier transfer, and a pipe has no answers.
                return Err(WireError::Field { what: "kind of a frame on a pipe", value: 0 }.into());
            }
            FrameKind::Part => {
                let mut payload = self.pool.take(&self.stop)?;
                let segments = header.read_segments(&mut self.link)?;
                header.read_payload(&mut self.link, &mut payload)?;
                self.tally.count(&header)?;
                let place = to.reserve(&self.stop)?;
                let decoding = self.decoding.clone();
                self.workers.spawn(move || {
                    if let Ok(incoming) = decoding.decode(ReceivedPart { header, segments, payload }) {
                        place.fill(incoming);
                    }
                });
            }
        }
        Ok(None)
    }
}

fn fail(stop: &Stop, stream: &str, position: u64, error: WireError) -> Stopped {
    stop.fail(error.at(stream, format_args!("at offset {position} of the volume")));
    Stopped
}

/// Counts bytes and time of a link that is read.
struct Counted<R> {
    link: R,
    figures: Arc<Figures>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let _busy = self.figures.busy(Stage::Link);
        let length = self.link.read(into)?;
        self.figures.add_wire(length as u64);
        Ok(length)
    }
}

/// Writes what was decoded.
struct TargetWriter {
    target: Arc<dyn Target>,
    figures: Arc<Figures>,
    stop: Stop,
    /// Bytes of the volume that are written, over all writers.
    written: Arc<AtomicU64>,
}

impl TargetWriter {
    fn run(self, from: &Taker<Incoming>) {
        while let Ok(Some((_, incoming))) = from.take(&self.stop) {
            let written = match incoming {
                Incoming::Hole { offset, length, used } => self.hole(offset, length).map(|()| (length, used)),
                Incoming::Part { offset, segments, used, data } => {
                    self.part(offset, &segments, &data).map(|length| (length, used))
                }
            };
            match written {
                Ok((length, used)) => {
                    self.written.fetch_add(length, Ordering::SeqCst);
                    self.figures.add_done(used);
                }
                Err(error) => return self.stop.fail(error),
            }
        }
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        let _busy = self.figures.busy(Stage::Target);
        self.target.hole(offset, length)?;
        self.figures.add_holes(length);
        Ok(())
    }

    fn part(&self, offset: u64, segments: &Segments, data: &[u8]) -> Result<u64> {
        let _busy = self.figures.busy(Stage::Target);
        let (mut at, mut data) = (offset, data);
        for segment in segments {
            let length = u64::from(segment.length);
            match segment.kind {
                SegmentKind::Hole => self.target.hole(at, length)?,
                SegmentKind::Data => {
                    // The table's data segments sum to the decoded length: checked when it was read.
                    let (piece, rest) = data.split_at(segment.length as usize);
                    self.target.write(at, piece)?;
                    data = rest;
                }
            }
            at += length;
        }
        self.figures.add_parts(1);
        Ok(segments.length())
    }
}
