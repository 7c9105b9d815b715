//! How long what must come to its end is waited for, when the run itself has been ended.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded, select};

use crate::error::{Error, Status};
use crate::stop::Stop;

/// A stop for something that is to come to its end even when the run has been ended, but not to be waited for for ever.
pub(super) struct Patience {
    pub(super) stop: Stop,
    _until_dropped: Sender<()>,
}

impl Patience {
    /// So long.
    pub(super) fn from_now(time: Duration) -> Self {
        Self::start(None, time)
    }

    /// So long from when the run is ended, if it is.
    pub(super) fn after(run: &Stop, time: Duration) -> Self {
        Self::start(Some(run.clone()), time)
    }

    fn start(run: Option<Stop>, time: Duration) -> Self {
        let (alive, dropped) = bounded::<()>(0);
        let stop = Stop::new();
        let to_stop = stop.clone();
        let wait = move || {
            if let Some(run) = run {
                select! {
                    recv(run.ended()) -> _ => {}
                    recv(dropped) -> _ => return,
                }
            }
            if let Err(RecvTimeoutError::Timeout) = dropped.recv_timeout(time) {
                let why = format!("it has said nothing for {} s", time.as_secs_f64());
                to_stop.fail(Error::new(Status::Io, "far side lost", "", why));
            }
        };
        // Where there cannot be another thread, it is waited for as long as it takes.
        let _ = thread::Builder::new().name("patience".into()).spawn(wait);
        Patience { stop, _until_dropped: alive }
    }
}
