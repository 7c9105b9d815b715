//! How hard to compress: `--compress`, and the choice of `auto`.
//!
//! Auto climbs a ladder from no compression to zstd's level 9. What waits gives the direction: where the links are
//! the bottleneck, a step up makes fewer bytes of the same parts; where the workers are, a step down makes them
//! faster; where both are busy, nothing would. Links that stay all but idle would be so without compression as well:
//! then all steps down that are left are taken as one, at the very beginning too, for much of a volume can be over a
//! fast link within a second. Whether a step was right is measured: where the rate of source bytes fell, it is taken
//! back, and none in that direction is tried for a while, twice as long each time. So a link that is slow because the
//! receiver's disk is slow, or because both sides share the processors, does not drive the level up for nothing.
//!
//! A rate that falls proves nothing on a machine that does other things. A step down is judged by the links alone: it
//! spares the processors work, and can only be wrong if the links do not keep up with what it adds.

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
/// The first one lets the buffers fill, and shows whether there is a link to speak of.
const FIRST_EPOCH: Duration = Duration::from_millis(100);
/// Fewer parts in an epoch tell nothing.
const LEAST_PARTS: u64 = 16;
/// A stage that works less than this share of its time holds nobody up.
const BUSY: f64 = 0.7;
/// A rate that fell by more than noise.
const WORSE: f64 = 0.95;
/// Links that work less than this share of their time could carry the bytes as they are, three times as many.
const IDLE: f64 = 0.2;
/// After so many epochs it is no accident: a way back up from no compression would take as many.
const LONG_IDLE: u32 = 2;
const LONGEST_REST: u32 = 64;

/// Where a step leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A step that is not yet judged.
struct Trial {
    direction: Direction,
    /// Where it came from.
    before: usize,
    /// The rate there.
    rate: f64,
}

/// Decides the level from epoch to epoch.
pub struct Adapt {
    step: usize,
    /// The last step whose state fits the memory.
    highest: usize,
    since: Snapshot,
    /// Buffers are still being filled: the rate of the first epoch is no measure.
    is_first: bool,
    trial: Option<Trial>,
    /// For so many epochs no step is tried in this direction, and how many the next failure costs.
    rest: Option<(Direction, u32)>,
    penalty: u32,
    /// For so many epochs the links have been idle.
    idle: u32,
    /// Whether all steps down may be taken as one: not where that has failed.
    may_drop: bool,
}

impl Adapt {
    /// Begins now; never goes above `highest_level`.
    pub fn new(now: Snapshot, highest_level: i32) -> Self {
        let highest = LADDER.iter().rposition(|level| level.is_none_or(|level| level <= highest_level));
        let highest = highest.unwrap_or(0);
        let step = BEGIN.min(highest);
        Adapt {
            step,
            highest,
            since: now,
            is_first: true,
            trial: None,
            rest: None,
            penalty: 2,
            idle: 0,
            may_drop: true,
        }
    }

    /// The level to use.
    pub fn level(&self) -> Option<i32> {
        LADDER[self.step]
    }

    /// Looks at the figures; at the end of an epoch it may move.
    pub fn observe(&mut self, now: Snapshot) {
        if self.is_first && now.parts == 0 {
            // Links that are still being made look idle.
            self.since = now;
            return;
        }
        let time = now.elapsed.saturating_sub(self.since.elapsed);
        let least = if self.is_first { FIRST_EPOCH } else { EPOCH };
        if time < least || now.parts.saturating_sub(self.since.parts) < LEAST_PARTS {
            return;
        }
        let rate = (now.read.saturating_sub(self.since.read)) as f64 / time.as_secs_f64();
        let [link, cpu] = [Stage::Link, Stage::Cpu].map(|stage| now.utilisation_since(&self.since, stage));
        self.since = now;
        self.idle = if link < IDLE { self.idle + 1 } else { 0 };
        if std::mem::take(&mut self.is_first) {
            if self.idle > 0 && direction(link, cpu) == Some(Direction::Down) {
                self.step_to(0, Direction::Down, rate);
            }
        } else if let Some(trial) = self.trial.take()
            && rate < trial.rate * WORSE
            && (trial.direction == Direction::Up || link > BUSY)
        {
            self.take_back(&trial);
        } else {
            self.step_on(direction(link, cpu), rate);
        }
    }

    fn take_back(&mut self, trial: &Trial) {
        self.may_drop &= trial.direction == Direction::Up;
        self.step = trial.before;
        self.rest = Some((trial.direction, self.penalty));
        self.penalty = (self.penalty * 2).min(LONGEST_REST);
    }

    fn step_on(&mut self, wanted: Option<Direction>, rate: f64) {
        let resting = self.rest.map(|(direction, _)| direction);
        self.rest = self.rest.and_then(|(direction, epochs)| (epochs > 1).then(|| (direction, epochs - 1)));
        let Some(direction) = wanted.filter(|wanted| Some(*wanted) != resting) else { return };
        let next = match direction {
            Direction::Up => (self.step + 1).min(self.highest),
            Direction::Down if self.idle >= LONG_IDLE && self.may_drop => 0,
            Direction::Down => self.step.saturating_sub(1),
        };
        self.step_to(next, direction, rate);
    }

    fn step_to(&mut self, next: usize, direction: Direction, rate: f64) {
        if next != self.step {
            self.trial = Some(Trial { direction, before: self.step, rate });
            self.step = next;
        }
    }
}

