//! The far side of a migration: a target that is open from the first round to the switch.
//!
//! In: orders, and a transfer for each round. Out: a target that is whole, and somebody else's from the switch on. Until
//! then whatever ends it, SIGKILL included, leaves no target that was made for it, and one that was there before is not
//! taken for anything that it held. On the thread that takes the orders; between rounds nothing is done here.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use super::Commander;
use crate::cli::links::LinkArgs;
use crate::cli::recv::Arrivals;
use crate::cli::shared::{Resources, left_behind, random_id};
use crate::engine::Work;
use crate::engine::collect::{Collecting, collect, refuse};
use crate::engine::recv::Receiving;
use crate::error::{Error, Result, Status};
use crate::journal::{About as JournalAbout, Journal};
use crate::migrate::{About, Output, Switched, Task};
use crate::progress::{Figures, Role};
use crate::stop::Stop;
use crate::volume::{
    Expected, HandedOver, HeldForTarget, OpenTarget, RoundTarget, Target, consider_new, consider_target,
    create_target, open_target, who_uses,
};
use crate::wire::Prelude;

/// How long a round without any link may wait for one. The link through ssh stays for as long as the sender wants the
/// round at all, and it cannot be made again: one that is given up while the target is being opened is not waited for.
const RETRY: Duration = Duration::from_secs(5);

/// A migration to here, begun or not.
pub(super) struct Migration<'a> {
    both: &'a LinkArgs,
    resources: &'a Resources,
    stop: &'a Stop,
    arriving: Option<Arriving>,
}

/// A target that has been opened. The parts are dropped in this order.
struct Arriving {
    target: Arc<dyn Target>,
    held: HeldForTarget,
    /// Whether it was there before, and is not what it was any more.
    in_place: bool,
    size: u64,
    /// What it holds since the last round.
    state: Option<String>,
    /// What is opened with it may end this.
    stop: Stop,
}

impl<'a> Migration<'a> {
    pub(super) fn new(both: &'a LinkArgs, resources: &'a Resources, stop: &'a Stop) -> Self {
        Migration { both, resources, stop, arriving: None }
    }

    /// Receives a round. The sender hears over its links how that ended. One that failed is the migration's end.
    ///
    /// # Errors
    /// Only what ends the session: what ended the run, or that the sender is gone.
    pub(super) fn round(&mut self, commander: &Commander, target: &str, create: bool) -> Result<()> {
        let arrivals = commander.arrivals(self.stop)?;
        if let Err(error) = self.receive(commander, arrivals, target, create) {
            self.end();
            self.stop.check().map_err(|_| error)?;
        }
        Ok(())
    }

    fn receive(&mut self, commander: &Commander, arrivals: Arrivals, name: &str, create: bool) -> Result<()> {
        let Arrivals { first: (link, prelude), more, .. } = arrivals;
        let prepared = self.prepare_round(&prelude, name, create);
        let (receiving, target, incarnation) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                refuse(link, error.status(), &error.to_string());
                return Err(error);
            }
        };
        let state = prelude.lineage.state.clone();
        let collecting = Collecting {
            receiving: Receiving { prelude, stream: link.name.clone(), ..receiving },
            incarnation,
            stall: self.both.stall_timeout(),
            retry_for: RETRY.min(self.both.retry_for()),
            notice: Box::new(|_| {}),
        };
        let stop = collecting.receiving.stop.clone();
        let received = commander.while_it_is_there(&stop, || collect(link, more, target, collecting));
        if let Some(arriving) = &mut self.arriving {
            match &received {
                Ok(_) => arriving.state = state,
                // Refused before anything was written, as one that is too small: it is as it was.
                Err(error) if error.status() == Status::Guard && arriving.state.is_none() => {
                    arriving.in_place = false
                }
                Err(_) => {}
            }
        }
        received.map(drop)
    }

    /// Opens the target for the first round; makes sure that a later one follows on the one before.
    fn prepare_round(
        &mut self,
        prelude: &Prelude,
        name: &str,
        create: bool,
    ) -> Result<(Receiving, Arc<dyn Target>, [u8; 16])> {
        let workshop = self.resources.workshop(prelude.part_size, Work::Decompress)?;
        let incarnation = random_id("cannot begin")?;
        // One that is refused stays: what is to be said of its target is said at its end.
        let arriving = match &mut self.arriving {
            Some(arriving) => {
                arriving.check(prelude, name)?;
                arriving
            }
            none => none.insert(open(prelude, name, create, self.stop)?),
        };
        let target = Arc::new(RoundTarget(arriving.target.clone()));
        let stop = arriving.stop.child();
        let figures = Figures::new(Role::Recv);
        let (prelude, stream) = (prelude.clone(), String::new());
        Ok((Receiving { prelude, stream, workshop, record: None, holds: None, figures, stop }, target, incarnation))
    }

    /// Does for the switch what can be done before.
    pub(super) fn prepare(&self) -> Result<()> {
        self.arriving.as_ref().map_or_else(|| Err(nothing_there()), |arriving| arriving.held.prepare_hand_over())
    }

    /// Gives the target away, and tells the sender whether it is in use from here on.
    ///
    /// # Errors
    /// When the sender is gone. The target is whoever's it is then; only the sender does not know.
    pub(super) fn switch(&mut self, commander: &Commander, done: Option<&str>, about: &About) -> Result<()> {
        // Even where a signal has ended the run: this is what the other side waits for.
        let tell = |switched: Switched| commander.answer(Ok(switched), &Stop::new());
        match commander.with_signs_of_life(|| self.give_away(done, about)) {
            Ok(handed_over) => {
                let told = tell(Switched::Yes);
                // Without a command, a sender that does not hear of it goes on itself: the mark stays then.
                if told.is_ok() || done.is_some() {
                    left_behind(handed_over.tidy().as_slice());
                }
                told
            }
            Err(not) => tell(not),
        }
    }

    /// Gives the target to the done command; or why it is not, or may not be, that command's.
    fn give_away(&mut self, done: Option<&str>, about: &About) -> Result<HandedOver, Switched> {
        let handed_over = self.arriving.take().ok_or_else(nothing_there).and_then(Arriving::hand_over);
        let handed_over = handed_over.map_err(|error| not_switched(&error))?;
        // Nothing may end the command from here: what it has done by then, nobody would know.
        match done.map_or(Ok(()), |done| about.run(Task::Done, done, Output::ToStderr, None)) {
            Ok(()) => Ok(handed_over),
            Err(error) => Err(taken_back(handed_over, &about.target, &error)),
        }
    }

    /// The migration is over, and the target was not switched to.
    pub(super) fn end(&mut self) {
        if let Some(arriving) = self.arriving.take() {
            left_behind(&arriving.abandon());
        }
    }
}

