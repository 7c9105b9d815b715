//! The course of a transfer. One thread, the caller's; it blocks in nothing but its own channels.
//!
//! | phase | until | the end frame | a new link | no link |
//! |---|---|---|---|---|
//! | receiving | an end frame that fits the ledger | is compared | is welcome | is waited for, so long |
//! | finishing | the target is on stable storage | says nothing new | is welcome | does not matter |
//! | finished | the sender closes a link, or 10 s | says nothing new | is told that it is done | ends it, if none can come |
//!
//! Any failure, in any phase but the last, is told on all links; then they are hung up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never, select};

use super::super::accounts::Accounts;
use super::super::crew::{Blocks, Crew, panicked};
use super::super::held::Covers;
use super::super::intake;
use super::super::ledger::Order;
use super::super::tally::Received;
use super::Collecting;
use super::connection::{Report, Terms};
use super::roster::Roster;
use crate::error::{Error, Result, Status};
use crate::link::Link;
use crate::stop::{Stop, Stopped};
use crate::volume::Target;
use crate::wire::{Answer, End, FrameHeader, Prelude, Welcome};

/// The most links of a transfer, whatever the memory.
const MOST_LINKS: usize = 64;
/// The window of a target that takes its parts in any order: what bounds it is the ledger's memory, some 10 MB.
const WIDE_WINDOW: usize = 1 << 16;
/// How often a link gives a sign of life, at least: the sender's patience may be much shorter than ours.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// How long a sender that did not hear that all is done may take to ask again.
const LINGER: Duration = Duration::from_secs(10);
/// How long telling a failure may take.
const TELLING: Duration = Duration::from_secs(2);
/// How often silent links are looked for, and clocks looked at.
const TICK: Duration = Duration::from_millis(100);

/// A transfer that is being received.
pub(super) struct Session {
    target: Arc<dyn Target>,
    accounts: Arc<Accounts>,
    terms: Arc<Terms>,
    reports: Receiver<Report>,
    crew: Crew,
    roster: Roster,
    phase: Phase,
    /// Whether more links may come.
    listening: bool,
    retry_for: Duration,
}

enum Phase {
    Receiving,
    Finishing(Received),
    /// Until when it is said again.
    Finished(Received, Instant),
}

impl Session {
    /// Begins with the target.
    ///
    /// # Errors
    /// When the target cannot take the volume, or the stream is not one with answers.
    pub(super) fn open(target: Arc<dyn Target>, collecting: Collecting) -> Result<Self> {
        let Collecting { receiving, incarnation, stall, retry_for, notice } = collecting;
        if !receiving.prelude.answers {
            let why = "its sender does not listen to answers: it is meant for a pipe";
            return Err(Error::stream("cannot read stream", &receiving.stream, why));
        }
        let buffers = receiving.workshop.buffers;
        let most_links = MOST_LINKS.min(buffers / 2).max(1);
        let window = match target.in_order() {
            // Each link may be amid a part of its own without taking the buffer that the next in order needs.
            true => buffers.saturating_sub(most_links).max(1),
            false => WIDE_WINDOW,
        };
        let (to_session, reports) = bounded(MOST_LINKS);
        let terms = Arc::new(Terms {
            // At most 2^16 and 64.
            welcome: Welcome { incarnation, window: window as u32, most_links: most_links as u16, have: 0 },
            extents: receiving.holds.as_ref().map(|holds| holds.extents()).unwrap_or_default(),
            alive_every: (stall / 4).clamp(TICK / 2, ALIVE_EVERY),
            most_waiting: 2 * window + 1024,
            finishing: AtomicBool::new(false),
            reports: to_session,
            figures: receiving.figures.clone(),
            stop: receiving.stop.clone(),
        });
        let mut crew = Crew::new(&receiving.stop);
        let (intake, accounts) =
            intake::start(&mut crew, &target, &receiving, Order::Window(window), Covers::TableAndData)?;
        let roster = Roster::new(receiving.prelude, intake, terms.clone(), stall, notice);
        let phase = Phase::Receiving;
        Ok(Session { target, accounts, terms, reports, crew, roster, phase, listening: true, retry_for })
    }

    /// Receives to the end.
    ///
    /// # Errors
    /// What ended the run.
    pub(super) fn run(mut self, first: Link, links: Receiver<(Link, Prelude)>) -> Result<Received> {
        let number = self.roster.prelude.link;
        let opened = self.roster.welcome(&mut self.crew, first, number);
        self.or_fail(opened);
        let served = self.serve(links);
        if served.is_err() {
            self.tell_failure();
        }
        let Session { crew, roster, reports, target, .. } = self;
        roster.hang_up();
        // The links' threads may wait for room in `reports`; the target is closed when the last thread is gone.
        drop((reports, target));
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
                    Ok((link, prelude)) => {
                        let taken = self.roster.take_in(&mut self.crew, link, &prelude);
                        self.or_fail(taken);
                    }
                    Err(_) => (self.listening, links) = (false, never()),
                },
                recv(stop.ended()) -> _ => return self.finished().ok_or(Stopped),
                default(TICK) => {}
            }
            self.roster.drop_silent();
            if self.is_over() {
                return self.finished().ok_or(Stopped);
            }
        }
    }

    /// What was received, once it is on stable storage.
    fn finished(&self) -> Option<Received> {
        match self.phase {
            Phase::Finished(received, _) => Some(received),
            _ => None,
        }
    }

    /// Whether there is nothing more to wait for; the reason, where that is a failure, is with the stop.
    fn is_over(&self) -> bool {
        match &self.phase {
            Phase::Receiving => self.is_abandoned(),
            Phase::Finishing(_) => false,
            Phase::Finished(_, until) => {
                let nobody_comes = self.roster.is_empty() && !self.listening;
                nobody_comes || self.roster.was_heard() || Instant::now() >= *until
            }
        }
    }

    fn is_abandoned(&self) -> bool {
        let Some((time, how)) = self.roster.alone() else { return false };
        if self.listening && time < self.retry_for {
            return false;
        }
        let why = match self.listening {
            true => format!("its last link {how}, and none has come for {} s", time.as_secs()),
            false => format!("its link {how}"),
        };
        self.stop().fail(Error::new(Status::Io, "the sender is gone", "", why));
        true
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::End(header, end) => self.compare_totals(&header, end),
            Report::Finished => self.say_done(),
            Report::Read { id, why } => self.roster.ended(id, why),
            Report::Answered { id, last } => self.roster.answered(id, last),
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
        self.or_fail(started);
    }

    fn say_done(&mut self) {
        if let Phase::Finishing(received) = self.phase {
            self.roster.say_last(Answer::Done { end: received.end, size: received.size });
            self.phase = Phase::Finished(received, Instant::now() + LINGER);
        }
    }

    /// Says the run's error on all links, and waits until the sender closes them, but not long.
    fn tell_failure(&mut self) {
        let Err(error) = self.stop().check() else { return };
        self.roster.say_last(Answer::Failed { status: error.status(), reason: error.to_string() });
        let until = Instant::now() + TELLING;
        while !self.roster.is_empty()
            && let Ok(report) = self.reports.recv_deadline(until)
        {
            match report {
                Report::Read { id, why } => self.roster.ended(id, why),
                Report::Answered { id, last } => self.roster.answered(id, last),
                Report::End(..) | Report::Finished => {}
            }
        }
    }

    fn or_fail(&self, result: Result<()>) {
        if let Err(error) = result {
            self.stop().fail(error);
        }
    }

    fn stop(&self) -> &Stop {
        &self.terms.stop
    }
}
