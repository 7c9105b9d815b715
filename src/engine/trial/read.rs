//! Reading the source, as a sender reads it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::sample::SampledPart;
use super::{Moved, Sample, processor_time};
use crate::engine::memory::Pool;
use crate::engine::reading::{READERS, aligned_extents, read_extents};
use crate::error::{Error, Result};
use crate::stop::{Stop, Stopped};
use crate::usedmap::{Cell, Extent, UsedMap};
use crate::volume::Source;
use crate::wire::PartSize;

/// How the source is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The grid.
    pub part_size: PartSize,
    /// How many parts to keep.
    pub keep: usize,
    /// How long to read, unless all has been read before; a part for each thread is read in any case.
    pub time: Duration,
}

/// Reads those parts of `source` that `runs` call used, run by run, each in order. Every run is a map of the volume;
/// there may be any number of them, for they are taken as they are needed.
///
/// # Errors
/// What cannot be read; what ended the run.
pub fn read(
    source: &dyn Source,
    runs: impl Iterator<Item = UsedMap> + Send,
    reading: Reading,
    stop: &Stop,
) -> Result<(Moved, Sample)> {
    let trial = Trial {
        source,
        planner: Mutex::new(Planner { runs, jobs: VecDeque::new(), part_size: reading.part_size.bytes() as u64 }),
        pool: Pool::new(reading.keep + READERS, reading.part_size, None),
        sample: Mutex::new(Sample::new(reading.keep)),
        read: AtomicU64::new(0),
        until: Instant::now() + reading.time,
        stop: stop.child(),
    };
    let (begun, processors) = (Instant::now(), processor_time());
    thread::scope(|scope| -> Result<()> {
        for _ in 0..READERS {
            let thread = thread::Builder::new().name("source".into()).spawn_scoped(scope, || trial.run());
            thread.map_err(|e| Error::io("cannot start thread", "source", &e))?;
        }
        Ok(())
    })?;
    let (time, processors) = (begun.elapsed(), processor_time().saturating_sub(processors));
    trial.stop.check()?;
    let mut sample = trial.sample.into_inner().unwrap_or_else(PoisonError::into_inner);
    sample.shuffle();
    Ok((Moved { bytes: trial.read.into_inner(), time, processors }, sample))
}

/// What the threads share.
struct Trial<'a, R> {
    source: &'a dyn Source,
    planner: Mutex<Planner<R>>,
    pool: Pool,
    sample: Mutex<Sample>,
    read: AtomicU64,
    until: Instant,
    stop: Stop,
}

/// A part that is to be read.
struct Job {
    place: Extent,
    data: Vec<Extent>,
    used: u64,
}

/// Cuts the runs into parts, a run at a time.
struct Planner<R> {
    runs: R,
    jobs: VecDeque<Job>,
    part_size: u64,
}

impl<R: Iterator<Item = UsedMap>> Planner<R> {
    fn next(&mut self) -> Option<Job> {
        while self.jobs.is_empty() {
            let map = self.runs.next()?;
            self.jobs.extend(map.cells(self.part_size).filter_map(|cell| match cell {
                Cell::Hole(_) => None,
                Cell::Data(cell) => {
                    Some(Job { place: cell.place, data: aligned_extents(&cell), used: cell.used_bytes() })
                }
            }));
        }
        self.jobs.pop_front()
    }
}

impl<R: Iterator<Item = UsedMap>> Trial<'_, R> {
    fn run(&self) {
        // One part at least: where there is something, something is seen of it.
        let mut is_first = true;
        while !self.stop.is_set() && (std::mem::take(&mut is_first) || Instant::now() < self.until) {
            let job = self.planner.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(job) = job else { return };
            // Stopped without an error of its own is the run's.
            if let Ok(Err(error)) = self.read(job) {
                self.stop.fail(error);
            }
        }
    }

    fn read(&self, job: Job) -> Result<Result<()>, Stopped> {
        let Job { place, data, used } = job;
        let mut buffer = self.pool.take(&self.stop)?;
        match read_extents(self.source, &data, &mut buffer) {
            Ok(length) => self.read.fetch_add(length, Ordering::Relaxed),
            Err(error) => return Ok(Err(error)),
        };
        let part = SampledPart { place, data, used, buffer };
        self.sample.lock().unwrap_or_else(PoisonError::into_inner).offer(part);
        Ok(Ok(()))
    }
}
