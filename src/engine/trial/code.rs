//! Encoding and decoding, as the workers of a sender and of a receiver do it, on all processors at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Sample;
use super::sample::SampledPart;
use crate::engine::adapt::Compress;
use crate::engine::decode::{Decoding, Halt};
use crate::engine::encode::{Encoding, Level, Outgoing, ReadPart};
use crate::engine::memory::{Pool, Workshop};
use crate::error::{Error, Result};
use crate::progress::{Figures, Role};
use crate::stop::{Stop, Stopped};
use crate::wire::{DigestKind, frame};

/// Less than this says nothing about how a volume compresses, however little time there is.
const LEAST: u64 = 2 << 20;

/// Workers with what they need.
///
/// Memory: two buffers a worker, and the compressors' state.
pub struct Workbench {
    workers: rayon::ThreadPool,
    count: usize,
    flight: Pool,
    encoding: Encoding,
    decoding: Decoding,
    stop: Stop,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coded {
    /// Used bytes, as read.
    pub raw: u64,
    /// What they take on the wire, all headers included.
    pub wire: u64,
    /// How long the workers were busy encoding, and then decoding, each of them on average.
    pub encoding: Duration,
    /// See [`Coded::encoding`].
    pub decoding: Duration,
}

impl Coded {
    fn add(self, other: Coded) -> Coded {
        Coded {
            raw: self.raw + other.raw,
            wire: self.wire + other.wire,
            encoding: self.encoding + other.encoding,
            decoding: self.decoding + other.decoding,
        }
    }
}

impl Workbench {
    /// Hires the workers.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(workshop: &Workshop, digest: DigestKind, stop: &Stop) -> Result<Self> {
        let figures = Figures::new(Role::Send);
        // A worker encodes or decodes, never both at a time.
        let scratch = Pool::new(workshop.workers, workshop.part_size, None);
        Ok(Workbench {
            workers: workshop.hire(stop)?,
            count: workshop.workers,
            flight: Pool::new(workshop.workers, workshop.part_size, None),
            encoding: Encoding {
                compress: Compress::Auto,
                digest,
                level: Level::new(None),
                scratch: scratch.clone(),
                figures: figures.clone(),
                stop: stop.clone(),
            },
            decoding: Decoding { digest, scratch, figures, stop: stop.clone() },
            stop: stop.clone(),
        })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.count
    }

    /// How many parts of the sample, from its first on, can be encoded and decoded at this level in this time, but
    /// [`LEAST`] bytes of it at least; and what became of them.
    ///
    /// # Errors
    /// What ended the run; when what was encoded does not come back.
    pub fn fitting(&self, sample: &Sample, level: Option<i32>, time: Duration) -> Result<(usize, Coded)> {
        self.encoding.level.set(level);
        let least = sample.reaching(LEAST);
        let (next, done, begun) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
        let coded = self.each(|| {
            let mut own = Coded::default();
            while next.load(Ordering::Relaxed) < least || begun.elapsed() < time {
                let Some(part) = sample.parts().get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                own = own.add(self.code(part)?);
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(own)
        })?;
        Ok((done.into_inner(), self.averaged(coded)))
    }

    /// Encodes and decodes the first parts of a sample, all of them, again and again for at least this long.
    ///
    /// # Errors
    /// What ended the run; when what was encoded does not come back.
    pub fn run(&self, sample: &Sample, parts: usize, level: Option<i32>, at_least: Duration) -> Result<Coded> {
        self.encoding.level.set(level);
        self.passes(sample, parts, at_least, |part| self.code(part))
    }

    /// Digests the first parts of a sample, again and again for at least this long: bytes, and how long the workers
    /// were busy, on average.
    ///
    /// # Errors
    /// What ended the run.
    pub fn digest(
        &self,
        sample: &Sample,
        parts: usize,
        kind: DigestKind,
        at_least: Duration,
    ) -> Result<(u64, Duration)> {
        let all = self.passes(sample, parts, at_least, |part| {
            let begun = Instant::now();
            std::hint::black_box(kind.of(&[part.bytes()]));
            let raw = part.bytes().len() as u64;
            Ok(Coded { raw, encoding: begun.elapsed(), ..Coded::default() })
        })?;
        Ok((all.raw, all.encoding))
    }

    /// Goes through the first parts of a sample until the time is over, once at least.
    fn passes(
        &self,
        sample: &Sample,
        parts: usize,
        at_least: Duration,
        work: impl Fn(&SampledPart) -> Result<Coded, Stopped> + Sync,
    ) -> Result<Coded> {
        let parts = &sample.parts()[..parts.min(sample.len())];
        let begun = Instant::now();
        let mut all = self.pass(parts, &work)?;
        while !parts.is_empty() && begun.elapsed() < at_least {
            all = all.add(self.pass(parts, &work)?);
        }
        Ok(self.averaged(all))
    }

    /// With the times of one worker instead of those of all of them together.
    fn averaged(&self, all: Coded) -> Coded {
        let each = u32::try_from(self.count).unwrap_or(u32::MAX).max(1);
        Coded { encoding: all.encoding / each, decoding: all.decoding / each, ..all }
    }

    /// Once through the parts; each is taken by the next worker that is free.
    fn pass(
        &self,
        parts: &[SampledPart],
        work: impl Fn(&SampledPart) -> Result<Coded, Stopped> + Sync,
    ) -> Result<Coded> {
        let next = AtomicUsize::new(0);
        self.each(|| {
            let mut own = Coded::default();
            while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                own = own.add(work(part)?);
            }
            Ok(own)
        })
    }

    /// Runs it on every worker.
    fn each(&self, work: impl Fn() -> Result<Coded, Stopped> + Sync) -> Result<Coded> {
        let all = self.workers.broadcast(|_| if self.stop.is_set() { Err(Stopped) } else { work() });
        self.stop.check()?;
        Ok(all.into_iter().flatten().fold(Coded::default(), Coded::add))
    }

    fn code(&self, part: &SampledPart) -> Result<Coded, Stopped> {
        if self.stop.is_set() {
            return Err(Stopped);
        }
        let mut buffer = self.flight.take(&self.stop)?;
        buffer[..part.bytes().len()].copy_from_slice(part.bytes());
        let (place, data, used) = (part.place, part.data.clone(), part.used);
        let begun = Instant::now();
        let read = ReadPart { place, data, discarded: None, used, buffer, held: false };
        let outgoing = self.encoding.encode(read)?;
        let encoding = begun.elapsed();
        let Outgoing::Part { header, segments, payload } = outgoing else {
            // Nothing but zeros: a part of a hole's frame.
            return Ok(Coded { raw: used, encoding, ..Coded::default() });
        };
        let wire = (frame::HEADER + segments.as_bytes().len()) as u64 + u64::from(header.payload);
        let begun = Instant::now();
        match self.decoding.decode(&header, &segments, payload) {
            Ok(_) => Ok(Coded { raw: used, wire, encoding, decoding: begun.elapsed() }),
            Err(Halt::Stopped) => Err(Stopped),
            Err(Halt::Wire(error)) => {
                let at = format_args!("the part at offset {}", place.offset);
                self.stop.fail(Error::stream("cannot decode what was encoded", at, error));
                Err(Stopped)
            }
        }
    }
}
