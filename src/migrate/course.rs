//! The course of a live migration, on the source's side.
//!
//! | phase | what is done | what fails it | what is left then |
//! |---|---|---|---|
//! | rounds | snapshot, delta, transfer; until the [plan](super::plan) says switch | anything | nothing: the source was only read |
//! | ready | the far side prepares | anything | nothing |
//! | pause | the pause command | its status; anything | unpaused |
//! | last round | as any other | anything; the clock, where there is a limit to the downtime | unpaused |
//! | switch | the far side's done command | its status | unpaused |
//! | | | the far side is lost | paused: with a done command nobody knows whether it ran; without one, unpaused |
//! | resume | the resume command | its status | paused: switched |
//!
//! On the caller's thread, which waits for one thing at a time; snapshots that are done with are removed beside a round.
//! A signal ends it in any phase up to the last round. From the switch on it comes to its end: a signal cannot take back
//! what the far side may have done. Memory is the transfer's, and the maps of one round.

mod patience;
mod standing_still;
mod switch;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::plan::{Carried, Next, Plan, Why};
use super::{Order, Pause};
use crate::engine::send::{Input, Sending};
use crate::engine::spread::{LinkCount, Terms, send_over};
use crate::engine::{Compress, HeldAtTarget, Rate, Workshop, lineage};
use crate::error::{Error, Result, Status};
use crate::link::Dial;
use crate::link::ssh::Session;
use crate::progress::{Figures, Reporter, Role};
use crate::stop::Stop;
use crate::volume::{Pending, Round, Rounds};
use crate::wire::{DigestKind, PartSize, Prelude};
use patience::Patience;

/// How long to try for another link while the volume stands still.
const RETRY_IN_THE_PAUSE: Duration = Duration::from_secs(2);

/// How often it is looked whether ssh is still there.
const LOOK: Duration = Duration::from_millis(100);

/// How long a far side that has gone may take to be heard over its links: it may have said why.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long the far side may take to let go of what it has: LVM's commands can be slow, and are tried again.
const FAREWELL: Duration = Duration::from_secs(60);

/// A migration that is about to begin.
pub struct Course<'a> {
    /// The source.
    pub rounds: Rounds,
    /// The far side.
    pub session: Arc<Session>,
    /// Where to, and by which commands.
    pub places: Places,
    /// How a round is carried.
    pub carrying: Carrying,
    /// When to switch.
    pub plan: Plan,
    /// Who is told.
    pub audience: Audience<'a>,
    /// How many rounds there have been.
    pub rounds_done: u32,
}

/// Where a migration goes to, and the commands at its end.
#[derive(Debug, Clone)]
pub struct Places {
    /// The target as the far side is to name it.
    pub target: String,
    /// Whether it is `VG/POOL:NAME`, to be made.
    pub create: bool,
    /// What makes the source's user stand still.
    pub pause: Pause,
    /// What the far side runs when it has all.
    pub done: Option<String>,
    /// What is run here when that is done.
    pub resume: Option<String>,
}

/// How rounds are carried.
pub struct Carrying {
    /// Links beside ssh's.
    pub links: LinkCount,
    /// How long to try for a link when there is none.
    pub retry_for: Duration,
    /// How long a link may stand still.
    pub stall: Duration,
    /// The grid.
    pub part_size: PartSize,
    /// The digest of each part.
    pub digest: DigestKind,
    /// How hard to compress.
    pub compress: Compress,
    /// Workers and buffers.
    pub workshop: Workshop,
    /// A limit for the links; not in the last round, for which somebody waits.
    pub rate: Option<Arc<Rate>>,
}

/// Who is told what happens.
pub struct Audience<'a> {
    /// Shows these figures until what it returns is dropped.
    pub show: &'a dyn Fn(Arc<Figures>) -> Reporter,
    /// A round is over.
    pub round: &'a dyn Fn(&RoundReport),
    /// Something that the user should know.
    pub notice: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What a round was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundReport {
    /// From 1.
    pub number: u32,
    /// What it carried: all that the volume holds, or what was written since the round before. In bytes.
    pub written: u64,
    /// What it made holes of, in bytes.
    pub discarded: u64,
    /// Bytes on the wire, headers included.
    pub wire: u64,
    /// The snapshot and its delta.
    pub prepared: Duration,
    /// All of it.
    pub took: Duration,
    /// What was written and discarded by its end. The last round has no such thing: nobody writes.
    pub pending: Option<Pending>,
    /// How long the volume would stand still if it was paused now, if that can be told yet; without the commands.
    pub expected: Option<Duration>,
}

/// How long the source's user stood still, measured from the start of the pause command to the end of the last one, and
/// for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downtime {
    /// All of it.
    pub total: Duration,
    /// The pause command.
    pub pause: Duration,
    /// The last snapshot, and its delta.
    pub snapshot: Duration,
    /// The last transfer, until the far side had it on stable storage and verified.
    pub transfer: Duration,
    /// Giving the target away, and the done command.
    pub done: Duration,
    /// The resume command.
    pub resume: Duration,
    /// The last round.
    pub last: RoundReport,
}

