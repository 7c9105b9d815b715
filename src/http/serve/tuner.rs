//! How hard a transfer's batches are compressed: fixed, or by what is the slowest, as `send` chooses it.
//!
//! A body tells how long it waited for the workers to make its next piece, and how long the socket took the last one;
//! the workers tell how long they read, and how long they digested and compressed. Where the sockets are what waits, a
//! higher level makes fewer bytes of the same parts; where the workers' processors are, a lower one makes them sooner.
//! Whether a step was right is measured by the rate of the volume's bytes: that is [`Adapt`]'s. All connections of a
//! transfer share one tuner, as they share the client and the way to it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{Adapt, Compress};
use crate::progress::{Figures, Role, Snapshot, Stage};

/// The highest level that is tried: its state is some 3 MiB a worker.
const HIGHEST: i32 = 6;
/// What was told is looked at that often.
const LOOK: Duration = Duration::from_millis(100);

/// Chooses the level of one transfer.
pub struct Tuner {
    fixed: Option<Option<i32>>,
    began: Instant,
    told: Mutex<Told>,
}

struct Told {
    adapt: Adapt,
    /// As of the last look; busy times are shares of the time that has passed, as of one thread.
    figures: Snapshot,
    /// Since the last look.
    since: Since,
}

#[derive(Default)]
struct Since {
    socket: Duration,
    workers: Duration,
    reading: Duration,
    working: Duration,
}

impl Tuner {
    /// For what the user wants.
    pub fn new(compress: Compress) -> Self {
        let fixed = match compress {
            Compress::Auto => None,
            Compress::None => Some(None),
            Compress::Zstd(level) => Some(Some(level)),
        };
        let mut figures = Figures::new(Role::Send).snapshot();
        figures.stages.iter_mut().for_each(|stage| stage.threads = 1);
        let told = Told { adapt: Adapt::new(figures.clone(), HIGHEST), figures, since: Since::default() };
        Tuner { fixed, began: Instant::now(), told: Mutex::new(told) }
    }

    /// The level to use now.
    pub fn level(&self) -> Option<i32> {
        self.fixed.unwrap_or_else(|| self.lock().adapt.level())
    }

    /// A body waited so long for a piece.
    pub fn waited(&self, time: Duration) {
        self.lock().since.workers += time;
    }

    /// The socket took so long for a piece.
    pub fn sent(&self, time: Duration) {
        self.lock().since.socket += time;
    }

    /// A worker has made a piece of so many bytes of the volume.
    pub fn made(&self, bytes: u64, reading: Duration, working: Duration) {
        let elapsed = self.began.elapsed();
        let mut told = self.lock();
        told.since.reading += reading;
        told.since.working += working;
        told.figures.read += bytes;
        told.figures.parts += 1;
        told.look(elapsed);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Adds up what was told since the last look, if that is long enough ago, and shows it to the ladder.
    fn look(&mut self, elapsed: Duration) {
        let time = elapsed.saturating_sub(self.figures.elapsed);
        if time < LOOK {
            return;
        }
        let Since { socket, workers, reading, working } = std::mem::take(&mut self.since);
        // Who waits for a worker that waits for the disk gains nothing by another level.
        let for_workers = share(workers, socket);
        let (cpu, source) = (for_workers * share(working, reading), for_workers * share(reading, working));
        for (stage, share) in [(Stage::Link, share(socket, workers)), (Stage::Cpu, cpu), (Stage::Source, source)] {
            self.figures.stages[stage as usize].busy += time.mul_f64(share);
        }
        self.figures.elapsed = elapsed;
        self.adapt.observe(self.figures.clone());
    }
}

/// What part of both the first one is; 0 where both are nothing.
fn share(one: Duration, other: Duration) -> f64 {
    let both = (one + other).as_secs_f64();
    if both > 0.0 { one.as_secs_f64() / both } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level after `seconds` in which somebody waited for these shares of the time.
    fn level_after(seconds: u32, socket: u32, workers: u32, reading: u32) -> Option<i32> {
        let tuner = Tuner::new(Compress::Auto);
        for tick in 1..=seconds * 10 {
            tuner.sent(Duration::from_millis(socket.into()));
            tuner.waited(Duration::from_millis(workers.into()));
            let mut told = tuner.lock();
            told.since.reading += Duration::from_millis(reading.into());
            told.since.working += Duration::from_millis((100 - reading).into());
            told.figures.read += 10 << 20;
            told.figures.parts += 10;
            told.look(LOOK * tick);
        }
        tuner.level()
    }

    #[test]
    fn the_slowest_decides() {
        assert_eq!(level_after(60, 100, 0, 10), Some(HIGHEST), "a slow network");
        assert_eq!(level_after(60, 0, 100, 10), None, "slow processors");
        let begin = Tuner::new(Compress::Auto).level();
        assert_eq!(level_after(60, 0, 100, 90), begin, "a slow disk");
        assert_eq!(level_after(60, 50, 50, 10), begin, "both alike");
    }

    #[test]
    fn what_the_user_says_is_kept() {
        for (compress, level) in [(Compress::None, None), (Compress::Zstd(19), Some(19))] {
            assert_eq!(Tuner::new(compress).level(), level);
        }
    }
}
