//! One machine: its source, if there is one, and its processors.

use std::time::Duration;

use super::figures::{Digested, Level, Machine, Transfer};
use super::generated::Generated;
use super::spread::Spread;
use crate::engine::trial::{Coded, Moved, Reading, Sample, Workbench, read};
use crate::engine::{LADDER, Workshop};
use crate::error::Result;
use crate::stop::Stop;
use crate::usedmap::UsedMap;
use crate::volume::Source;
use crate::wire::DigestKind;

/// Parts that are kept of a volume to be compressed again and again: few enough to have each level do all of them.
const MOST_KEPT: usize = 64;

/// What a machine's measurements have in common.
#[derive(Clone, Copy)]
pub struct Measuring<'a> {
    /// Workers and buffers: all that is used is taken from these.
    pub workshop: &'a Workshop,
    /// The digest of the transfer that is to come.
    pub digest: DigestKind,
    /// What ends the run early.
    pub stop: &'a Stop,
}

impl Measuring<'_> {
    /// Reads the source for so long, or once, all over what the map calls used.
    ///
    /// # Errors
    /// What cannot be read; what ended the run.
    pub fn source(&self, source: &dyn Source, map: &UsedMap, time: Duration) -> Result<(Option<Transfer>, Sample)> {
        let (moved, sample) = self.read(source, map, time)?;
        Ok((transfer(&moved), sample))
    }

    /// A sample of generated data.
    ///
    /// # Errors
    /// What ended the run.
    pub fn generated(&self) -> Result<Sample> {
        let size = (self.kept() * self.workshop.part_size.bytes()) as u64;
        let all = UsedMap::everything(size);
        Ok(self.read(&Generated::new(size), &all, Duration::MAX / 4)?.1)
    }

    fn read(&self, source: &dyn Source, map: &UsedMap, time: Duration) -> Result<(Moved, Sample)> {
        let reading = Reading { part_size: self.workshop.part_size, keep: self.kept(), time };
        read(source, Spread::over(map), reading, self.stop)
    }

    /// Of the buffers, the workers have one each, and the readers some.
    fn kept(&self) -> usize {
        (self.workshop.buffers / 4).clamp(1, MOST_KEPT)
    }

    /// What the processors do with a sample that has something in it, in about so much time.
    ///
    /// # Errors
    /// What ended the run.
    pub fn processors(&self, sample: &Sample, time: Duration) -> Result<Machine> {
        let bench = Workbench::new(self.workshop, self.digest, self.stop)?;
        let highest_level = self.workshop.highest_level;
        let mut levels: Vec<Option<i32>> =
            LADDER.into_iter().filter(|level| level.is_none_or(|level| level <= highest_level)).collect();
        // All levels do the same parts, as many as the slowest of them can in its time. The others together take about
        // twice as long for them.
        let mut measured = Vec::new();
        let mut parts = sample.len();
        let mut each = Duration::ZERO;
        if let Some(slowest) = levels.pop() {
            let (fitting, coded) = bench.fitting(sample, slowest, time.mul_f64(0.2))?;
            (parts, each) = (fitting, time.mul_f64(0.7) / u32::try_from(levels.len()).unwrap_or(u32::MAX).max(1));
            measured.push(figures_of(slowest, &coded));
        }
        for level in levels.into_iter().rev() {
            measured.push(figures_of(level, &bench.run(sample, parts, level, each)?));
        }
        measured.reverse();
        let mut digests = Vec::new();
        for kind in [DigestKind::Sha256, DigestKind::Blake3] {
            let (bytes, busy) = bench.digest(sample, parts, kind, time.mul_f64(0.05))?;
            let rate = bytes as f64 / busy.as_secs_f64().max(f64::MIN_POSITIVE);
            digests.push(Digested { digest: kind.to_string(), rate });
        }
        Ok(Machine {
            lvpipe: env!("CARGO_PKG_VERSION").into(),
            workers: u32::try_from(bench.workers()).unwrap_or(u32::MAX),
            digest: self.digest.to_string(),
            sample: sample.bytes_of(parts),
            levels: measured,
            digests,
            highest_level,
        })
    }
}

fn figures_of(level: Option<i32>, coded: &Coded) -> Level {
    let rate = |time: Duration| coded.raw as f64 / time.as_secs_f64().max(1e-9);
    let encode = rate(coded.encoding);
    // Nothing but zeros is nothing to decode.
    let decode = if coded.decoding.is_zero() { encode } else { rate(coded.decoding) };
    Level { level, remains: coded.wire as f64 / (coded.raw as f64).max(1.0), encode, decode }
}

