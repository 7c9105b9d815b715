//! Receiving over links that come and go, and that carry answers back.
//!
//! In: the link that opened the target, and all that arrive later, each authenticated and with its prelude read.
//! Out: a target that is verified, finished and on stable storage, said so to the sender; or else the sender told
//! why not.
//!
//! Each link has two threads ([connection]): one reads frames into the [intake](super::intake), one writes what the
//! link has to answer. The calling thread keeps them together: it takes links in and drops those that are silent
//! ([roster]), compares the totals when the end frame comes, and has the last word ([session]). Links that do not
//! belong here are told so ([refusal]).
//!
//! Memory: the buffers of the workshop, the ledger's entries, bounded by the window, and for each link the answers it
//! has not given, bounded too; links are at most 64. A target that wants its parts in order is given them so; that
//! this cannot deadlock is argued in the [engine's page](super#no-deadlock).
//!
//! What ends a link ends only that link: silence, an end of file, a damaged header. The transfer goes on over the
//! others, and without any waits for new ones. What ends the transfer: the target, the sender that gives up or says
//! what it cannot mean, no link for too long, and what the run's [`Stop`](crate::stop::Stop) is set to.

mod connection;
mod refusal;
mod roster;
mod session;

#[cfg(test)]
pub(in crate::engine) mod tests;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::recv::Receiving;
use super::tally::Received;
use crate::error::Result;
use crate::link::Link;
use crate::volume::Target;
use crate::wire::{Answer, Prelude};

pub use refusal::refuse;

/// How a transfer over several links is received.
pub struct Collecting {
    /// As for any stream; the prelude is the first link's.
    pub receiving: Receiving,
    /// Random, of this run.
    pub incarnation: [u8; 16],
    /// How long a link may be silent before it is dropped; zero: for ever. A quarter of it is how often the sender
    /// is given a sign of life, but no less often than every second.
    pub stall: Duration,
    /// How long to wait for a link when there is none, unless none can come.
    pub retry_for: Duration,
    /// Says what the user should know while the transfer goes on, as that a link was lost.
    pub notice: Box<dyn Fn(&str)>,
}

/// Receives a transfer that `first` has begun, over it and those `links` that belong to it, into `target`; returns
/// when the target is finished and the sender knows, or cannot be told. `links` being disconnected means that no more
/// will come.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`](crate::stop::Stop) was set to; the sender has been
/// told, so far as it listens. The target is not finished then, with one exception: the run was ended while the
/// target was being put on stable storage.
pub fn collect(
    first: Link,
    links: Receiver<(Link, Prelude)>,
    target: Arc<dyn Target>,
    collecting: Collecting,
) -> Result<Received> {
    let mut first = first;
    match with_signs_of_life(&mut first, || session::Session::open(target, collecting)) {
        Ok(session) => session.run(first, links),
        Err(error) => {
            refuse(first, error.status(), &error.to_string());
            Err(error)
        }
    }
}

/// How often a sender is told that its welcome is being prepared: its patience may be a few seconds.
const SIGN_EVERY: Duration = Duration::from_millis(500);

/// Runs `work`, and tells the link every now and then that it is being looked after: to discard a large target takes
/// longer than a sender waits for nothing. A link that breaks meanwhile is noticed later.
fn with_signs_of_life<T>(link: &mut Link, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (working, done) = bounded::<()>(0);
        let writer = &mut link.writer;
        let sign = Answer::Alive { received: 0, hungry: false }.encode();
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(SIGN_EVERY) {
                if writer.write_all(&sign).and_then(|()| writer.flush()).is_err() {
                    return;
                }
            }
        });
        let result = work();
        drop(working);
        result
    })
}
