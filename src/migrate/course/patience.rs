//! How long what must come to its end is waited for, when the run itself has been ended.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use crate::error::{Error, Status};
use crate::stop::Stop;

/// A stop for something that is to come to its end even when the run has been ended, but not to be waited for for ever.
pub(super) struct Patience {
    pub(super) stop: Stop,
    signs: Sender<()>,
}

impl Patience {
    /// So long.
    pub(super) fn from_now(time: Duration) -> Self {
        Self::start(None, time)
    }

    /// So long from each [sign of life](Patience::renew); and from when the run is ended, if it is, whatever signs
    /// there are after that.
    pub(super) fn with(run: &Stop, time: Duration) -> Self {
        Self::start(Some(run.clone()), time)
    }

    /// A sign of life.
    pub(super) fn renew(&self) {
        // One that has not been seen yet says the same.
        let _ = self.signs.try_send(());
    }

    fn start(run: Option<Stop>, time: Duration) -> Self {
        let (signs, seen) = bounded::<()>(1);
        let stop = Stop::new();
        let to_stop = stop.clone();
        let wait = move || {
            let why = match silence(run.as_ref(), time, &seen) {
                Some(Silence::Silent) => format!("it has said nothing for {} s", time.as_secs_f64()),
                Some(Silence::Long) => {
                    format!("it is still at it {} s after the run was ended", time.as_secs_f64())
                }
                None => return,
            };
            to_stop.fail(Error::new(Status::Io, "far side lost", "", why));
        };
        // Where there cannot be another thread, it is waited for as long as it takes.
        let _ = thread::Builder::new().name("patience".into()).spawn(wait);
        Patience { stop, signs }
    }
}

/// What patience ends at.
enum Silence {
    /// There was no sign of life.
    Silent,
    /// It takes too long.
    Long,
}

/// Waits until there is no more patience; `None` when none is needed any more.
fn silence(run: Option<&Stop>, time: Duration, signs: &Receiver<()>) -> Option<Silence> {
    let no_run = never();
    let mut ended = run.map_or(&no_run, Stop::ended);
    let mut end = Instant::now() + time;
    let mut is_ended = false;
    loop {
        select! {
            recv(signs) -> sign => {
                sign.ok()?;
                if !is_ended {
                    end = Instant::now() + time;
                }
            }
            recv(ended) -> _ => (is_ended, ended, end) = (true, &no_run, Instant::now() + time),
            default(end.saturating_duration_since(Instant::now())) => {
                return Some(if is_ended { Silence::Long } else { Silence::Silent });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(300);

    fn why(patience: &Patience) -> Option<String> {
        patience.stop.check().err().map(|error| error.why().to_string())
    }

    #[test]
    fn whoever_gives_signs_of_life_is_waited_for_and_who_is_silent_is_not() {
        let patience = Patience::with(&Stop::new(), TIME);
        for _ in 0..8 {
            thread::sleep(TIME / 4);
            patience.renew();
        }
        assert_eq!(why(&patience), None);
        thread::sleep(TIME * 2);
        assert_eq!(why(&patience).as_deref(), Some("it has said nothing for 0.3 s"));
    }

    #[test]
    fn when_the_run_has_ended_signs_of_life_do_not_help_for_ever() {
        let run = Stop::new();
        let patience = Patience::with(&run, TIME);
        run.fail(Error::signal(2));
        thread::sleep(TIME / 3);
        assert_eq!(why(&patience), None, "it may come to its end");
        for _ in 0..8 {
            patience.renew();
            thread::sleep(TIME / 4);
        }
        assert_eq!(why(&patience).as_deref(), Some("it is still at it 0.3 s after the run was ended"));
    }
}
