//! Keeping to a rate: bytes are charged exactly, and what was not used is not saved up.
//!
//! One [`Pace`] belongs to one thread. Before each read or write it asks how many bytes it may move at once and
//! waits until they are due; afterwards it charges what was moved.

use std::time::{Duration, Instant};

/// How long a thread may have been late and still catch up: longer than a time slice, shorter than anybody notices.
const CATCH_UP: Duration = Duration::from_millis(100);
/// Moved at once: so much time's worth of bytes.
const STEP: Duration = Duration::from_millis(10);

/// A rate in bytes a second, kept over time; the first bytes are due at once.
#[derive(Debug, Default)]
pub struct Pace {
    due: Option<Instant>,
}

impl Pace {
    /// How many bytes to move at once at this rate, of at most `most`.
    pub fn step(rate: u64, most: usize) -> usize {
        let bytes = (rate as f64 * STEP.as_secs_f64()) as usize;
        bytes.clamp(512, most.max(512)).min(most)
    }

    /// Sleeps until the next bytes are due.
    pub fn wait(&mut self) {
        if let Some(wait) = self.due.and_then(|due| due.checked_duration_since(Instant::now())) {
            std::thread::sleep(wait);
        }
    }

    /// `bytes` were moved: the next are due when these have had their time.
    pub fn charge(&mut self, bytes: usize, rate: u64) {
        self.charge_at(bytes, rate, Instant::now());
    }

    fn charge_at(&mut self, bytes: usize, rate: u64, now: Instant) {
        // Who slept too long may catch up a little; who had nothing to move for a while may not.
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let from = self.due.map_or(now, |due| due.max(earliest));
        self.due = Some(from + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_charged_exactly() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.charge_at(1000, 10_000, start);
        }
        assert_eq!(pace.due, Some(start + Duration::from_secs(10)));
    }

    #[test]
    fn idle_time_is_no_credit() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.charge_at(1000, 10_000, start);
        let later = start + Duration::from_secs(60);
        pace.charge_at(1000, 10_000, later);
        assert_eq!(pace.due, Some(later - CATCH_UP + Duration::from_millis(100)));
    }

    #[test]
    fn steps_are_small_at_low_rates_and_never_zero() {
        assert_eq!(Pace::step(400 << 10, 128 << 10), 4096);
        assert_eq!(Pace::step(1, 128 << 10), 512);
        assert_eq!(Pace::step(1 << 40, 4096), 4096);
        assert_eq!(Pace::step(1 << 20, 100), 100);
    }
}
