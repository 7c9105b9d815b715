//! Writing a target, as a receiver writes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Moved, Sample, processor_time};
use crate::engine::intake::WRITERS;
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::usedmap::Extent;
use crate::volume::{ALIGN, Target};
use crate::wire::PartSize;

/// How the target is written.
#[derive(Debug, Clone, Copy)]
pub struct Writing {
    /// The grid.
    pub part_size: PartSize,
    /// How many bytes long the target may become.
    pub most: u64,
    /// How long to write, the sync at the end not counted.
    pub time: Duration,
}

/// Writes the sample to `target`, again and again, each part on a place of its own, and puts it on stable storage. All
/// that the target held is of no use afterwards.
///
/// # Errors
/// What cannot be written; what ended the run.
pub fn write(target: &dyn Target, sample: &Sample, writing: Writing, stop: &Stop) -> Result<Moved> {
    let part_size = writing.part_size.bytes() as u64;
    let places = writing.most / part_size;
    target.begin(Some(places * part_size))?;
    let (next, written) = (AtomicU64::new(0), AtomicU64::new(0));
    let (stop, until) = (stop.child(), Instant::now() + writing.time);
    let write_parts = || {
        // One part at least, as when reading.
        let mut is_first = true;
        while !stop.is_set() && (std::mem::take(&mut is_first) || Instant::now() < until) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = sample.parts().get((number % sample.len().max(1) as u64) as usize) else { return };
            if number >= places {
                return;
            }
            let bytes = part.bytes();
            let whole = &bytes[..bytes.len() - bytes.len() % ALIGN as usize];
            let place = Extent { offset: number * part_size, length: whole.len() as u64 };
            let wrote = target.write(place.offset, whole).and_then(|()| target.written(place, place.length));
            if let Err(error) = wrote {
                stop.fail(error);
            }
            written.fetch_add(whole.len() as u64, Ordering::Relaxed);
        }
    };
    let (begun, processors) = (Instant::now(), processor_time());
    thread::scope(|scope| -> Result<()> {
        for _ in 0..WRITERS {
            let thread = thread::Builder::new().name("target".into()).spawn_scoped(scope, write_parts);
            thread.map_err(|e| Error::io("cannot start thread", "target", &e))?;
        }
        Ok(())
    })?;
    stop.check()?;
    target.sync()?;
    let (time, processors) = (begun.elapsed(), processor_time().saturating_sub(processors));
    Ok(Moved { bytes: written.into_inner(), time, processors })
}