/// `None` where nothing was moved.
pub(super) fn transfer(moved: &Moved) -> Option<Transfer> {
    let processor_seconds_a_byte = moved.processor_seconds_a_byte();
    moved.rate().map(|rate| Transfer { bytes: moved.bytes, rate, processor_seconds_a_byte })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Work;
    use crate::usedmap::MapSource;
    use crate::wire::PartSize;

    fn workshop() -> Workshop {
        let part_size = PartSize::new(64 << 10).expect("a power of two");
        Workshop::plan(64 << 20, Some(2), part_size, Work::CompressAdaptively).expect("enough")
    }

    #[test]
    fn generated_data_is_worth_compressing() {
        let (workshop, stop) = (workshop(), Stop::new());
        let measuring = Measuring { workshop: &workshop, digest: DigestKind::Sha256, stop: &stop };
        let sample = measuring.generated().expect("memory");
        assert_eq!(sample.bytes(), 64 * (64 << 10));
        let machine = measuring.processors(&sample, Duration::from_millis(200)).expect("no signal");
        assert_eq!(machine.levels.len(), LADDER.len());
        assert!(machine.levels.iter().all(|at| at.encode > 0.0 && at.decode > 0.0));
        let (none, best) = (machine.levels[0], machine.levels[LADDER.len() - 1]);
        assert!(none.remains > 1.0 && none.remains < 1.01, "headers only: {}", none.remains);
        assert!(best.remains > 0.2 && best.remains < 0.7, "{}", best.remains);
        assert_eq!((machine.at(Some(8)).map(|at| at.level), machine.at(None)), (Some(Some(7)), Some(&none)));
    }

    #[test]
    fn however_short_the_time_all_levels_see_the_same_and_enough_of_it() {
        let (workshop, stop) = (workshop(), Stop::new());
        let measuring = Measuring { workshop: &workshop, digest: DigestKind::Sha256, stop: &stop };
        let sample = measuring.generated().expect("memory");
        let machine = measuring.processors(&sample, Duration::from_nanos(1)).expect("no signal");
        let seen = machine.sample;
        assert!((2 << 20..sample.bytes()).contains(&seen), "of {} MiB: {seen}", sample.bytes() >> 20);
        // Each level's share is that of whole parts: of the same ones for all, where nothing is compressed but headers.
        let none = machine.levels[0].remains;
        let headers = 64.0 * (seen >> 16) as f64;
        assert!(none > 1.0 && (none - 1.0) * seen as f64 <= headers * 2.0, "{none} of {seen}");
        let shares: Vec<f64> = machine.levels.iter().map(|at| at.remains).collect();
        assert!(shares.iter().skip(1).all(|share| (0.2..0.7).contains(share)), "{shares:?}");
    }

    #[test]
    fn nothing_but_zeros_is_nothing_on_the_wire() {
        struct Zeros;
        impl Source for Zeros {
            fn size(&self) -> u64 {
                1 << 20
            }
            fn read_at(&self, _offset: u64, into: &mut [u8]) -> Result<()> {
                into.fill(0);
                Ok(())
            }
        }
        let (workshop, stop) = (workshop(), Stop::new());
        let measuring = Measuring { workshop: &workshop, digest: DigestKind::Sha256, stop: &stop };
        let mut map = crate::usedmap::MapBuilder::new(MapSource::Thin);
        map.push(4096, 500_000).expect("first");
        let (read, sample) =
            measuring.source(&Zeros, &map.finish(1 << 20), Duration::from_secs(1)).expect("readable");
        assert!(read.is_some_and(|read| read.bytes == 503_808), "widened to whole blocks: {read:?}");
        let machine = measuring.processors(&sample, Duration::from_millis(20)).expect("no signal");
        assert!(machine.levels.iter().all(|at| at.remains == 0.0 && at.decode > 0.0));
    }

    #[test]
    fn what_ends_the_run_ends_the_measuring() {
        let (workshop, stop) = (workshop(), Stop::new());
        let measuring = Measuring { workshop: &workshop, digest: DigestKind::Sha256, stop: &stop };
        let sample = measuring.generated().expect("memory");
        stop.fail(crate::error::Error::signal(2));
        let error = measuring.processors(&sample, Duration::from_secs(600)).expect_err("it was ended");
        assert_eq!(error.status(), crate::error::Status::Signal(2));
        assert!(measuring.generated().is_err());
    }
}
