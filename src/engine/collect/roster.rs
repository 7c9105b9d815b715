//! The links of a transfer: taken in, refused, dropped when silent, remembered until both their threads are over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::crew::Crew;
use super::super::intake::Intake;
use super::connection::{Connection, Terms, Why};
use super::refuse;
use crate::error::{Result, Status};
use crate::link::Link;
use crate::progress::Stage;
use crate::wire::{Answer, Prelude};

/// More links than this that are being refused at the same time are hung up without a word.
const MOST_REFUSALS: usize = 16;

/// The links of a transfer.
pub(super) struct Roster {
    /// The first link's; the others' are the same but for the number, and may resume where the first did not.
    pub(super) prelude: Prelude,
    pub(super) intake: Arc<Intake>,
    pub(super) terms: Arc<Terms>,
    /// See [`Collecting`](super::Collecting).
    pub(super) stall: Duration,
    pub(super) notice: Box<dyn Fn(&str)>,
    links: Vec<Connection>,
    /// How many there have been.
    opened: u64,
    /// Since when there has been none, and how the last one ended.
    alone: Option<(Instant, String)>,
    /// What is said on every link from now on, when all else is answered.
    last: Option<Answer>,
    /// The sender has heard that.
    heard: bool,
    refusals: Arc<AtomicUsize>,
}

impl Roster {
    /// Of no links yet.
    pub(super) fn new(
        prelude: Prelude,
        intake: Arc<Intake>,
        terms: Arc<Terms>,
        stall: Duration,
        notice: Box<dyn Fn(&str)>,
    ) -> Self {
        Roster {
            prelude,
            intake,
            terms,
            stall,
            notice,
            links: Vec::new(),
            opened: 0,
            alone: None,
            last: None,
            heard: false,
            refusals: Arc::default(),
        }
    }

    /// Takes in a link that somebody has authenticated, if it belongs to the transfer; if not, it is told why.
    ///
    /// # Errors
    /// When there cannot be more threads.
    pub(super) fn take_in(&mut self, crew: &mut Crew, link: Link, prelude: &Prelude) -> Result<()> {
        if prelude.transfer != self.prelude.transfer {
            self.refuse(link, "the receiver is busy with another transfer");
            return Ok(());
        }
        // A sender that did not resume at first would, where the receiver was started again meanwhile.
        let Prelude { link: first, resumes, .. } = self.prelude;
        if (Prelude { link: first, resumes, ..prelude.clone() }) != self.prelude {
            self.refuse(link, "the link's prelude is not the one that the transfer's first link had");
            return Ok(());
        }
        // The sender knows better that the link which had this number is dead.
        let old = self.links.iter_mut().filter(|old| old.number == prelude.link && old.lives());
        old.for_each(|old| old.drop_for("was made anew by the sender".into()));
        if self.living() >= usize::from(self.terms.welcome.most_links) {
            self.refuse(link, &format!("{} links are the most that are taken", self.living()));
            return Ok(());
        }
        self.welcome(crew, link, prelude.link)
    }

    /// Takes in a link that belongs to the transfer.
    ///
    /// # Errors
    /// When there cannot be more threads.
    pub(super) fn welcome(&mut self, crew: &mut Crew, link: Link, number: u16) -> Result<()> {
        self.opened += 1;
        // Link 0 is the one that a sender waits for before it makes others. Made anew, it may have lost the list.
        // Of several receivers the second is met over the sender's link 1.
        let have = self.prelude.resumes && (number == 0 || self.opened == 1);
        let link = Connection::open(crew, link, (self.opened, number), have, &self.intake, &self.terms)?;
        if let Some(last) = &self.last {
            link.answers.last(last.clone());
        }
        self.links.push(link);
        self.alone = None;
        self.show();
        Ok(())
    }

    /// What every link says last, those that are there and those that come. The first such answer stays.
    pub(super) fn say_last(&mut self, answer: Answer) {
        let last = self.last.get_or_insert(answer);
        self.links.iter().for_each(|link| link.answers.last(last.clone()));
    }

    /// Nothing more is read from a link.
    pub(super) fn ended(&mut self, id: u64, why: Why) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        let how = match (&link.dropped, &why) {
            (Some(dropped), _) => dropped.clone(),
            (None, Why::Broken(error)) => format!("broke: {error}"),
            (None, Why::Closed | Why::Stopped) => "was closed by the sender".into(),
        };
        let said = format!("link {} from {} {how}", link.number, link.name);
        let worth_saying = self.last.is_none() && !matches!(why, Why::Stopped);
        link.read = Some(why);
        let living = self.living();
        if worth_saying {
            (self.notice)(&format!("{said}; {living} left"));
        }
        if living == 0 {
            self.alone = Some((Instant::now(), how));
        }
        self.forget();
    }

    /// Nothing more is answered on a link; `last` says whether its last answer was written.
    pub(super) fn answered(&mut self, id: u64, last: bool) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        link.answered = Some(last);
        self.forget();
    }

    /// Drops those on which the other side has done nothing for too long.
    pub(super) fn drop_silent(&mut self) {
        let (stall, never) = (self.stall, self.stall.is_zero());
        let silent = |link: &&mut Connection| !never && link.lives() && link.pulse.silent() >= stall;
        for link in self.links.iter_mut().filter(silent) {
            link.drop_for(format!("was silent for {} s", stall.as_secs_f32()));
        }
    }

    /// How long there has been no link, and how the last one ended.
    pub(super) fn alone(&self) -> Option<(Duration, &str)> {
        self.alone.as_ref().map(|(since, how)| (since.elapsed(), how.as_str()))
    }

    /// Whether the sender has closed a link after the last answer on it was written.
    pub(super) fn was_heard(&self) -> bool {
        self.heard
    }

    /// Whether all threads of all links are over.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Hangs up all links, and lets go of the intake.
    pub(super) fn hang_up(self) {
        self.links.iter().for_each(|link| link.hang_up.hang_up());
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

    fn forget(&mut self) {
        self.heard |= self.links.iter().any(Connection::was_heard);
        self.links.retain(|link| link.read.is_none() || link.answered.is_none());
        self.show();
    }

    fn living(&self) -> usize {
        self.links.iter().filter(|link| link.lives()).count()
    }

    fn show(&self) {
        let living = self.living();
        self.terms.figures.set_links(living as u64);
        self.terms.figures.threads(Stage::Link, living);
    }
}
