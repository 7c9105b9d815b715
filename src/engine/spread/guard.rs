//! A link that nothing comes over is given up: a thread looks at it a few times a second and hangs up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::link::HangUp;
use crate::stop::Stop;

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long a run that has ended waits for the last words to be said.
const GRACE: Duration = Duration::from_secs(1);

/// A link under guard.
pub(super) struct Guarded {
    hang_up: HangUp,
    times: Mutex<Times>,
    /// Bytes written to it.
    sent: AtomicU64,
    stalled: AtomicBool,
    /// Whether something has been answered on it.
    helped: AtomicBool,
}

struct Times {
    /// When the receiver was last heard on it.
    heard: Instant,
    /// Since when the receiver has been waiting for more although there is more on its way, and what it had then.
    starving: Option<(Instant, u64)>,
}

impl Guarded {
    pub(super) fn new(hang_up: HangUp) -> Self {
        let times = Mutex::new(Times { heard: Instant::now(), starving: None });
        Guarded {
            hang_up,
            times,
            sent: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            helped: AtomicBool::new(false),
        }
    }

    /// Runs `work`, and hangs up meanwhile when the link stalls for `patience`, or a moment after the run has ended.
    pub(super) fn watch<T>(&self, patience: Duration, stop: &Stop, work: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            let (working, done) = bounded::<()>(0);
            scope.spawn(move || {
                let mut ended: Option<Instant> = None;
                while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(TICK.min(patience / 4)) {
                    if stop.is_set() {
                        let ended = ended.get_or_insert_with(Instant::now);
                        if ended.elapsed() > GRACE {
                            return self.hang_up.hang_up();
                        }
                    } else if self.is_quiet(patience) {
                        self.stalled.store(true, Ordering::SeqCst);
                        return self.hang_up.hang_up();
                    }
                }
            });
            let result = work();
            drop(working);
            result
        })
    }

    /// Something came.
    pub(super) fn heard(&self) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).heard = Instant::now();
    }

    /// The receiver has got so many bytes over the link and waits for more, or does not.
    pub(super) fn heard_of(&self, received: u64, hungry: bool) {
        let on_its_way = self.sent.load(Ordering::SeqCst) > received;
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.starving = match times.starving {
            _ if !hungry || !on_its_way => None,
            Some(since) if since.1 == received => Some(since),
            _ => Some((Instant::now(), received)),
        };
    }

    /// So many bytes are being written: before the call that may block.
    pub(super) fn sending(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// Something was answered on it.
    pub(super) fn helped(&self) {
        self.helped.store(true, Ordering::SeqCst);
    }

    /// Whether something was ever answered on it.
    pub(super) fn has_helped(&self) -> bool {
        self.helped.load(Ordering::SeqCst)
    }

    /// Whether it was given up.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::SeqCst)
    }

    fn is_quiet(&self, patience: Duration) -> bool {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.heard.elapsed() > patience || times.starving.is_some_and(|(since, _)| since.elapsed() > patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::Sender;

    fn guarded() -> (Guarded, crossbeam_channel::Receiver<()>) {
        let (tell, hung_up): (Sender<()>, _) = bounded(1);
        (Guarded::new(HangUp::new(move || _ = tell.try_send(()))), hung_up)
    }

    const PATIENCE: Duration = Duration::from_millis(80);

    #[test]
    fn silence_is_a_stall() {
        let (link, hung_up) = guarded();
        link.watch(PATIENCE, &Stop::new(), || hung_up.recv_timeout(Duration::from_secs(20))).expect("hung up");
        assert!(link.is_stalled());
    }

    #[test]
    fn a_receiver_that_starves_is_a_stall_and_one_that_is_busy_is_not() {
        for (hungry, stalled) in [(true, true), (false, false)] {
            let (link, hung_up) = guarded();
            link.sending(1000);
            let gone = link.watch(PATIENCE, &Stop::new(), || {
                (0..20).any(|_| {
                    link.heard();
                    link.heard_of(10, hungry);
                    hung_up.recv_timeout(PATIENCE / 8).is_ok()
                })
            });
            assert_eq!((gone, link.is_stalled()), (stalled, stalled));
        }
    }
}
