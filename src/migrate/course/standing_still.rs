//! What is done while the source's user stands still, and for how long it may.
//!
//! In: the guard of the pause, and the last round. Out: both, or why there is no switch; then the source goes on. It does
//! so from the moment on at which the run is ended, by a signal or by the clock, and not only when what was being done
//! comes back: an LVM command that waits for another's lock cannot be broken off. On the caller's thread, with one more
//! that looks at the time and one for the unpausing.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

use crate::error::{Error, Result};
use crate::migrate::Paused;
use crate::stop::Stop;

/// How long what is done may take to see that the run has ended, before its end is not waited for: it may tell more of
/// what happened.
const MOMENT: Duration = Duration::from_millis(300);

/// Ends a piece of the run when the source's user has stood still for too long. Dropped, it does not any more.
pub(super) struct Deadline {
    /// That piece.
    pub(super) stop: Stop,
    _until_dropped: Sender<()>,
}

impl Deadline {
    /// `most` from now on, if there is a limit. `name` is the source's.
    ///
    /// # Errors
    /// When there cannot be a thread that looks at the clock.
    pub(super) fn from_now(run: &Stop, most: Option<Duration>, name: &str) -> Result<Self> {
        let stop = run.child();
        let (alive, dropped) = bounded::<()>(0);
        if let Some((most, end)) = most.and_then(|most| Some((most, Instant::now().checked_add(most)?))) {
            let (stop, why) = (stop.clone(), too_long(name, most));
            let wait = move || {
                if let Err(RecvTimeoutError::Timeout) = dropped.recv_deadline(end) {
                    stop.fail(why);
                }
            };
            let started = thread::Builder::new().name("deadline".into()).spawn(wait);
            started.map_err(|why| Error::io("cannot start thread", "deadline", &why))?;
        }
        Ok(Deadline { stop, _until_dropped: alive })
    }
}

fn too_long(name: &str, most: Duration) -> Error {
    let why = format!("the last of it was not there {} s after the pause had begun", most.as_secs_f64());
    Error::guard("not migrated", name, why).way_out("--max-downtime allows more; or let it be written less")
}

/// Does something while the source's user stands still.
///
/// # Errors
/// What failed, or what ended the run. The source goes on by then, or the error says that it does not.
pub(super) fn while_paused<T>(
    paused: Paused,
    stop: &Stop,
    work: impl FnOnce() -> Result<T>,
) -> Result<(Paused, T)> {
    thread::scope(|scope| {
        let (working, done) = bounded::<()>(0);
        let guarding = scope.spawn(move || guard(paused, stop, &done));
        let result = work();
        drop(working);
        let paused = guarding.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        match result {
            Ok(done) => Ok((paused, done)),
            Err(error) => Err(paused.undo(error)),
        }
    })
}

/// Until what is done is over. Undoes the pause where it should be by now and is not.
fn guard(paused: Paused, stop: &Stop, done: &Receiver<()>) -> Result<Paused> {
    select! {
        recv(done) -> _ => return Ok(paused),
        recv(stop.ended()) -> _ => {}
    }
    match (done.recv_timeout(MOMENT), stop.check()) {
        (Err(RecvTimeoutError::Timeout), Err(error)) => Err(paused.undo(error)),
        _ => Ok(paused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::{About, Pause};

    /// The guard of a pause, and what tells whether it has been undone.
    fn paused(stop: &Stop) -> (tempfile::TempDir, impl Fn() -> bool + use<>, Paused) {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let mark = scratch.path().join("unpaused");
        let about = About { source: "vg/vm1".into(), target: "vg/vm1".into(), host: "host".into() };
        let pause = Pause { command: "true".into(), undo: Some(format!("touch {}", mark.display())), about };
        let paused = pause.begin(stop).expect("paused");
        (scratch, move || mark.exists(), paused)
    }

    #[test]
    fn what_takes_too_long_is_not_waited_for_before_the_source_goes_on() {
        let run = Stop::new();
        let deadline = Deadline::from_now(&run, Some(Duration::from_millis(300)), "vg/vm1").expect("a thread");
        let (_scratch, is_undone, paused) = paused(&deadline.stop);
        // It does not see that the run has ended, and comes to a good end.
        let slow = || {
            thread::sleep(Duration::from_millis(200));
            assert!(!is_undone());
            thread::sleep(Duration::from_millis(1500));
            assert!(is_undone(), "it waits for what is done");
            Ok(())
        };
        let error = while_paused(paused, &deadline.stop, slow).expect_err("too long");
        assert_eq!(error.why(), "the last of it was not there 0.3 s after the pause had begun");
        assert!(run.check().is_ok(), "what is to be tidied up is");
    }

    #[test]
    fn a_pause_command_that_does_not_end_is_ended_by_the_clock() {
        let deadline =
            Deadline::from_now(&Stop::new(), Some(Duration::from_millis(200)), "vg/vm1").expect("a thread");
        let about = About { source: "vg/vm1".into(), target: "vg/vm1".into(), host: "host".into() };
        let pause = Pause { command: "sleep 60".into(), undo: Some("true".into()), about };
        let begun = Instant::now();
        let error = pause.begin(&deadline.stop).expect_err("too long");
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(error.why(), "the last of it was not there 0.2 s after the pause had begun");
    }

    #[test]
    fn what_is_there_in_time_is_switched_to_and_what_fails_is_not() {
        let run = Stop::new();
        let deadline = Deadline::from_now(&run, Some(Duration::from_millis(300)), "vg/vm1").expect("a thread");
        let (_scratch, is_undone, guard) = paused(&deadline.stop);
        let (guard, seven) = while_paused(guard, &deadline.stop, || Ok(7)).expect("in time");
        drop(deadline);
        thread::sleep(Duration::from_millis(600));
        assert_eq!((seven, is_undone(), run.check()), (7, false, Ok(())));
        let failure = || Err::<(), _>(Error::signal(2));
        assert_eq!(while_paused(guard, &run, failure).expect_err("it fails"), Error::signal(2));
        assert!(is_undone());
    }
}
