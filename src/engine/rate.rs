//! Limiting how fast bytes are sent: `-r`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::stop::{Stop, Stopped};

/// How far a sender may be ahead of the rate: what an idle time may be made up for.
const BURST: Duration = Duration::from_millis(50);

/// A rate in bytes a second, over all links together, kept on average from the first byte on; idle time gives no
/// credit but [`BURST`].
pub struct Rate {
    bytes_per_second: u64,
    /// When what was sent so far should have been sent at the earliest.
    due: Mutex<Option<Instant>>,
}

impl Rate {
    /// `bytes_per_second` is more than 0.
    pub fn new(bytes_per_second: u64) -> Self {
        Rate { bytes_per_second: bytes_per_second.max(1), due: Mutex::default() }
    }

    /// How many bytes to send in one go, so that the rate holds within a twentieth of a second; 4 KiB to 1 MiB.
    pub fn step(&self) -> usize {
        (self.bytes_per_second / 20).clamp(4 << 10, 1 << 20) as usize
    }

    /// Waits until so many bytes may be sent.
    pub(super) fn wait(&self, bytes: usize, stop: &Stop) -> Result<(), Stopped> {
        let pause = self.pause(bytes, Instant::now());
        if pause.is_zero() { Ok(()) } else { stop.sleep(pause) }
    }

    fn pause(&self, bytes: usize, now: Instant) -> Duration {
        let mut next = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.unwrap_or(now).max(now.checked_sub(BURST).unwrap_or(now));
        *next = Some(due + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64));
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_on_average_and_idle_time_gives_no_credit() {
        let rate = Rate::new(1_000_000);
        let start = Instant::now();
        let mut now = start;
        for _ in 0..100 {
            now += rate.pause(100_000, now);
        }
        // The last 100,000 bytes leave at once when their time has come.
        assert!((now - start).abs_diff(Duration::from_millis(9_900)) < Duration::from_millis(1));
        now += Duration::from_secs(60);
        assert_eq!(rate.pause(100_000, now), Duration::ZERO);
        assert!(rate.pause(100_000, now) >= Duration::from_millis(49));
    }
}
