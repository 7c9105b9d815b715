//! The watchdog of `-W`: every so many seconds, did both sides move?
//!
//! A thread of its own, from the option's place on the command line to the end of the process. Until the run begins
//! it watches over a connection that is waited for; a bark then is the end by SIGINT, as with mbuffer. During the run
//! it counts bytes, so a slow stream is no stalled one, lets a machine that changes volumes have its `-a`, and tells the main thread, which ends the run with status 1.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use nix::sys::signal::{Signal, raise};

use super::counters::Counters;
use super::log::Log;
use super::ring::Ring;

/// A watchdog whose clock runs.
pub struct Watchdog {
    watched: Arc<Mutex<Option<Watched>>>,
}

/// The run it watches over.
struct Watched {
    counters: Arc<Counters>,
    ring: Arc<Ring>,
    bark: Sender<()>,
}

impl Watchdog {
    /// Starts the clock: it is looked at every `seconds`.
    pub fn start(seconds: u64, log: Arc<Log>) -> std::io::Result<Self> {
        let watched = Arc::new(Mutex::new(None));
        let dog = watched.clone();
        thread::Builder::new().name("watchdog".into()).spawn(move || watch(seconds, &dog, &log))?;
        Ok(Watchdog { watched })
    }

    /// The run has begun; a bark is sent there.
    pub fn attach(&self, counters: Arc<Counters>, ring: Arc<Ring>, bark: Sender<()>) {
        let watched = Watched { counters, ring, bark };
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }
}

fn watch(seconds: u64, watched: &Mutex<Option<Watched>>, log: &Log) {
    let mut before = (0, 0, 0);
    loop {
        thread::sleep(Duration::from_secs(seconds));
        let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(run) = &*watched else {
            log.error("watchdog timeout: input stalled; sending SIGINT");
            // Nothing is open yet that needs care; a raise that fails leaves the dog barking.
            let _ = raise(Signal::SIGINT);
            continue;
        };
        let counters = &run.counters;
        let rests = counters.rests.load(Ordering::Relaxed);
        let now = (counters.read.load(Ordering::Relaxed), counters.all_written(), rests);
        let rested = has_rested(before.2, rests);
        let stalled = if rested { [None; 2] } else { judge(now.0 != before.0, now.1 != before.1, run) };
        before = now;
        for side in stalled.iter().flatten() {
            log.error(&format!("watchdog timeout: {side} stalled; sending SIGINT"));
        }
        if stalled.iter().any(Option::is_some) && run.bark.send(()).is_err() {
            return;
        }
    }
}

/// Whether some of the time between two looks at [`Counters::rests`] was a rest.
fn has_rested(before: u64, now: u64) -> bool {
    now != before || !now.is_multiple_of(2)
}

/// Which sides stand still without the other, or an option, being the reason.
fn judge(read: bool, wrote: bool, run: &Watched) -> [Option<&'static str>; 2] {
    let fill = run.ring.fill();
    let read_done = run.counters.read_done.load(Ordering::Relaxed);
    let waits_for_output = fill.reader_waits && wrote;
    let waits_for_input = fill.outputs_wait && read;
    let input = (!read && !read_done && !waits_for_output).then_some("input");
    let output = (!wrote && !waits_for_input).then_some("output");
    [input, output]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_counts_from_its_beginning_to_the_first_look_after_its_end() {
        for (before, now, rested) in
            [(0, 0, false), (0, 1, true), (1, 1, true), (1, 2, true), (0, 2, true), (2, 2, false)]
        {
            assert_eq!(has_rested(before, now), rested, "{before} {now}");
        }
    }
}