impl Drop for Migration<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Arriving {
    /// A later round must be what has changed since the one before, on the same target.
    fn check(&self, prelude: &Prelude, name: &str) -> Result<()> {
        let refused = |why: &str| Err(Error::stream("cannot receive the round", name, why));
        if prelude.lineage.base.is_none() || prelude.lineage.base != self.state {
            return refused("it is not what has changed since the round before");
        }
        if prelude.volume_size != Some(self.size) {
            return refused("the volume has another size than in the round before");
        }
        Ok(())
    }

    /// Puts the target in its place, closes it and gives it away.
    fn hand_over(self) -> Result<HandedOver> {
        let Arriving { target, held, in_place, size, .. } = self;
        let finished = target.finish(size);
        drop(target);
        match finished {
            Ok(()) => held.hand_over(),
            Err(error) => {
                left_behind(&abandoned(held, in_place));
                Err(error)
            }
        }
    }

    fn abandon(self) -> Vec<String> {
        let Arriving { target, held, in_place, .. } = self;
        drop(target);
        abandoned(held, in_place)
    }
}

fn abandoned(held: HeldForTarget, in_place: bool) -> Vec<String> {
    let mut left = held.abandon();
    if in_place {
        left.push("the target holds only a part of the volume, or an old state of it: do not use it".into());
    }
    left
}

/// Whether a volume of this size could be migrated to here.
pub(super) fn consider(
    name: &str,
    create: bool,
    size: u64,
    identity: Option<&str>,
    stop: &Stop,
) -> Result<Vec<String>> {
    match create {
        true => consider_new(&name.parse().map_err(|why: String| wrong_name(name, &why))?, stop),
        false => consider_target(name, size, identity, stop),
    }
}

fn wrong_name(name: &str, why: &str) -> Error {
    Error::usage("cannot create target", name, why)
}

/// Opens the target for all of the volume, past the guards.
fn open(prelude: &Prelude, name: &str, create: bool, stop: &Stop) -> Result<Arriving> {
    let Some(size) = prelude.volume_size.filter(|_| !prelude.is_delta()) else {
        return Err(Error::stream("cannot receive the round", name, "the first is all of the volume"));
    };
    let stop = stop.child();
    let expected = Expected {
        source: prelude.lineage.identity.as_deref(),
        size: Some(size),
        used: prelude.used,
        ..Expected::default()
    };
    let open = match create {
        true => create_target(&name.parse().map_err(|why: String| wrong_name(name, &why))?, expected, &stop)?,
        false => open_target(OsStr::new(name), expected, &stop)?,
    };
    let OpenTarget { target, held, in_place, journal, notices } = open;
    if target.in_order() {
        return Err(Error::guard("target refused", name, "a pipe cannot take what is written a second time")
            .way_out("name a volume or a file"));
    }
    left_behind(&notices);
    // What an earlier transfer has left can not be gone on with: a journal in which nothing is recorded is removed.
    let forgotten =
        journal.map(|place| Journal::begin(&place, &JournalAbout::of(prelude, &place), target.clone(), &stop));
    drop(forgotten.transpose()?);
    Ok(Arriving { target, held, in_place, size, state: None, stop })
}

fn not_switched(error: &Error) -> Switched {
    Switched::No { status: error.status().code(), reason: error.to_string() }
}

/// What became of a target whose done command failed. The source goes on when it hears that this is not switched to, so
/// what was begun on it before the command failed must not be there: two would run.
fn taken_back(handed_over: HandedOver, target: &str, error: &Error) -> Switched {
    let in_use = |who: String| Switched::InUse { reason: format!("{error}; but {target} is in use there: {who}") };
    if let Some(who) = who_uses(target) {
        return in_use(who);
    }
    handed_over.take_back().map_or_else(|| not_switched(error), in_use)
}

fn nothing_there() -> Error {
    Error::stream("cannot switch", "target", "no round of it has come")
}
