//! What keeps the links of a transfer together. One thread, the caller's; it blocks in nothing but its own channels.
//!
//! | phase | until | the end frame | a new link | no link |
//! |---|---|---|---|---|
//! | receiving | an end frame that fits the ledger | is compared | is welcome | is waited for, so long |
//! | finishing | the target is on stable storage | says nothing new | is welcome | does not matter |
//! | finished | the sender closes a link, or 10 s | says nothing new | is told that it is done | ends it, if none can come |
//!
//! Any failure, in any phase but the last, is told on all links; then they are hung up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never, select};

use super::super::accounts::Accounts;
use super::super::crew::{Blocks, Crew, panicked};
use super::super::intake::{self, Intake};
use super::super::ledger::Order;
use super::super::tally::Received;
use super::connection::{Connection, Report, Terms, Why};
use super::{Collecting, refuse};
use crate::error::{Error, Result, Status};
use crate::link::Link;
use crate::progress::Stage;
use crate::stop::{Stop, Stopped};
use crate::volume::Target;
use crate::wire::{Answer, End, FrameHeader, Prelude, Welcome};

/// The most links of a transfer, whatever the memory.
const MOST_LINKS: usize = 64;
/// The window of a target that takes its parts in any order: what bounds it is the ledger's memory, some 10 MB.
const WIDE_WINDOW: usize = 1 << 16;
/// How long a sender that did not hear that all is done may take to ask again.
const LINGER: Duration = Duration::from_secs(10);
/// How long telling a failure may take.
const TELLING: Duration = Duration::from_secs(2);
/// How often silent links are looked for, and clocks looked at.
const TICK: Duration = Duration::from_millis(100);
/// More links than this that are being refused at the same time are hung up without a word.
const MOST_REFUSALS: usize = 16;

/// A transfer that is being received.
pub(super) struct Session {
    prelude: Prelude,
    target: Arc<dyn Target>,
    intake: Arc<Intake>,
    accounts: Arc<Accounts>,
    terms: Arc<Terms>,
    reports: Receiver<Report>,
    crew: Crew,
    links: Vec<Connection>,
    /// Links there have been.
    opened: u64,
    phase: Phase,
    /// Since when there has been no link, and how the last one ended.
    alone: Option<(Instant, String)>,
    /// Whether more links may come.
    listening: bool,
    refusals: Arc<AtomicUsize>,
    stall: Duration,
    retry_for: Duration,
    notice: Box<dyn Fn(&str)>,
}

enum Phase {
    Receiving,
    Finishing(Received),
    Finished {
        received: Received,
        /// Until when it is said again.
        until: Instant,
        /// The sender has heard it.
        heard: bool,
    },
}

impl Phase {
    /// Whether links are still needed.
    fn is_open(&self) -> bool {
        !matches!(self, Phase::Finished { .. })
    }
}

impl Session {
    /// Begins with the target.
    ///
    /// # Errors
    /// When the target cannot take the volume, or the stream is not one with answers.
    pub(super) fn open(target: Arc<dyn Target>, collecting: Collecting) -> Result<Self> {
        let Collecting { receiving, incarnation, stall, retry_for, notice } = collecting;
        let prelude = receiving.prelude.clone();
        if !prelude.answers {
            let why = "its sender does not listen to answers: it is meant for a pipe";
            return Err(Error::stream("cannot read stream", &receiving.stream, why));
        }
        let most_links = MOST_LINKS.min(receiving.workshop.buffers / 2).max(1);
        let window = match target.in_order() {
            // Each link may be amid a part of its own without taking the buffer that the next in order needs.
            true => (receiving.workshop.buffers - most_links).max(1),
            false => WIDE_WINDOW,
        };
        let (figures, stop) = (receiving.figures.clone(), receiving.stop.clone());
        let (to_session, reports) = bounded(MOST_LINKS);
        let extents = receiving.holds.as_ref().map(|holds| holds.extents()).unwrap_or_default();
        let terms = Arc::new(Terms {
            // At most 2^16 and 64.
            welcome: Welcome { incarnation, window: window as u32, most_links: most_links as u16, have: 0 },
            extents,
            alive_every: stall / 4,
            most_waiting: 2 * window + 1024,
            finishing: AtomicBool::new(false),
            reports: to_session,
            figures,
            stop: stop.clone(),
        });
        let mut crew = Crew::new(&stop);
        let (intake, accounts) = intake::start(&mut crew, &target, &receiving, Order::Window(window))?;
        Ok(Session {
            prelude,
            target,
            intake,
            accounts,
            terms,
            reports,
            crew,
            links: Vec::new(),
            opened: 0,
            phase: Phase::Receiving,
            alone: None,
            listening: true,
            refusals: Arc::default(),
            stall,
            retry_for,
            notice,
        })
    }