/// Up where the links are what waits, down where the workers are.
fn direction(link: f64, cpu: f64) -> Option<Direction> {
    match (link > BUSY, cpu > BUSY) {
        (true, false) => Some(Direction::Up),
        (false, true) => Some(Direction::Down),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `epochs` epochs of a machine, which is told the number of the epoch and the level.
    fn run(epochs: usize, machine: impl Fn(usize, Option<i32>) -> Load) -> Vec<Option<i32>> {
        settle::simulate(epochs, 9, machine)
    }

    /// A machine whose links carry `link` bytes a second, and whose workers take `worker` bytes of the source a second
    /// without compression. A higher level means fewer bytes and more work.
    fn balance(level: Option<i32>, link: f64, worker: f64) -> Load {
        let step = f64::from(level.map_or(0, |level| level + 8));
        let (carried, made) = (link * (1.0 + step / 10.0), worker / (1.0 + step / 3.0));
        let rate = carried.min(made);
        Load { rate, links: rate / carried, workers: rate / made }
    }

    const BEGINNING: Option<i32> = LADDER[BEGIN];

    #[test]
    fn a_slow_link_gets_the_highest_level() {
        let levels = run(40, |_, level| balance(level, 1e6, 1e9));
        assert_eq!(levels.last(), Some(&Some(9)));
    }

    #[test]
    fn slow_processors_end_without_compression() {
        let levels = run(40, |_, level| balance(level, 6e8, 5e8));
        assert_eq!(levels.last(), Some(&None));
    }

    #[test]
    fn a_link_that_stays_idle_gets_the_bytes_as_they_are() {
        let levels = run(4, |_, level| balance(level, 5e9, 5e8));
        assert_eq!(levels, [None; 4], "at once");
        // Later on not upon the first look.
        let levels = run(4, |epoch, level| match epoch {
            0 => Load { rate: 5e8, links: 0.5, workers: 1.0 },
            _ => balance(level, 5e9, 5e8),
        });
        assert_eq!(levels, [BEGINNING, Some(-2), None, None]);
    }

    #[test]
    fn links_that_are_still_being_made_are_not_idle() {
        let mut now = crate::progress::Figures::new(crate::progress::Role::Send).snapshot();
        now.stages.iter_mut().for_each(|stage| stage.threads = 1);
        let mut adapt = Adapt::new(now.clone(), 9);
        for sent in [0, 0, LEAST_PARTS] {
            now.elapsed += EPOCH;
            now.parts = sent;
            now.stages[Stage::Cpu as usize].busy += EPOCH;
            if sent > 0 {
                now.stages[Stage::Link as usize].busy += EPOCH / 2;
            }
            adapt.observe(now.clone());
            assert_eq!(adapt.level(), BEGINNING);
        }
    }

    #[test]
    fn where_that_was_wrong_it_is_single_steps_from_then_on() {
        // Idle as long as there is any compression.
        let levels = run(12, |_, level| match level {
            None => Load { rate: 1e8, links: 1.0, workers: 0.2 },
            Some(level) => Load { rate: 3e8 - 1e7 * f64::from(level), links: 0.1, workers: 1.0 },
        });
        assert_eq!(levels[..2], [None, BEGINNING]);
        assert!(levels[2..].contains(&Some(-7)), "{levels:?}");
        assert!(levels[2..].iter().filter(|level| level.is_none()).count() <= 1, "{levels:?}");
    }

    #[test]
    fn a_machine_that_gets_busy_does_not_bring_compression_back() {
        let levels = run(20, |epoch, level| {
            let does = balance(level, 5e9, 5e8);
            Load { rate: does.rate / (1 + epoch % 4) as f64, ..does }
        });
        assert!(levels[2..].iter().all(Option::is_none), "{levels:?}");
    }

    #[test]
    fn a_step_down_that_failed_does_not_keep_it_from_going_up() {
        let levels = run(8, |epoch, level| match (epoch, level) {
            // At first the workers are busy, and less compression is worse; then the links are.
            (..2, _) => Load { rate: 2e8, links: 0.5, workers: 1.0 },
            (2, _) => Load { rate: 1e8, links: 1.0, workers: 0.5 },
            _ => Load { rate: 2e8, links: 1.0, workers: 0.2 },
        });
        assert_eq!(levels[..5], [BEGINNING, Some(-2), BEGINNING, Some(1), Some(2)]);
    }

    #[test]
    fn where_both_are_busy_nothing_would_help() {
        let levels = run(20, |_, _| Load { rate: 2e8, links: 0.9, workers: 0.95 });
        assert!(levels.iter().all(|level| *level == BEGINNING), "{levels:?}");
    }

    #[test]
    fn a_step_that_does_not_help_is_taken_back_and_seldom_tried() {
        let slower = |level| if level > BEGINNING { 5e7 } else { 1e8 };
        let levels = run(200, |_, level| Load { rate: slower(level), links: 1.0, workers: 0.1 });
        let tried = levels.iter().filter(|level| **level > BEGINNING).count();
        assert!((1..=7).contains(&tried), "tried {tried} times");
    }

    #[test]
    fn a_source_that_is_slow_changes_nothing() {
        let levels = run(20, |_, _| Load { rate: 1e8, links: 0.1, workers: 0.1 });
        assert!(levels.iter().all(|level| *level == BEGINNING));
    }

    #[test]
    fn how_the_first_epoch_went_is_no_measure() {
        let filling = |links| {
            run(3, move |epoch, _| match epoch {
                0 => Load { rate: 1e9, links, workers: 1.0 }, // the buffers fill
                _ => Load { rate: 1e8, links: 1.0, workers: 0.1 },
            })
        };
        assert_eq!(filling(0.5), [BEGINNING, Some(1), Some(2)]);
        assert_eq!(filling(0.0), [None, BEGINNING, Some(1)], "what was believed of idle links is taken back");
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
