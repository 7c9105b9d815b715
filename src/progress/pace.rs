//! How fast it goes, how long it takes, and what it waits for: computed from the snapshots of the last half minute.
//!
//! Rates are means over the last seconds, so that they follow a change; the time left is computed from the mean over
//! a longer window, so that it does not jump. No window holds more than one snapshot a second.

use std::collections::VecDeque;
use std::time::Duration;

use super::figures::Snapshot;
use super::stage::Stage;

/// Rates and the bottleneck are those of this window.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// The time left is computed from the mean of this window.
const LEFT_WINDOW: Duration = Duration::from_secs(30);
/// Distance of the snapshots that are kept.
const SPACING: Duration = Duration::from_secs(1);
/// A mean over less than this says nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// A snapshot and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub now: Snapshot,
    /// Bytes a second read from the source, or decoded.
    pub read_rate: u64,
    /// Bytes a second sent, or received.
    pub wire_rate: u64,
    /// Bytes read for each byte on the wire.
    pub ratio: Option<f64>,
    /// Time until all used bytes are done.
    pub left: Option<Duration>,
    pub bottleneck: Option<Stage>,
}

/// The snapshots of the last half minute.
#[derive(Debug)]
pub(super) struct Pace {
    first: Snapshot,
    recent: VecDeque<Snapshot>,
}

impl Pace {
    /// Starts with the snapshot taken at the start of the run.
    pub fn new(first: Snapshot) -> Self {
        Pace { recent: VecDeque::from([first.clone()]), first }
    }

    /// The state as of `now`, which is remembered if the last one is old enough.
    pub fn state(&mut self, now: Snapshot) -> State {
        let is_due = self.recent.back().is_none_or(|last| now.elapsed >= last.elapsed + SPACING);
        if is_due {
            self.recent.push_back(now.clone());
        }
        // One snapshot at or before the beginning of the window stays, to measure from.
        while self.recent.get(1).is_some_and(|next| next.elapsed + LEFT_WINDOW <= now.elapsed) {
            self.recent.pop_front();
        }
        let left = remaining(self.before(&now, LEFT_WINDOW), &now);
        state_since(self.before(&now, RATE_WINDOW), now, left)
    }

    /// The state at the end: means over the whole run, nothing left.
    pub fn last(&self, now: Snapshot) -> State {
        state_since(&self.first, now, Some(Duration::ZERO))
    }

    /// The youngest snapshot that is at least `window` old, or else the oldest.
    fn before(&self, now: &Snapshot, window: Duration) -> &Snapshot {
        let old_enough = |kept: &&Snapshot| kept.elapsed + window <= now.elapsed;
        self.recent.iter().rev().find(old_enough).or(self.recent.front()).unwrap_or(&self.first)
    }
}

fn state_since(then: &Snapshot, now: Snapshot, left: Option<Duration>) -> State {
    let time = now.elapsed.saturating_sub(then.elapsed);
    let left = match now.used {
        Some(used) if now.done >= used => Some(Duration::ZERO),
        Some(_) => left,
        None => None,
    };
    State {
        read_rate: rate(then.read, now.read, time).unwrap_or(0.0).round() as u64,
        wire_rate: rate(then.wire, now.wire, time).unwrap_or(0.0).round() as u64,
        ratio: ratio(now.read, now.wire),
        left,
        bottleneck: now.bottleneck_since(then),
        now,
    }
}

/// Time until `used` is done, at the speed since `then`. Unknown while nothing moves.
fn remaining(then: &Snapshot, now: &Snapshot) -> Option<Duration> {
    let per_second = rate(then.done, now.done, now.elapsed.saturating_sub(then.elapsed))?;
    let to_do = now.used?.saturating_sub(now.done);
    Duration::try_from_secs_f64(to_do as f64 / per_second).ok()
}

/// Bytes a second; `None` when too little time has passed, or nothing has moved.
fn rate(then: u64, now: u64, time: Duration) -> Option<f64> {
    let bytes = now.saturating_sub(then);
    (time >= SHORTEST && bytes > 0).then(|| bytes as f64 / time.as_secs_f64())
}

/// Bytes read for each byte on the wire; `None` while one of them is none.
pub(super) fn ratio(read: u64, wire: u64) -> Option<f64> {
    (read > 0 && wire > 0).then(|| read as f64 / wire as f64)
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Figures, Role};
    use super::*;

    fn at(seconds: f64, done: u64, used: Option<u64>) -> Snapshot {
        let mut snapshot = Figures::new(Role::Send).snapshot();
        snapshot.elapsed = Duration::from_secs_f64(seconds);
        (snapshot.read, snapshot.wire, snapshot.done, snapshot.used) = (done, done / 2, done, used);
        snapshot
    }

    #[test]
    fn a_steady_transfer_has_a_steady_rate_and_end() {
        let mut pace = Pace::new(at(0.0, 0, None));
        for tick in 1..=500u64 {
            let seconds = tick as f64 * 0.2;
            let state = pace.state(at(seconds, tick * 200, Some(200_000)));
            assert_eq!((state.read_rate, state.wire_rate), (1000, 500), "at {seconds} s");
            assert_eq!(state.ratio, Some(2.0));
            let left = state.left.expect("known").as_secs_f64();
            assert!((left - (200.0 - seconds)).abs() < 0.01, "{left} s left at {seconds} s");
        }
        assert!(pace.recent.len() <= 32, "{} snapshots kept", pace.recent.len());
    }

    #[test]
    fn a_change_shows_in_the_rate_at_once_and_in_the_end_slowly() {
        let mut pace = Pace::new(at(0.0, 0, None));
        for second in 1..=60u32 {
            pace.state(at(f64::from(second), u64::from(second) * 1000, Some(1_000_000)));
        }
        let mut state = None;
        for second in 61..=66u32 {
            state = Some(pace.state(at(f64::from(second), 60_000, Some(1_000_000))));
        }
        let state = state.expect("six of them");
        assert_eq!(state.read_rate, 0);
        // 24 of the last 30 seconds moved 1000 bytes each.
        assert_eq!(state.left.map(|left| left.as_secs()), Some(940_000 / 800));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let mut pace = Pace::new(at(0.0, 0, None));
        let early = pace.state(at(0.01, 5, Some(100)));
        assert_eq!((early.read_rate, early.left), (0, None), "too early to tell");
        assert_eq!(pace.state(at(3.0, 5, None)).left, None, "used bytes unknown");
        assert_eq!(pace.state(at(3.0, 0, Some(100))).left, None, "nothing moves");
        assert_eq!(pace.state(at(3.0, 0, Some(100))).ratio, None, "nothing on the wire");
        assert_eq!(pace.state(at(3.0, 0, Some(0))).left, Some(Duration::ZERO), "nothing to do");
        assert_eq!(pace.state(at(3.0, 120, Some(100))).left, Some(Duration::ZERO), "more than was promised");
        assert_eq!(pace.state(at(9e9, 1, Some(u64::MAX - 1))).left.map(|left| left.as_secs() > 0), None);
    }

    #[test]
    fn the_last_state_is_the_mean_of_the_run() {
        let mut pace = Pace::new(at(0.0, 0, Some(4000)));
        pace.state(at(1.0, 3000, Some(4000)));
        let last = pace.last(at(10.0, 4000, Some(4000)));
        assert_eq!((last.read_rate, last.left), (400, Some(Duration::ZERO)));
    }
}
