//! The threads of a run, and who is waited for when it ends.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select, unbounded};

use crate::error::{Error, Result, Status};
use crate::stop::Stop;

/// How long a run that was ended waits for threads that use a volume: the longest single read or write.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a thread may be blocked in when the run is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocks {
    /// In a volume's I/O, which comes to its end: waited for, so that the volume is free when the run has ended.
    OnVolume,
    /// In a pipe's, which need not ever: left alone, the process's end takes it along.
    OnPipe,
}

/// Threads that end with their run.
pub(super) struct Crew {
    stop: Stop,
    // The receiving end sees the channel's end when the last thread of the kind is gone.
    volume: (Sender<()>, Receiver<()>),
    pipe: (Sender<()>, Receiver<()>),
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Nobody yet.
    pub(super) fn new(stop: &Stop) -> Self {
        Crew { stop: stop.clone(), volume: unbounded(), pipe: unbounded(), threads: Vec::new() }
    }

    /// Starts a thread. A panic in it ends the run.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        blocks: Blocks,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let present = match blocks {
            Blocks::OnVolume => self.volume.0.clone(),
            Blocks::OnPipe => self.pipe.0.clone(),
        };
        // A run over many links, each remade many times, does not collect the stacks of all that have been.
        self.threads.retain(|thread| !thread.is_finished());
        let stop = self.stop.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let watch = PanicWatch { stop, name };
            work();
            drop(watch);
            drop(present);
        });
        self.threads.push(thread.map_err(|e| Error::io("cannot start thread", name, &e))?);
        Ok(())
    }

    /// Waits for all threads, or, once the run is ended, for those that use volumes.
    ///
    /// # Errors
    /// What ended the run.
    pub(super) fn wait(self) -> Result<()> {
        let Crew { stop, volume, pipe, threads } = self;
        drop((volume.0, pipe.0));
        let done = stop.recv(&volume.1).and_then(|_| stop.recv(&pipe.1));
        if done.is_err() {
            select! {
                recv(volume.1) -> _ => {}
                recv(after(PATIENCE)) -> _ => {}
            }
            stop.check()?;
        }
        for thread in threads {
            // Only gives up the thread's resources: a panic has been reported by its watch.
            let _ = thread.join();
        }
        stop.check()
    }
}

struct PanicWatch {
    stop: Stop,
    name: &'static str,
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop.fail(panicked(self.name));
        }
    }
}

/// The error of a thread that panicked; its own message is on stderr already.
pub(super) fn panicked(name: &str) -> Error {
    Error::new(Status::Io, "internal error", name, "it panicked; nothing is said to be done")
        .way_out("this is a defect of lvpipe: please report it with the message above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_run() {
        let stop = Stop::new();
        let mut crew = Crew::new(&stop);
        crew.start("reader", Blocks::OnVolume, || panic!("on purpose")).expect("a thread");
        let error = crew.wait().expect_err("it panicked");
        assert!(error.to_string().starts_with("internal error: reader"), "{error}");
    }

    #[test]
    fn a_thread_blocked_in_a_pipe_is_not_waited_for() {
        let stop = Stop::new();
        let mut crew = Crew::new(&stop);
        let (_never, blocked) = crossbeam_channel::bounded::<()>(0);
        crew.start("link", Blocks::OnPipe, move || _ = blocked.recv()).expect("a thread");
        stop.fail(Error::signal(2));
        assert_eq!(crew.wait(), Err(Error::signal(2)));
    }
}
