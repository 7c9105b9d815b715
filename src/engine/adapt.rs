//! How hard to compress: `--compress`, and the choice of `auto`.
//!
//! Auto climbs a ladder from no compression to zstd's level 9. What waits gives the direction: where the links are
//! the bottleneck, a step up makes fewer bytes of the same parts; where the workers are, a step down makes them
//! faster. Whether the step was right is measured: where the rate of source bytes fell, it is taken back and not
//! tried again for a while, twice as long each time. So a link that is slow because the receiver's disk is slow,
//! or because both sides share the processors, does not drive the level up for nothing.

mod settle;

pub use settle::{Load, settle};

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::memory::Work;
use crate::progress::{Snapshot, Stage};
use crate::wire::codec::LEVELS;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// As it suits the links and the processors.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// zstd at this level.
    Zstd(i32),
}

impl Compress {
    /// What it asks of the workers' memory.
    pub fn work(self) -> Work {
        match self {
            Compress::Auto => Work::CompressAdaptively,
            Compress::None => Work::Compress(*LEVELS.start()),
            Compress::Zstd(level) => Work::Compress(level),
        }
    }
}

impl FromStr for Compress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "expected auto, none, zstd or zstd:LEVEL with a level from {} to {}",
                LEVELS.start(),
                LEVELS.end()
            )
        };
        match text {
            "auto" => Ok(Compress::Auto),
            "none" => Ok(Compress::None),
            "zstd" => Ok(Compress::Zstd(3)),
            _ => {
                let level = text.strip_prefix("zstd:").and_then(|level| level.parse().ok()).ok_or_else(form)?;
                // Level 0 is zstd's word for its default.
                let level = if level == 0 { 3 } else { level };
                if LEVELS.contains(&level) { Ok(Compress::Zstd(level)) } else { Err(form()) }
            }
        }
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compress::Auto => f.write_str("auto"),
            Compress::None => f.write_str("none"),
            Compress::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// The steps of auto; `None` is no compression.
pub const LADDER: [Option<i32>; 13] = [
    None,
    Some(-7),
    Some(-4),
    Some(-2),
    Some(-1),
    Some(1),
    Some(2),
    Some(3),
    Some(4),
    Some(5),
    Some(6),
    Some(7),
    Some(9),
];
/// Where auto begins: a level that is worth its time on every link up to some Gbit/s.
const BEGIN: usize = 4;

/// Long enough for some dozens of parts and for the noise of a shared machine.
const EPOCH: Duration = Duration::from_millis(400);
/// Fewer parts in an epoch tell nothing.
const LEAST_PARTS: u64 = 16;
/// A stage that works less than this share of its time holds nobody up.
const BUSY: f64 = 0.7;
/// A rate that fell by more than noise.
const WORSE: f64 = 0.95;
const LONGEST_REST: u32 = 64;

/// Decides the level from epoch to epoch.
pub struct Adapt {
    step: usize,
    /// The last step whose state fits the memory.
    highest: usize,
    since: Snapshot,
    /// The step before the last move and the rate it had, while the move is on trial.
    trial: Option<(usize, f64)>,
    /// Epochs until the next move, and how many the next failure costs.
    rest: u32,
    penalty: u32,
}

impl Adapt {
    /// Begins now; never goes above `highest_level`.
    pub fn new(now: Snapshot, highest_level: i32) -> Self {
        let highest = LADDER.iter().rposition(|level| level.is_none_or(|level| level <= highest_level));
        let highest = highest.unwrap_or(0);
        Adapt { step: BEGIN.min(highest), highest, since: now, trial: None, rest: 0, penalty: 2 }
    }

    /// The level to use.
    pub fn level(&self) -> Option<i32> {
        LADDER[self.step]
    }

    /// Looks at the figures; at the end of an epoch it may move.
    pub fn observe(&mut self, now: Snapshot) {
        let time = now.elapsed.saturating_sub(self.since.elapsed);
        if time < EPOCH || now.parts.saturating_sub(self.since.parts) < LEAST_PARTS {
            return;
        }
        let rate = (now.read.saturating_sub(self.since.read)) as f64 / time.as_secs_f64();
        let direction = direction(&now, &self.since);
        self.since = now;
        if let Some((before, rate_before)) = self.trial.take()
            && rate < rate_before * WORSE
        {
            self.step = before;
            self.rest = self.penalty;
            self.penalty = (self.penalty * 2).min(LONGEST_REST);
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        let next = self.step.saturating_add_signed(direction).min(self.highest);
        if next != self.step {
            self.trial = Some((self.step, rate));
            self.step = next;
        }
    }
}

/// +1 where the links are what waits, −1 where the workers are.
fn direction(now: &Snapshot, since: &Snapshot) -> isize {
    let (link, cpu) = (now.utilisation_since(since, Stage::Link), now.utilisation_since(since, Stage::Cpu));
    match () {
        () if link > BUSY && link > cpu => 1,
        () if cpu > BUSY => -1,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `epochs` epochs of a machine that moves `rate(level)` bytes a second and says which stage is busy.
    fn run(epochs: usize, machine: impl Fn(Option<i32>) -> (f64, Stage)) -> Vec<Option<i32>> {
        settle::simulate(epochs, 9, |level| {
            let (rate, busy) = machine(level);
            let share = |stage| if busy == stage { 1.0 } else { 0.0 };
            Load { rate, links: share(Stage::Link), workers: share(Stage::Cpu) }
        })
    }

    #[test]
    fn a_slow_link_gets_the_highest_level() {
        let levels = run(40, |level| (1e8 * (1.0 + f64::from(level.unwrap_or(-8) + 8) / 10.0), Stage::Link));
        assert_eq!(levels.last(), Some(&Some(9)));
    }

    #[test]
    fn slow_processors_end_without_compression() {
        let levels = run(40, |level| (1e9 / f64::from(level.unwrap_or(-8) + 10), Stage::Cpu));
        assert_eq!(levels.last(), Some(&None));
    }

    #[test]
    fn a_step_that_does_not_help_is_taken_back_and_seldom_tried() {
        let begin = LADDER[BEGIN];
        let levels = run(200, |level| (if level > begin { 5e7 } else { 1e8 }, Stage::Link));
        let tried = levels.iter().filter(|level| **level > begin).count();
        assert!(tried <= 7, "tried {tried} times");
    }

    #[test]
    fn a_source_that_is_slow_changes_nothing() {
        assert!(run(20, |_| (1e8, Stage::Source)).iter().all(|level| *level == LADDER[BEGIN]));
    }

    #[test]
    fn what_parses_as_compression() {
        assert_eq!("zstd:-5".parse(), Ok(Compress::Zstd(-5)));
        assert_eq!("zstd".parse(), Ok(Compress::Zstd(3)));
        for text in ["", "gzip", "zstd:", "zstd:20", "zstd:x", "9"] {
            let error = text.parse::<Compress>().expect_err(text);
            assert!(error.contains("zstd:LEVEL"), "{text}");
        }
    }
}
