//! What the stages count while they work.
//!
//! One [`Figures`] is shared by all threads of a run. Counters are relaxed atomics: they are read for the eye, never
//! to decide anything, so a reader may see one counter a moment ahead of another. All are counted once a part, not
//! once a block, which makes their cost vanish.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::stage::{Stage, StageFigures, StageTime};

/// Which side of a transfer this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads a source and sends it.
    Send,
    /// Receives and writes a target.
    Recv,
    /// Fetches from a server and writes a target.
    Pull,
}

impl Role {
    /// The subcommand's name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Send => "send",
            Role::Recv => "recv",
            Role::Pull => "pull",
        }
    }
}

/// Stands for "not known" in an atomic: no volume is that large.
const UNKNOWN: u64 = u64::MAX;
/// Stands for "not compressing": zstd has no such level.
const NO_LEVEL: i32 = i32::MIN;

/// The figures of one run, counted by its threads, read by the reporter.
#[derive(Debug)]
pub struct Figures {
    role: Role,
    start: Instant,
    volume: AtomicU64,
    used: AtomicU64,
    read: AtomicU64,
    wire: AtomicU64,
    done: AtomicU64,
    zeros: AtomicU64,
    holes: AtomicU64,
    parts: AtomicU64,
    buffer_used: AtomicU64,
    buffer_total: AtomicU64,
    level: AtomicI32,
    links: AtomicU64,
    again: AtomicU64,
    twice: AtomicU64,
    held: AtomicU64,
    stages: [StageTime; 4],
}

impl Figures {
    /// All zero, volume and used bytes unknown; the clock starts here.
    pub fn new(role: Role) -> Arc<Figures> {
        Arc::new(Figures {
            role,
            start: Instant::now(),
            volume: AtomicU64::new(UNKNOWN),
            used: AtomicU64::new(UNKNOWN),
            read: AtomicU64::new(0),
            wire: AtomicU64::new(0),
            done: AtomicU64::new(0),
            zeros: AtomicU64::new(0),
            holes: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            buffer_used: AtomicU64::new(0),
            buffer_total: AtomicU64::new(0),
            level: AtomicI32::new(NO_LEVEL),
            links: AtomicU64::new(0),
            again: AtomicU64::new(0),
            twice: AtomicU64::new(0),
            held: AtomicU64::new(0),
            stages: Default::default(),
        })
    }

    /// The side these figures are of.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Bytes of the volume, holes included; `None` for a stream of unknown length.
    pub fn set_volume(&self, bytes: Option<u64>) {
        self.volume.store(bytes.unwrap_or(UNKNOWN), Relaxed);
    }

    /// Bytes that the used map calls used: what [`Figures::add_done`] adds up to at the end.
    pub fn set_used(&self, bytes: Option<u64>) {
        self.used.store(bytes.unwrap_or(UNKNOWN), Relaxed);
    }

