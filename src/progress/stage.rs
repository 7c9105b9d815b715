//! The stages of the way of a part, and the time that threads spend in them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The stages of the way of a part, for the time spent in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the source.
    Source,
    /// Zero check, digest, compression; or decompression and digest.
    Cpu,
    /// Writing frames to the links, or reading them.
    Link,
    /// Writing the target.
    Target,
}

impl Stage {
    /// All stages, in the order of the data.
    pub const ALL: [Stage; 4] = [Stage::Source, Stage::Cpu, Stage::Link, Stage::Target];

    /// The name that the admin sees.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Source => "source",
            Stage::Cpu => "cpu",
            Stage::Link => "link",
            Stage::Target => "target",
        }
    }
}

/// Time spent in one stage. A visit that has not ended counts up to the moment of the snapshot: the thread that has
/// been stuck in a write for a minute is the one worth telling about. That takes several values that agree with each
/// other, hence a lock, taken twice a part and by nobody for long.
#[derive(Debug, Default)]
pub(super) struct StageTime(Mutex<Visits>);

#[derive(Debug, Default)]
struct Visits {
    threads: u32,
    /// Visits that have not ended.
    inside: u64,
    /// Sum of the moments at which visits began, in nanoseconds since the start.
    entered: u128,
    /// Sum of the moments at which visits ended.
    left: u128,
}

impl StageTime {
    pub fn set_threads(&self, threads: u32) {
        self.lock().threads = threads;
    }

    /// A thread enters the stage, at so many nanoseconds since the start.
    pub fn enter(&self, now: u64) {
        let mut visits = self.lock();
        visits.inside += 1;
        visits.entered += u128::from(now);
    }

    /// A thread leaves the stage.
    pub fn leave(&self, now: u64) {
        let mut visits = self.lock();
        visits.inside = visits.inside.saturating_sub(1);
        visits.left += u128::from(now);
    }

    fn lock(&self) -> MutexGuard<'_, Visits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn load(&self, now: u64) -> StageFigures {
        let visits = self.lock();
        let until_now = visits.left + u128::from(visits.inside) * u128::from(now);
        // A visit may have begun between the reading of the clock and the taking of the lock: saturate.
        let busy = until_now.saturating_sub(visits.entered);
        StageFigures {
            threads: visits.threads,
            busy: Duration::from_nanos(u64::try_from(busy).unwrap_or(u64::MAX)),
        }
    }
}

/// Time spent in one stage, as of a [`Snapshot`](super::Snapshot).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageFigures {
    /// Threads that serve the stage.
    pub threads: u32,
    /// Time they spent in it so far, summed over the threads.
    pub busy: Duration,
}
