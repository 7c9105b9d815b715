//! How a run ends early: the first failure, or a signal, reaches every thread.
//!
//! A [`Stop`] is shared by all threads of a run. The first [`Stop::fail`] is kept as the run's error; from then on
//! [`Stop::send`] and [`Stop::recv`] return [`Stopped`] instead of blocking, so that no thread waits on a stage
//! that has ended. Long loops ask [`Stop::check`].
//!
//! A piece of a run that can end by itself, as the work on one of several receivers, has a [`Stop::child`]: it ends
//! with the run, and the run goes on without it.

mod interruptible;

pub use interruptible::Interruptible;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};

use crate::error::{Error, Result};

/// The run is over; the reason is with the [`Stop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Shared knowledge of whether the run goes on.
#[derive(Clone)]
pub struct Stop {
    shared: Arc<Shared>,
}

struct Shared {
    set: AtomicBool,
    error: Mutex<Option<Error>>,
    // Dropped on the first failure: that disconnects `ended`, which wakes everybody who selects on it.
    alive: Mutex<Option<Sender<()>>>,
    ended: Receiver<()>,
    /// Those who end when this does.
    children: Mutex<Vec<Weak<Shared>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A run that goes on.
    pub fn new() -> Self {
        let (alive, ended) = crossbeam_channel::bounded(0);
        Stop {
            shared: Arc::new(Shared {
                set: AtomicBool::new(false),
                error: Mutex::new(None),
                alive: Mutex::new(Some(alive)),
                ended,
                children: Mutex::default(),
            }),
        }
    }

    /// A stop for a piece of this run: it is set when this one is, with the same error, and by itself.
    #[must_use]
    pub fn child(&self) -> Stop {
        let child = Stop::new();
        let mut children = lock(&self.shared.children);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child.shared));
        drop(children);
        // Set in between, it may have missed the new child.
        if let Some(error) = lock(&self.shared.error).clone() {
            child.fail(error);
        }
        child
    }

    /// Ends the run with this error. Only the first one is kept: later ones are its consequences.
    pub fn fail(&self, error: Error) {
        self.shared.fail(error);
    }

    /// Whether the run has been ended.
    pub fn is_set(&self) -> bool {
        self.shared.set.load(Ordering::Relaxed)
    }

    /// The error that ended the run, if one did. For loops that take long without touching a channel.
    pub fn check(&self) -> Result<()> {
        if !self.is_set() {
            return Ok(());
        }
        match lock(&self.shared.error).clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Sends, or returns when the run ends. A receiver that is gone means the same.
    pub fn send<T>(&self, to: &Sender<T>, value: T) -> std::result::Result<(), Stopped> {
        select! {
            send(to, value) -> sent => sent.map_err(|_| Stopped),
            recv(self.shared.ended) -> _ => Err(Stopped),
        }
    }

    /// Receives; `Ok(None)` when all senders are gone, `Err` when the run ends.
    pub fn recv<T>(&self, from: &Receiver<T>) -> std::result::Result<Option<T>, Stopped> {
        select! {
            recv(from) -> value => Ok(value.ok()),
            recv(self.shared.ended) -> _ => Err(Stopped),
        }
    }

    /// A channel that is disconnected once the run has ended: for a `select!` over several others.
    pub fn ended(&self) -> &Receiver<()> {
        &self.shared.ended
    }

    /// Sleeps for `time`, or until the run ends.
    pub fn sleep(&self, time: Duration) -> std::result::Result<(), Stopped> {
        match self.shared.ended.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }
}

impl Shared {
    fn fail(&self, error: Error) {
        let first = lock(&self.error).get_or_insert(error).clone();
        self.set.store(true, Ordering::SeqCst);
        lock(&self.alive).take();
        let children: Vec<_> = lock(&self.children).iter().filter_map(Weak::upgrade).collect();
        children.iter().for_each(|child| child.fail(first.clone()));
    }
}

/// Locks even where another thread panicked while holding the lock: the values here are whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    #[test]
    fn the_first_failure_is_the_one_that_is_kept() {
        let stop = Stop::new();
        assert!(stop.check().is_ok());
        stop.fail(Error::signal(2));
        stop.fail(Error::signal(15));
        assert_eq!(stop.check(), Err(Error::signal(2)));
    }

    #[test]
    fn a_failure_wakes_those_who_wait() {
        let stop = Stop::new();
        let (to, from) = bounded::<u8>(0);
        let waiting = {
            let stop = stop.clone();
            std::thread::spawn(move || stop.recv(&from))
        };
        stop.fail(Error::signal(2));
        assert_eq!(waiting.join().expect("no panic"), Err(Stopped));
        assert_eq!(stop.send(&to, 1), Err(Stopped));
    }

    #[test]
    fn a_child_ends_with_its_parent_and_not_the_other_way_round() {
        let run = Stop::new();
        let (one, other) = (run.child(), run.child());
        one.fail(Error::signal(1));
        assert!(run.check().is_ok() && other.check().is_ok());
        run.fail(Error::signal(2));
        assert_eq!(one.check(), Err(Error::signal(1)));
        assert_eq!(other.check(), Err(Error::signal(2)));
        assert_eq!(run.child().check(), Err(Error::signal(2)), "one that comes late");
    }

    #[test]
    fn a_channel_without_senders_ends_without_an_error() {
        let stop = Stop::new();
        let (to, from) = bounded::<u8>(1);
        drop(to);
        assert_eq!(stop.recv(&from), Ok(None));
    }
}