    /// Bytes read from the source; on the receiving side, bytes decoded.
    pub fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Relaxed);
    }

    /// Bytes sent over the links, or received from them, headers included.
    pub fn add_wire(&self, bytes: u64) {
        self.wire.fetch_add(bytes, Relaxed);
    }

    /// Used bytes that this side has finished: sent, or written. Those found to be zeros count as well.
    pub fn add_done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
    }

    /// Used bytes that turned out to be zeros and travel as a hole.
    pub fn add_zeros(&self, bytes: u64) {
        self.zeros.fetch_add(bytes, Relaxed);
    }

    /// Bytes of holes announced to the other side, or made on the target.
    pub fn add_holes(&self, bytes: u64) {
        self.holes.fetch_add(bytes, Relaxed);
    }

    /// Parts finished on this side.
    pub fn add_parts(&self, parts: u64) {
        self.parts.fetch_add(parts, Relaxed);
    }

    /// The transfer begins once more: what was finished counts no longer.
    pub fn restart(&self) {
        [&self.done, &self.zeros, &self.holes, &self.parts].iter().for_each(|counter| counter.store(0, Relaxed));
    }

    /// Buffers of the memory budget in use, of all there are.
    pub fn set_buffer(&self, used: u64, total: u64) {
        self.buffer_used.store(used, Relaxed);
        self.buffer_total.store(total, Relaxed);
    }

    /// The compression level in use; `None` while nothing is compressed.
    pub fn set_level(&self, level: Option<i32>) {
        self.level.store(level.unwrap_or(NO_LEVEL), Relaxed);
    }

    /// Links that are open.
    pub fn set_links(&self, links: u64) {
        self.links.store(links, Relaxed);
    }

    /// Parts that the receiver asked for again: they came damaged, or were not held as they should be.
    pub fn add_again(&self, parts: u64) {
        self.again.fetch_add(parts, Relaxed);
    }

    /// Parts and holes that go over the links once more, since their answer was lost with a link; on the receiving
    /// side those that had come already.
    pub fn add_twice(&self, frames: u64) {
        self.twice.fetch_add(frames, Relaxed);
    }

    /// Parts that the target held already, as compared.
    pub fn add_held(&self, parts: u64) {
        self.held.fetch_add(parts, Relaxed);
    }

    /// How many threads serve a stage. A stage never told has none and is never the bottleneck.
    pub fn threads(&self, stage: Stage, threads: usize) {
        self.stages[stage as usize].set_threads(u32::try_from(threads).unwrap_or(u32::MAX));
    }

    /// Counts the time until the guard is dropped as time that one thread spends in this stage. Waiting for the
    /// device or the peer belongs to it, waiting for the stage before or after does not.
    pub fn busy(&self, stage: Stage) -> Busy<'_> {
        self.enter(stage, self.elapsed_ns());
        Busy { figures: self, stage }
    }

    /// All figures as plain values.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_at(self.elapsed_ns())
    }

    fn snapshot_at(&self, now: u64) -> Snapshot {
        let known = |value: &AtomicU64| Some(value.load(Relaxed)).filter(|bytes| *bytes != UNKNOWN);
        Snapshot {
            role: self.role,
            elapsed: Duration::from_nanos(now),
            volume: known(&self.volume),
            used: known(&self.used),
            read: self.read.load(Relaxed),
            wire: self.wire.load(Relaxed),
            done: self.done.load(Relaxed),
            zeros: self.zeros.load(Relaxed),
            holes: self.holes.load(Relaxed),
            parts: self.parts.load(Relaxed),
            buffer_used: self.buffer_used.load(Relaxed),
            buffer_total: self.buffer_total.load(Relaxed),
            level: Some(self.level.load(Relaxed)).filter(|level| *level != NO_LEVEL),
            links: self.links.load(Relaxed),
            again: self.again.load(Relaxed),
            twice: self.twice.load(Relaxed),
            held: self.held.load(Relaxed),
            stages: [0, 1, 2, 3].map(|stage| self.stages[stage].load(now)),
        }
    }

    fn elapsed_ns(&self) -> u64 {
        // 2^64 ns are 584 years.
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn enter(&self, stage: Stage, now: u64) {
        self.stages[stage as usize].enter(now);
    }

    fn leave(&self, stage: Stage, now: u64) {
        self.stages[stage as usize].leave(now);
    }
}

/// One thread is busy in a stage until this is dropped.
#[derive(Debug)]
#[must_use = "the time is counted until this is dropped"]
pub struct Busy<'a> {
    figures: &'a Figures,
    stage: Stage,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.figures.leave(self.stage, self.figures.elapsed_ns());
    }
}

/// [`Figures`] at one moment. Bytes, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The side these figures are of.
    pub role: Role,
    /// Time since the start.
    pub elapsed: Duration,
    /// Size of the volume, if known.
    pub volume: Option<u64>,
    /// Used bytes of the volume, if known.
    pub used: Option<u64>,
    /// Read from the source, or decoded.
    pub read: u64,
    /// Sent over the links, or received.
    pub wire: u64,
    /// Used bytes sent, or written.
    pub done: u64,
    /// Used bytes found to be zeros.
    pub zeros: u64,
    /// Holes announced, or made.
    pub holes: u64,
    /// Parts finished, a number.
    pub parts: u64,
    /// Buffers in use, a number.
    pub buffer_used: u64,
    /// Buffers there are, a number; 0 while unknown.
    pub buffer_total: u64,
    /// Compression level in use, if any.
    pub level: Option<i32>,
    /// Links that are open, a number.
    pub links: u64,
    /// Parts asked for again, a number.
    pub again: u64,
    /// Parts and holes that came although they were there, a number.
    pub twice: u64,
    /// Parts that the target held already, a number.
    pub held: u64,
    /// Time spent, by [`Stage`] in the order of [`Stage::ALL`].
    pub stages: [StageFigures; 4],
}

/// Below this utilisation no stage is called the bottleneck: what waits is outside.
const BOTTLENECK_FROM: f64 = 0.5;