    /// Receives to the end.
    ///
    /// # Errors
    /// What ended the run.
    pub(super) fn run(mut self, first: Link, links: Receiver<(Link, Prelude)>) -> Result<Received> {
        let number = self.prelude.link;
        self.welcome(first, number);
        let served = self.serve(links);
        if served.is_err() {
            self.tell_failure();
        }
        let Session { crew, links, intake, reports, target, .. } = self;
        links.iter().for_each(|link| link.hang_up.hang_up());
        // The link's threads may wait for room in `reports`, the target's for the last of those who hold the intake.
        drop((links, intake, reports, target));
        let ended = crew.wait();
        match served {
            // All is on stable storage: what fails from then on does not undo it.
            Ok(received) => Ok(received),
            Err(Stopped) => ended.and(Err(panicked("a worker"))),
        }
    }

    fn serve(&mut self, mut links: Receiver<(Link, Prelude)>) -> Result<Received, Stopped> {
        let (reports, stop) = (self.reports.clone(), self.terms.stop.clone());
        loop {
            select! {
                recv(reports) -> report => report.map(|report| self.hear(report)).unwrap_or_default(),
                recv(links) -> link => match link {
                    Ok((link, prelude)) => self.take_in(link, &prelude),
                    Err(_) => (self.listening, links) = (false, never()),
                },
                recv(stop.ended()) -> _ => return self.finished().ok_or(Stopped),
                default(TICK) => {}
            }
            self.drop_silent_links();
            if self.is_over() {
                return self.finished().ok_or(Stopped);
            }
        }
    }

    /// What was received, once it is on stable storage.
    fn finished(&self) -> Option<Received> {
        match self.phase {
            Phase::Finished { received, .. } => Some(received),
            _ => None,
        }
    }

    /// Whether there is nothing more to wait for; the reason, where that is a failure, is with the stop.
    fn is_over(&self) -> bool {
        match &self.phase {
            Phase::Receiving => self.is_abandoned(),
            Phase::Finishing(_) => false,
            Phase::Finished { until, heard, .. } => {
                *heard || Instant::now() >= *until || (self.links.is_empty() && !self.listening)
            }
        }
    }

