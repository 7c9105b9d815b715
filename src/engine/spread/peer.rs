//! One receiver as the sender sees it: its links, made, remade, added and given up, until it has everything or is
//! lost.
//!
//! The receiver's own thread decides how many links there are and how long to be without any; each link has a
//! thread that makes it, carries frames over it ([`carry`](super::carry)) and makes it again when it broke.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::Terms;
use super::greet::{Greeted, greet};
use super::growth::{Advice, EPOCH, Growth};
use super::outbox::{LinkId, Outbox};
use crate::error::{Error, Result, Status};
use crate::link::{Dial, Link};
use crate::progress::{Figures, Stage};
use crate::stop::Stop;
use crate::wire::{DigestKind, Prelude, Welcome};

/// Pauses between tries to make a link again: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// The longest while others are of use.
const LONGEST_PAUSE_AMONG_OTHERS: Duration = Duration::from_millis(800);
/// Without any link for so long, the user is told.
const WORTH_SAYING: Duration = Duration::from_secs(1);
/// How often the receiver's thread looks after its links.
const TICK: Duration = Duration::from_millis(100);

/// How it ended for one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// All is written there, verified and on stable storage.
    Done,
    /// It refused, failed, or is lost.
    Failed(Error),
    /// It was started again, and knows only what its journal says.
    Restarted,
}

/// One receiver.
pub(super) struct Peer {
    pub(super) name: String,
    /// The ways to it.
    dials: Vec<Arc<dyn Dial>>,
    prelude: Prelude,
    welcome: Welcome,
    pub(super) terms: Terms,
    pub(super) outbox: Outbox,
    pub(super) figures: Arc<Figures>,
    /// Ends with the run, and when all is over with this receiver.
    pub(super) stop: Stop,
    pub(super) ended: Mutex<Option<Ended>>,
    /// The first link to a receiver that was started again.
    successor: Mutex<Option<Greeted>>,
    next_id: AtomicU64,
    links: Mutex<Links>,
    /// Links that are up, over all receivers.
    all_up: Arc<AtomicU16>,
}

struct Links {
    /// By number, those that are up.
    up: BTreeMap<u16, LinkId>,
    /// Numbers that a thread looks after.
    kept_up: BTreeSet<u16>,
    /// Numbers that are not to be made again.
    retired: Vec<u16>,
    /// Since when there has been none, if there is none.
    alone: Option<Instant>,
    /// How long there was none before, since one was last of any use.
    alone_before: Duration,
    /// Whether the user has been told that there is none.
    told: bool,
    /// Whether the user has been told that all goes over the link that stands by.
    told_of_standby: bool,
    /// How many have been of use.
    helped: u64,
    last_error: Option<Error>,
}

/// What a peer is made of.
pub(super) struct NewPeer {
    pub(super) dials: Vec<Arc<dyn Dial>>,
    pub(super) prelude: Prelude,
    pub(super) welcome: Welcome,
    pub(super) terms: Terms,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
    pub(super) all_up: Arc<AtomicU16>,
}

impl Peer {
    pub(super) fn new(new: NewPeer) -> Self {
        let NewPeer { dials, prelude, welcome, terms, figures, stop, all_up } = new;
        let name = dials.first().map(|dial| dial.name()).unwrap_or_default();
        let links = Links {
            up: BTreeMap::new(),
            kept_up: BTreeSet::new(),
            retired: Vec::new(),
            alone: Some(Instant::now()),
            alone_before: Duration::ZERO,
            told: false,
            told_of_standby: false,
            helped: 0,
            last_error: None,
        };
        Peer {
            name,
            outbox: Outbox::new(welcome.window),
            dials,
            // A receiver that was started again in between goes on with what it has, if it can be compared.
            prelude: Prelude { resumes: prelude.digest != DigestKind::None, ..prelude },
            welcome,
            terms,
            figures,
            stop: stop.child(),
            ended: Mutex::default(),
            successor: Mutex::default(),
            next_id: AtomicU64::new(0),
            links: Mutex::new(links),
            all_up,
        }
    }

    /// Looks after the receiver until it is over with it. `first` are the links that are made already.
    pub(super) fn run(&self, first: Vec<(u16, Link)>) {
        thread::scope(|scope| {
            let numbers = first.iter().map(|(number, _)| *number);
            let mut numbers: Vec<u16> = numbers.filter(|number| !self.is_standby(*number)).collect();
            for (number, link) in first {
                self.start_slot(scope, number, Some(link));
            }
            let most = self.terms.links.most().min(self.welcome.most_links);
            while numbers.len() < usize::from(self.terms.links.first().min(most))
                && self.add_slot(scope, &mut numbers)
            {}
            self.look_after(scope, &mut numbers, most);
            self.outbox.close();
        });
    }