impl Snapshot {
    /// The stage that was busy most of the time between an earlier snapshot and this one. `None` when none was busy
    /// half of the time or no time has passed.
    pub fn bottleneck_since(&self, earlier: &Snapshot) -> Option<Stage> {
        let mut slowest = None;
        let mut most = BOTTLENECK_FROM;
        for stage in Stage::ALL {
            let utilisation = self.utilisation_since(earlier, stage);
            if utilisation > most {
                (slowest, most) = (Some(stage), utilisation);
            }
        }
        slowest
    }

    /// The share of the time since an earlier snapshot that a stage's threads were busy in it: 0 to 1; 0 for a stage
    /// without threads, or when no time has passed.
    pub fn utilisation_since(&self, earlier: &Snapshot, stage: Stage) -> f64 {
        let (now, then) = (self.stages[stage as usize], earlier.stages[stage as usize]);
        let time = self.elapsed.saturating_sub(earlier.elapsed).as_secs_f64() * f64::from(now.threads);
        let busy = now.busy.saturating_sub(then.busy).as_secs_f64();
        if time > 0.0 { busy / time } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_is_counted_is_in_the_snapshot() {
        let figures = Figures::new(Role::Send);
        let empty = figures.snapshot();
        assert_eq!((empty.volume, empty.used, empty.level), (None, None, None));
        figures.set_volume(Some(80));
        figures.set_used(Some(40));
        figures.add_read(10);
        figures.add_read(1);
        figures.add_wire(2);
        figures.add_done(3);
        figures.add_zeros(4);
        figures.add_holes(5);
        figures.add_parts(6);
        figures.set_buffer(7, 8);
        figures.set_level(Some(-3));
        figures.set_links(9);
        figures.add_again(10);
        figures.add_twice(11);
        figures.add_held(12);
        let full = figures.snapshot();
        assert_eq!((full.volume, full.used, full.level), (Some(80), Some(40), Some(-3)));
        assert_eq!((full.read, full.wire, full.done, full.zeros), (11, 2, 3, 4));
        assert_eq!((full.holes, full.parts, full.buffer_used, full.buffer_total), (5, 6, 7, 8));
        assert_eq!((full.links, full.again, full.twice, full.held), (9, 10, 11, 12));
        figures.set_level(None);
        figures.set_volume(None);
        assert_eq!((figures.snapshot().level, figures.snapshot().volume), (None, None));
    }

    #[test]
    fn a_visit_that_has_not_ended_counts_up_to_now() {
        let figures = Figures::new(Role::Send);
        figures.threads(Stage::Link, 2);
        let before = figures.snapshot_at(0);
        figures.enter(Stage::Link, 0);
        figures.enter(Stage::Link, SECOND);
        figures.leave(Stage::Link, 2 * SECOND);
        let stuck = figures.snapshot_at(4 * SECOND);
        // One visit of 2 s is over, the other has lasted 3 s; which is which does not matter.
        assert_eq!(stuck.stages[Stage::Link as usize].busy, Duration::from_secs(5));
        assert_eq!(stuck.bottleneck_since(&before), Some(Stage::Link));
    }

    #[test]
    fn the_guard_counts_time_until_it_is_dropped() {
        let figures = Figures::new(Role::Recv);
        let busy = figures.busy(Stage::Target);
        std::thread::sleep(Duration::from_millis(5));
        drop(busy);
        let once = figures.snapshot().stages[Stage::Target as usize].busy;
        assert!(once >= Duration::from_millis(5), "{once:?}");
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(figures.snapshot().stages[Stage::Target as usize].busy, once);
    }

    #[test]
    fn the_bottleneck_is_the_stage_whose_threads_are_busiest() {
        let figures = Figures::new(Role::Send);
        figures.threads(Stage::Source, 1);
        figures.threads(Stage::Cpu, 4);
        figures.threads(Stage::Link, 1);
        let before = figures.snapshot_at(0);
        // Of ten seconds: the source 6, four workers 36 of 40, the link 4.
        for (stage, threads, until) in [(Stage::Source, 1, 6), (Stage::Cpu, 4, 9), (Stage::Link, 1, 4)] {
            for _ in 0..threads {
                figures.enter(stage, 0);
                figures.leave(stage, until * SECOND);
            }
        }
        let after = figures.snapshot_at(10 * SECOND);
        assert_eq!(after.bottleneck_since(&before), Some(Stage::Cpu));
        let idle = figures.snapshot_at(20 * SECOND);
        assert_eq!(idle.bottleneck_since(&after), None, "all are idle");
        assert_eq!(idle.bottleneck_since(&idle), None, "no time has passed");
    }
}