    fn is_abandoned(&self) -> bool {
        let Some((since, why)) = &self.alone else { return false };
        let waited = since.elapsed();
        if self.listening && waited < self.retry_for {
            return false;
        }
        let why = match self.listening {
            true => format!("its last link {why}, and none has come for {} s", waited.as_secs()),
            false => format!("its link {why}"),
        };
        self.stop().fail(Error::new(Status::Io, "the sender is gone", "", why));
        true
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::End(header, end) => self.compare_totals(&header, end),
            Report::Finished => self.say_done(),
            Report::Read { id, why } => self.link_ended(id, why),
            Report::Answered { id, last } => self.link_answered(id, last),
        }
    }

    /// The sender says that all has been sent and answered.
    fn compare_totals(&mut self, header: &FrameHeader, end: End) {
        // An end that comes again, its answer having been lost, is answered when the first is.
        if !matches!(self.phase, Phase::Receiving) {
            return;
        }
        match self.accounts.finish(header, end) {
            Ok(received) => {
                self.terms.figures.set_volume(Some(received.size));
                self.terms.finishing.store(true, Ordering::Relaxed);
                self.phase = Phase::Finishing(received);
                self.finish_target(received.size);
            }
            Err(error) => self.stop().fail(error),
        }
    }

    /// On a thread of its own: the links need their signs of life while the target is put on stable storage.
    fn finish_target(&mut self, size: u64) {
        let (target, terms) = (self.target.clone(), self.terms.clone());
        let started = self.crew.start("finish", Blocks::OnVolume, move || {
            let finished = terms.stop.check().and_then(|()| target.finish(size));
            drop(target);
            match finished {
                Ok(()) => _ = terms.reports.send(Report::Finished),
                Err(error) => terms.stop.fail(error),
            }
        });
        if let Err(error) = started {
            self.stop().fail(error);
        }
    }

    fn say_done(&mut self) {
        if let Phase::Finishing(received) = self.phase {
            self.links.iter().for_each(|link| link.answers.last(done(&received)));
            self.phase = Phase::Finished { received, until: Instant::now() + LINGER, heard: false };
        }
    }

    /// A link that somebody has authenticated: it belongs to the transfer, or is told why not.
    fn take_in(&mut self, link: Link, prelude: &Prelude) {
        if prelude.transfer != self.prelude.transfer {
            return self.refuse(link, "the receiver is busy with another transfer");
        }
        if (Prelude { link: self.prelude.link, ..prelude.clone() }) != self.prelude {
            return self.refuse(link, "the link's prelude is not the one that the transfer's first link had");
        }
        // The sender knows better that the link which had this number is dead.
        let remade = "was made anew by the sender";
        let old = self.links.iter_mut().filter(|old| old.number == prelude.link && old.lives());
        old.for_each(|old| old.drop_for(remade.into()));
        if self.living() >= usize::from(self.terms.welcome.most_links) {
            return self.refuse(link, &format!("{} links are the most that are taken", self.living()));
        }
        self.welcome(link, prelude.link);
    }

    fn welcome(&mut self, link: Link, number: u16) {
        self.opened += 1;
        // Link 0 is the one that a sender waits for before it makes others. Made anew, it may have lost the list.
        let have = self.prelude.resumes && number == 0;
        let opened = Connection::open(&mut self.crew, link, (self.opened, number), have, &self.intake, &self.terms);
        match opened {
            Ok(link) => {
                if let Some(received) = self.finished() {
                    link.answers.last(done(&received));
                }
                self.links.push(link);
                self.alone = None;
                self.show_links();
            }
            Err(error) => self.stop().fail(error),
        }
    }

    fn refuse(&self, link: Link, reason: &str) {
        let under_way = self.refusals.clone();
        (self.notice)(&format!("link from {} refused: {reason}", link.name));
        if under_way.fetch_add(1, Ordering::SeqCst) >= MOST_REFUSALS {
            under_way.fetch_sub(1, Ordering::SeqCst);
            return link.hang_up.hang_up();
        }
        let reason = reason.to_owned();
        // Not one of the crew: nothing of the transfer depends on it, and it ends by itself.
        let _ = thread::Builder::new().name("refusal".into()).spawn(move || {
            refuse(link, Status::Peer, &reason);
            under_way.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn link_ended(&mut self, id: u64, why: Why) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        let how = match (&link.dropped, &why) {
            (Some(dropped), _) => dropped.clone(),
            (None, Why::Broken(error)) => format!("broke: {error}"),
            (None, Why::Closed | Why::Stopped) => "was closed by the sender".into(),
        };
        let said = format!("link {} from {} {how}", link.number, link.name);
        let worth_saying = self.phase.is_open() && !matches!(why, Why::Stopped);
        link.read = Some(why);
        let living = self.living();
        if worth_saying {
            (self.notice)(&format!("{said}; {living} left"));
        }
        if living == 0 {
            self.alone = Some((Instant::now(), how));
        }
        self.forget_ended_links();
    }

    fn link_answered(&mut self, id: u64, last: bool) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        link.answered = Some(last);
        self.forget_ended_links();
    }

    fn forget_ended_links(&mut self) {
        if let Phase::Finished { heard, .. } = &mut self.phase {
            *heard |= self.links.iter().any(Connection::was_heard);
        }
        self.links.retain(|link| link.read.is_none() || link.answered.is_none());
        self.show_links();
    }

    fn drop_silent_links(&mut self) {
        let silent = |link: &&mut Connection| link.lives() && link.pulse.silent() >= self.stall;
        for link in self.links.iter_mut().filter(silent) {
            link.drop_for(format!("was silent for {} s", self.stall.as_secs_f32()));
        }
    }

    /// Says the run's error on all links, and waits until the senders close them, but not long.
    fn tell_failure(&mut self) {
        let Err(error) = self.stop().check() else { return };
        let failed = Answer::Failed { status: error.status(), reason: error.to_string() };
        self.links.iter().for_each(|link| link.answers.last(failed.clone()));
        let until = Instant::now() + TELLING;
        while !self.links.is_empty()
            && let Ok(report) = self.reports.recv_deadline(until)
        {
            match report {
                Report::Read { id, why } => self.link_ended(id, why),
                Report::Answered { id, last } => self.link_answered(id, last),
                Report::End(..) | Report::Finished => {}
            }
        }
    }

    fn living(&self) -> usize {
        self.links.iter().filter(|link| link.lives()).count()
    }

    fn show_links(&self) {
        let living = self.living();
        self.terms.figures.set_links(living as u64);
        self.terms.figures.threads(Stage::Link, living);
    }

    fn stop(&self) -> &Stop {
        &self.terms.stop
    }
}

fn done(received: &Received) -> Answer {
    Answer::Done { end: received.end, size: received.size }
}