    fn look_after<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, numbers: &mut Vec<u16>, most: u16) {
        let mut growth = Growth::new(self.terms.links);
        let mut epoch = (Instant::now(), self.figures.snapshot());
        let mut all_up = None;
        while self.stop.sleep(TICK).is_ok() {
            self.check_presence();
            self.add_due(scope, numbers, most, &mut all_up);
            if epoch.0.elapsed() < EPOCH {
                continue;
            }
            let now = self.figures.snapshot();
            let rate = now.wire.saturating_sub(epoch.1.wire) as f64 / epoch.0.elapsed().as_secs_f64();
            // Fewer than this are up while some are being remade: that is no time to judge by.
            let up = self.links().up.keys().filter(|number| !self.is_standby(**number)).count();
            if up == numbers.len() && numbers.len() <= usize::from(most) {
                match growth.observe(up as u16, rate, now.utilisation_since(&epoch.1, Stage::Link)) {
                    Advice::Add if numbers.len() < usize::from(most) => {
                        self.add_slot(scope, numbers);
                    }
                    Advice::TakeBack => self.retire(numbers),
                    Advice::Add | Advice::Stay => {}
                }
            }
            epoch = (Instant::now(), now);
        }
    }

    /// Adds the links that are to be there by now, where that is a matter of time; `all_up` is since when those that
    /// there are to be are.
    fn add_due<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        numbers: &mut Vec<u16>,
        most: u16,
        all_up: &mut Option<Instant>,
    ) {
        let up = self.links().up.keys().filter(|number| !self.is_standby(**number)).count();
        if up < numbers.len() {
            *all_up = None;
            return;
        }
        let up_for = all_up.get_or_insert_with(Instant::now).elapsed();
        if let Some(due) = self.terms.links.due(up as u16, up_for) {
            while numbers.len() < usize::from(due.min(most)) && self.add_slot(scope, numbers) {}
        }
    }

    /// Gives the receiver up when there has been no link for too long.
    fn check_presence(&self) {
        let mut links = self.links();
        let Some(since) = links.alone else { return };
        let (now, before, limit) = (since.elapsed(), links.alone_before, self.terms.retry_for);
        if now > WORTH_SAYING.min(limit / 2) && !links.told && !links.kept_up.is_empty() {
            links.told = true;
            let why = links.last_error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            (self.terms.notice)(&format!(
                "{}: no link is left, trying for {} s{why}",
                self.name,
                limit.as_secs_f64()
            ));
        }
        if before + now <= limit {
            return;
        }
        let why = links.last_error.as_ref().map_or_else(|| "no link".to_string(), ToString::to_string);
        drop(links);
        let tried = self.terms.retry_for.as_secs_f64();
        let lost = Error::new(Status::Io, "receiver lost", &self.name, format_args!("tried for {tried} s: {why}"));
        self.end(Ended::Failed(lost.way_out(
            "what has arrived is kept there: start the receiver again with --resume, then send again with --resume",
        )));
    }

    /// Adds a link; false where all numbers are in use.
    fn add_slot<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, numbers: &mut Vec<u16>) -> bool {
        let mut links = self.links();
        // One that was given up may still wait for its last answers: then its number is in use.
        let free = (0..self.prelude.links).find(|n| !links.kept_up.contains(n) && !self.is_standby(*n));
        let Some(number) = free else { return false };
        links.retired.retain(|retired| *retired != number);
        drop(links);
        numbers.push(number);
        self.start_slot(scope, number, None);
        true
    }

    fn retire(&self, numbers: &mut Vec<u16>) {
        let Some(number) = numbers.pop() else { return };
        let mut links = self.links();
        links.retired.push(number);
        if let Some(id) = links.up.get(&number) {
            self.outbox.leave(*id);
        }
    }

    fn start_slot<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, number: u16, first: Option<Link>) {
        self.links().kept_up.insert(number);
        let started = thread::Builder::new().name(format!("link-{number}")).spawn_scoped(scope, move || {
            self.keep_up(number, first);
            self.links().kept_up.remove(&number);
        });
        if let Err(e) = started {
            self.end(Ended::Failed(Error::io("cannot start thread", "link", &e)));
        }
    }

    /// Makes a link and carries frames over it, again and again.
    fn keep_up(&self, number: u16, mut first: Option<Link>) {
        let mut pause = FIRST_PAUSE;
        let mut tries = usize::from(number);
        let mut helped_before = 0;
        while !self.stop.is_set() && !self.links().retired.contains(&number) {
            let link = match first.take() {
                Some(link) => Ok(link),
                // It would be another receiver, while this one can still be reached.
                None if self.is_standby(number) && self.has_links() => Err(None),
                None => self.make(number, tries).map_err(Some),
            };
            let helped = match link {
                Ok(link) => self.carry_counted(number, link),
                Err(error) => {
                    error.into_iter().for_each(|error| self.failed(number, error));
                    false
                }
            };
            tries += 1;
            // One that was of use is made again at once; one that breaks before is not tried at full speed.
            if helped {
                pause = FIRST_PAUSE;
                continue;
            }
            if self.stop.sleep(pause).is_err() {
                return;
            }
            let all_helped = self.links().helped;
            let longest = if all_helped > helped_before { LONGEST_PAUSE_AMONG_OTHERS } else { LONGEST_PAUSE };
            helped_before = all_helped;
            pause = (pause * 2).min(longest);
        }
    }

    /// It may be another host's by now, or one that is just starting: it is tried for as long as the user says.
    fn failed(&self, number: u16, error: Error) {
        let mut links = self.links();
        let stands_by = links.kept_up.iter().any(|number| self.is_standby(*number));
        let no_other = !links.up.keys().any(|number| !self.is_standby(*number));
        if stands_by && no_other && !self.is_standby(number) && !links.told_of_standby && !self.stop.is_set() {
            links.told_of_standby = true;
            (self.terms.notice)(&format!(
                "{}: no other link can be made, all goes through ssh: {error}",
                self.name
            ));
        }
        links.last_error = Some(error);
    }

    fn make(&self, number: u16, tries: usize) -> Result<Link> {
        let dial = &self.dials[tries % self.dials.len()];
        let greeted = greet(&**dial, number, &self.prelude, self.terms.stall, &self.stop)?;
        if greeted.welcome.incarnation == self.welcome.incarnation {
            return Ok(greeted.link);
        }
        self.meet_again(&**dial, greeted)?;
        Err(Error::new(Status::Io, "receiver lost", &self.name, "it was started again"))
    }

    /// The receiver was started again: the next pass begins with a link 0 to it, which is told what is there.
    fn meet_again(&self, dial: &dyn Dial, greeted: Greeted) -> Result<()> {
        let mut successor = self.successor.lock().unwrap_or_else(PoisonError::into_inner);
        // Behind ssh, link 0 has started it and is about to be here.
        if successor.is_some() || (greeted.number != 0 && dial.is_standby(0)) {
            return Ok(());
        }
        *successor = Some(match greeted.number {
            0 => greeted,
            _ => greet(dial, 0, &self.prelude, self.terms.stall, &self.stop)?,
        });
        drop(successor);
        self.end(Ended::Restarted);
        Ok(())
    }

    /// Whether the link was of any use.
    fn carry_counted(&self, number: u16, link: Link) -> bool {
        let id = LinkId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let mut links = self.links();
        links.up.insert(number, id);
        if let Some(since) = links.alone.take() {
            links.alone_before += since.elapsed();
            links.told = false;
        }
        // Given up while it was being made.
        if links.retired.contains(&number) {
            self.outbox.leave(id);
        }
        drop(links);
        self.count_links(self.all_up.fetch_add(1, Ordering::SeqCst) + 1);
        let (helped, carried) = self.carry(link, id, self.is_standby(number));
        self.count_links(self.all_up.fetch_sub(1, Ordering::SeqCst) - 1);
        let mut links = self.links();
        links.up.remove(&number);
        if helped {
            links.alone_before = Duration::ZERO;
            links.helped += 1;
        }
        if links.up.is_empty() {
            links.alone = Some(Instant::now());
        }
        drop(links);
        if let Err(error) = carried {
            self.failed(number, error);
        }
        helped
    }

    /// Over all receivers.
    fn count_links(&self, links: u16) {
        self.figures.threads(Stage::Link, links.into());
        self.figures.set_links(links.into());
    }

    /// It is over with this receiver. Only the first reason counts.
    pub(super) fn end(&self, how: Ended) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ended.is_none();
        if first {
            *ended = Some(how);
        }
        drop(ended);
        if first {
            self.outbox.close();
            // Its words are nobody's: what has ended is told by `ended`.
            self.stop.fail(Error::new(Status::Io, "over", &self.name, ""));
        }
    }

    /// Whether it is over, or the run has been ended.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_set()
    }

    /// How it ended; `None` where the run was ended first.
    pub(super) fn outcome(&self) -> Option<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The link to the receiver that is there now, where it was started again.
    pub(super) fn successor(&self) -> Option<Greeted> {
        self.successor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn has_links(&self) -> bool {
        !self.links().up.is_empty()
    }

    fn is_standby(&self, number: u16) -> bool {
        self.dials.iter().all(|dial| dial.is_standby(number))
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
