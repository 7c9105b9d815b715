//! The end of a migration: pause, the last round, the switch, and on.

use std::time::{Duration, Instant};

use super::patience::Patience;
use super::standing_still::{Deadline, while_paused};
use super::{Course, Downtime, Places};
use crate::byte_size::ByteSize;
use crate::error::{Error, Result, Status};
use crate::link::Dial;
use crate::migrate::{About, Order, Output, Paused, Switched, Task};
use crate::stop::Stop;

/// A far side that says every second that it is still there is not lost before it has missed to do so a few times.
const SHORTEST_SILENCE: Duration = Duration::from_secs(4);

impl Course<'_> {
    /// Pauses, brings the rest over, and hands on to the far side.
    pub(super) fn switch(&mut self, stop: &Stop) -> Result<Downtime> {
        self.session.ask::<()>(&Order::Ready, stop)?;
        self.rounds.wait_for_removal();
        let begun = Instant::now();
        let deadline = Deadline::from_now(stop, self.plan.most(), &self.rounds.name())?;
        let paused = self.places.pause.clone().begin(&deadline.stop)?;
        let pause = begun.elapsed();
        let (paused, last) = while_paused(paused, &deadline.stop, || {
            let last = self.round(true, &deadline.stop)?;
            self.refuse_if_written()?;
            deadline.stop.check().map(|()| last)
        })?;
        drop(deadline);
        let before_done = begun.elapsed();
        let paused = self.hand_on(paused, stop)?;
        let after_done = begun.elapsed();
        self.tell_what_is_lost();
        self.resume()?;
        let total = begun.elapsed();
        drop(paused);
        Ok(Downtime {
            total,
            pause,
            snapshot: last.prepared,
            transfer: last.took.saturating_sub(last.prepared),
            done: after_done.saturating_sub(before_done),
            resume: total.saturating_sub(after_done),
            last,
        })
    }

    /// Refuses what goes on to be written after the pause: that would be lost, and two might run.
    fn refuse_if_written(&self) -> Result<()> {
        match self.rounds.written_since_last() {
            Some(0) => Ok(()),
            None => {
                (self.audience.notice)(&format!(
                    "the kernel does not tell what is written to {}: nobody looks whether the pause command has paused it",
                    self.rounds.name(),
                ));
                Ok(())
            }
            Some(bytes) => {
                let why = format!("{} were written after the pause command had ended", ByteSize(bytes));
                Err(Error::guard("not migrated", self.rounds.name(), why).way_out(
                    "the pause command must not end before nobody writes any more; a file system that is mounted \
                     here is to be frozen, with fsfreeze(8), or unmounted by it",
                ))
            }
        }
    }

    /// Says so if somebody has written since the last look, when it was too late to go back.
    fn tell_what_is_lost(&self) {
        if let Some(bytes @ 1..) = self.rounds.written_since_last() {
            (self.audience.notice)(&format!(
                "{} were written to {} while the far side took over: they are not in the target. The pause command must \
                 not end before nobody writes any more",
                ByteSize(bytes),
                self.rounds.name(),
            ));
        }
    }

    /// The switch. With a done command the source is not let go on by itself from the moment on at which that may run;
    /// without one, from when it is known that the far side has all.
    fn hand_on(&self, mut paused: Paused, stop: &Stop) -> Result<Paused> {
        let Places { done, pause, .. } = &self.places;
        let order = Order::Switch { done: done.clone(), about: pause.about.clone() };
        let name = self.session.name();
        if self.session.has_ended() {
            return Err(paused.undo(Error::new(Status::Io, "far side lost", name, "ssh has ended")));
        }
        // From here on it comes to its end, whatever signals come; but a far side that is silent is not waited for.
        let patience = Patience::with(stop, self.carrying.stall.max(SHORTEST_SILENCE));
        if done.is_some() {
            paused.hold();
        }
        match self.session.ask_for_long(&order, || patience.renew(), &patience.stop) {
            Ok(Switched::Yes) => {
                paused.hold();
                Ok(paused)
            }
            Ok(Switched::No { status, reason }) => {
                Err(paused.undo(Error::new(Status::from_code(status), "not switched", name, reason)))
            }
            Ok(Switched::InUse { reason }) => {
                paused.hold();
                let source = &pause.about.source;
                Err(Error::new(Status::Io, "switched, or not", name, reason)
                    .also(format!(
                        "end what uses it there, and unpause {source} here; or go on there, and not here"
                    ))
                    .also(format!("{source} is still paused")))
            }
            Err(error) if done.is_none() => {
                let target = &pause.about.target;
                let left = format!(
                    "{target} there may have all of the volume, and nobody uses it: if it was made for this, look \
                     whether it is left, and remove it before the next try"
                );
                Err(paused.undo(error.also(left)))
            }
            Err(error) => {
                let source = &pause.about.source;
                Err(error
                    .also("whether the done command has run there nobody knows: look at the far side")
                    .also(format!(
                        "if {} was made for this, it bears the tag lvpipe.incomplete unless the command ended well",
                        pause.about.target
                    ))
                    .also(format!("if {source} is in use there, it must not be here; if not, unpause it here"))
                    .also(format!("{source} is still paused")))
            }
        }
    }

    fn resume(&self) -> Result<()> {
        let Places { resume, pause, .. } = &self.places;
        let Some(resume) = resume else { return Ok(()) };
        pause.about.run(Task::Resume, resume, Output::Inherited, None).map_err(|error| {
            let About { source, target, host } = &pause.about;
            error
                .also(format!("all of {source} is in {target} at {host}: resume it there"))
                .also(format!("{source} here is still paused, and must not go on"))
        })
    }
}