impl Course<'_> {
    /// Migrates. What is held on either side is let go of by then, whatever the result; what could not be is said.
    ///
    /// # Errors
    /// What failed; unless the error says so, the source's user goes on as if nothing had been.
    pub fn run(mut self, stop: &Stop) -> Result<Downtime> {
        let result = self.rounds(stop).and_then(|()| self.switch(stop));
        let Course { rounds, session, audience, .. } = self;
        // Here first: a pool that has run full holds the source's user up until the snapshots are gone.
        rounds.abandon().iter().for_each(|left| (audience.notice)(left));
        match end(&session) {
            // One that is gone lets go of it by itself.
            Err(why) if !session.has_ended() => {
                (audience.notice)(&format!("whether the far side has let go of everything is not known: {why}"))
            }
            _ => {}
        }
        result
    }

    /// Goes round until it is time to switch.
    fn rounds(&mut self, stop: &Stop) -> Result<()> {
        loop {
            let mut report = self.round(false, stop)?;
            let pending = self.rounds.pending(stop)?;
            self.plan.carried(Carried { bytes: report.written, took: report.took });
            let next = self.plan.next(pending.written);
            report.pending = Some(pending);
            report.expected = (report.number > 1).then(|| self.plan.expected(pending.written));
            (self.audience.round)(&report);
            let expected = self.plan.expected(pending.written).as_secs_f64();
            match next {
                Next::Round => {}
                Next::Switch(Why::ShortEnough) => return Ok(()),
                Next::Switch(Why::NoLongerShrinks) => {
                    (self.audience.notice)(&format!(
                        "{} is written so fast that further rounds do not help: it is switched now, which may take {expected:.1} s",
                        self.rounds.name(),
                    ));
                    return Ok(());
                }
                Next::GiveUp => {
                    let why = format!("it is written so fast that it would stand still for some {expected:.1} s");
                    return Err(Error::guard("not migrated", self.rounds.name(), why)
                        .way_out("--max-downtime allows more; or let it be written less"));
                }
            }
        }
    }

    /// One round, to its end on the far side's stable storage.
    fn round(&mut self, is_last: bool, stop: &Stop) -> Result<RoundReport> {
        let begun = Instant::now();
        let round = self.rounds.next(stop)?;
        let prepared = begun.elapsed();
        if !is_last {
            self.rounds.let_go_of_earlier();
        }
        self.rounds_done += 1;
        round.notices.iter().for_each(|notice| (self.audience.notice)(notice));
        let figures = Figures::new(Role::Send);
        figures.set_volume(Some(round.map.size()));
        figures.set_used(Some(round.map.used_bytes()));
        let written = round.map.used_bytes();
        let discarded = round.discarded.as_ref().map_or(0, |discarded| discarded.used_bytes());
        let reporter = (self.audience.show)(figures.clone());
        let carried = self.carry(round, &figures, is_last, stop);
        // Without a summary: a round is told of in words of its own.
        drop(reporter);
        carried?;
        let (took, wire) = (begun.elapsed(), figures.snapshot().wire);
        let number = self.rounds_done;
        Ok(RoundReport { number, written, discarded, wire, prepared, took, pending: None, expected: None })
    }

    fn carry(&self, round: Round, figures: &Arc<Figures>, is_last: bool, stop: &Stop) -> Result<()> {
        let Carrying { links, retry_for, stall, part_size, digest, compress, workshop, rate } = &self.carrying;
        let Round { source, map, discarded, origin, notices: _ } = round;
        let order = Order::Round { target: self.places.target.clone(), create: self.places.create };
        self.session.begin_transfer(&order, stop)?;
        let mut transfer = [0; 16];
        getrandom::fill(&mut transfer)
            .map_err(|e| Error::new(Status::Io, "cannot make a transfer id", "getrandom", e))?;
        let prelude = Prelude {
            transfer,
            link: 0,
            // One for the link that stands by, and one for each other, of which there are 64 at most.
            links: links.most() + 1,
            part_size: *part_size,
            volume_size: Some(map.size()),
            used: Some(map.used_bytes()),
            digest: *digest,
            answers: true,
            resumes: false,
            lineage: lineage(origin),
        };
        let stop = stop.child();
        let sending = Sending {
            prelude,
            workshop: *workshop,
            compress: *compress,
            source_may_change: false,
            held: HeldAtTarget::default(),
            rate: None,
            figures: figures.clone(),
            stop: stop.clone(),
        };
        let terms = Terms {
            links: *links,
            retry_for: if is_last { RETRY_IN_THE_PAUSE.min(*retry_for) } else { *retry_for },
            stall: *stall,
            rate: rate.clone().filter(|_| !is_last),
            notice: self.audience.notice.clone(),
        };
        let dials: [Arc<dyn Dial>; 1] = [self.session.clone()];
        let sent = while_it_is_there(&self.session, &stop, || {
            send_over(Input::Volume { source, map, discarded }, &dials, sending, &terms)
        })?;
        sent.by_all().map(drop)
    }
}

/// Does something that fails when ssh ends, without waiting for the links beside it to tell.
fn while_it_is_there<T>(session: &Session, stop: &Stop, work: impl FnOnce() -> Result<T>) -> Result<T> {
    thread::scope(|scope| {
        let (working, done) = bounded::<()>(0);
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(LOOK) {
                if session.has_ended() {
                    if let Err(RecvTimeoutError::Timeout) = done.recv_timeout(LAST_WORDS) {
                        stop.fail(Error::new(Status::Io, "far side lost", session.name(), "ssh has ended"));
                    }
                    return;
                }
            }
        });
        let result = work();
        drop(working);
        result
    })
}

/// Has the far side let go of what it has. One that is gone, or does not answer, does so by itself.
fn end(session: &Session) -> Result<()> {
    let patience = Patience::from_now(FAREWELL);
    session.ask::<()>(&Order::End, &patience.stop)
}
