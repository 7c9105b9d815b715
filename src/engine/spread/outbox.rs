//! What one receiver still has to get: frames that wait for a link, and frames on their way that it has not
//! answered yet.
//!
//! A frame is kept, with its buffer, until the receiver says that it is written; what was on a link that broke waits
//! again, before all that comes later. Memory: parts are bounded by the run's buffers, holes by [`MOST_WAITING`].
//!
//! # Who is woken
//!
//! One lock, and a condition for each thing that is waited for. With a frame or an answer that leaves something to
//! send, one of the links that wait for work is woken; having taken something, it wakes the next if more is left. So
//! whoever waits for work must be able to take it: links that stand by wait elsewhere, and when a link's part changes
//! (it comes, leaves or breaks) all are woken and look again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::flying::Flying;
use crate::engine::sequence::Frame;
use crate::progress::Figures;
use crate::wire::End;

/// Frames that wait for a link, before the one who makes them has to wait too.
const MOST_WAITING: usize = 4096;
/// How often one part is sent before it is a defect and not an accident.
const MOST_TRIES: u8 = 10;

/// One connection, of all that are made in a transfer; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId(pub(super) u64);

/// A frame that several receivers may have to get; counted as sent when the last of them has it.
pub(super) struct SharedFrame {
    frame: Frame,
    figures: Arc<Figures>,
}

impl SharedFrame {
    pub(super) fn new(frame: Frame, figures: &Arc<Figures>) -> Arc<Self> {
        Arc::new(SharedFrame { frame, figures: figures.clone() })
    }
}

impl std::ops::Deref for SharedFrame {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        &self.frame
    }
}

impl Drop for SharedFrame {
    fn drop(&mut self) {
        self.frame.count(&self.figures);
    }
}

/// What a link is to do next.
pub(super) enum Next {
    /// Send this.
    Frame {
        /// The frame.
        frame: Arc<SharedFrame>,
        /// With its payload, even if it is a held part.
        whole: bool,
    },
    /// All frames are answered: send the end of a volume of this size.
    End(End, u64),
    /// There has been nothing for as long as was given: say that the sender is there.
    Nothing,
    /// The link is broken, not needed any more, or the transfer over: go.
    Over,
}

/// What one receiver still has to get.
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is something to send, for a link that does not stand by.
    work: Condvar,
    /// Links that stand by may have to do so no longer.
    standby: Condvar,
    /// Fewer frames wait than [`MOST_WAITING`].
    room: Condvar,
    /// Nothing is on its way any more on some link.
    answered: Condvar,
}

struct State {
    /// By offset.
    waiting: BTreeMap<u64, Item>,
    flying: Flying<Item>,
    window: u64,
    next_turn: u64,
    end: Option<(End, u64)>,
    end_on: Option<LinkId>,
    /// Links that are to send nothing more.
    leaving: BTreeSet<LinkId>,
    /// Links on which no answer comes any more.
    broken: BTreeSet<LinkId>,
    /// Links that are up and not standing by.
    first_choice: BTreeSet<LinkId>,
    over: bool,
}

#[derive(Clone)]
struct Item {
    frame: Arc<SharedFrame>,
    turn: u64,
    whole: bool,
    tries: u8,
}

impl Outbox {
    /// `window`: how many frames from the first unanswered one on may be on their way.
    pub(super) fn new(window: u32) -> Self {
        let state = State {
            waiting: BTreeMap::new(),
            flying: Flying::default(),
            window: u64::from(window),
            next_turn: 0,
            end: None,
            end_on: None,
            leaving: BTreeSet::new(),
            broken: BTreeSet::new(),
            first_choice: BTreeSet::new(),
            over: false,
        };
        Outbox {
            state: Mutex::new(state),
            work: Condvar::new(),
            standby: Condvar::new(),
            room: Condvar::new(),
            answered: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened that may matter to anybody.
    fn wake_all(&self) {
        [&self.work, &self.standby, &self.room, &self.answered].into_iter().for_each(Condvar::notify_all);
    }

    /// Wakes one of the links, if there is something for it to do.
    fn wake_for_work(&self, state: &State) {
        if state.has_next() {
            self.work.notify_one();
        }
    }

    /// Wakes who offers frames, once there is room where there was none.
    fn wake_for_room(&self, state: &State, waited: usize) {
        if waited >= MOST_WAITING && state.waiting.len() < MOST_WAITING {
            self.room.notify_all();
        }
    }

    /// Adds the next frame in order of offset; waits while too many wait. One that is over takes nothing.
    pub(super) fn offer(&self, frame: &Arc<SharedFrame>) {
        let mut state = self.lock();
        while state.waiting.len() >= MOST_WAITING && !state.over {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.over {
            return;
        }
        let turn = state.next_turn;
        state.next_turn += 1;
        state.waiting.insert(frame.offset(), Item { frame: frame.clone(), turn, whole: false, tries: 0 });
        self.wake_for_work(&state);
    }

    /// There are no more frames.
    pub(super) fn end(&self, end: End, size: u64) {
        self.lock().end = Some((end, size));
        self.wake_all();
    }

    /// A link is up.
    pub(super) fn joined(&self, link: LinkId, is_standby: bool) {
        if !is_standby {
            self.lock().first_choice.insert(link);
            // Those that stand by and had to work until now.
            self.wake_all();
        }
    }

    /// What `link` is to do; waits for it up to `patience`.
    pub(super) fn next(&self, link: LinkId, patience: Duration) -> Next {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if state.over || state.leaving.contains(&link) || state.broken.contains(&link) {
                return Next::Over;
            }
            // Also after the patience is over: who was woken for a frame takes it.
            let (stands_by, waited) = (state.stands_by(link), state.waiting.len());
            if !stands_by && let Some(next) = state.next(link) {
                self.wake_for_work(&state);
                self.wake_for_room(&state, waited);
                return next;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            let changed = if stands_by { &self.standby } else { &self.work };
            state = changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The receiver has written the frames at these offsets.
    pub(super) fn written(&self, offsets: &[u64]) {
        let mut state = self.lock();
        let (waited, mut was_last) = (state.waiting.len(), false);
        let mut answered = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let flying = state.flying.remove(*offset);
            was_last |= flying.as_ref().is_some_and(|(_, link)| !state.flying.any_on(*link));
            // Answered on a link that broke after it was sent again, it may wait by now.
            answered.extend(flying.map(|(item, _)| item).or_else(|| state.waiting.remove(offset)));
        }
        self.wake_for_work(&state);
        self.wake_for_room(&state, waited);
        drop(state);
        if was_last {
            self.answered.notify_all();
        }
        // Buffers go back to their pool here, without the lock.
        drop(answered);
    }

    /// The receiver wants the part at this offset again, with its payload. False when it has been sent too often.
    pub(super) fn again(&self, offset: u64) -> bool {
        let mut state = self.lock();
        let flying = state.flying.remove(offset).map(|(item, _)| item);
        // Of one that is not known any more the answer was late.
        let Some(item) = flying.or_else(|| state.waiting.remove(&offset)) else { return true };
        let tries = item.tries + 1;
        state.waiting.insert(offset, Item { whole: true, tries, ..item });
        self.wake_all();
        tries < MOST_TRIES
    }

    /// A link is one too many: it sends nothing more.
    pub(super) fn leave(&self, link: LinkId) {
        self.lock().leaving.insert(link);
        self.wake_all();
    }

    /// No answers come over a link any more.
    pub(super) fn broke(&self, link: LinkId) {
        self.lock().broken.insert(link);
        self.wake_all();
    }

    /// Waits until all that is on its way on a link has been answered, or never will be.
    pub(super) fn wait_until_answered(&self, link: LinkId) {
        let mut state = self.lock();
        while !state.over && !state.broken.contains(&link) && state.flying.any_on(link) {
            state = self.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A link is gone: what it had on its way waits again. How many frames that are.
    pub(super) fn lost(&self, link: LinkId) -> usize {
        let mut state = self.lock();
        state.leaving.remove(&link);
        state.broken.remove(&link);
        state.first_choice.remove(&link);
        if state.end_on == Some(link) {
            state.end_on = None;
        }
        let on_it = state.flying.lost(link);
        let count = on_it.len();
        state.waiting.extend(on_it);
        self.wake_all();
        count
    }

    /// Nothing is to be sent any more; all that is kept goes.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.over = true;
        let kept = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.flying));
        drop(state);
        self.wake_all();
        drop(kept);
    }

    /// The totals that were sent, once all frames have been.
    pub(super) fn totals(&self) -> Option<(End, u64)> {
        self.lock().end
    }
}

impl State {
    /// Whether others are up that go first.
    fn stands_by(&self, link: LinkId) -> bool {
        !self.first_choice.is_empty() && !self.first_choice.contains(&link)
    }

    /// Whether there is something for a link to do.
    fn has_next(&self) -> bool {
        let waiting = self.waiting.first_key_value().map(|(_, item)| item.turn);
        let flying = self.flying.first().map(|item| item.turn);
        match (waiting, flying) {
            (None, None) => self.end.is_some() && self.end_on.is_none(),
            (None, Some(_)) => false,
            (Some(turn), flying) => {
                turn < flying.map_or(turn, |flying| flying.min(turn)).saturating_add(self.window)
            }
        }
    }

    fn next(&mut self, link: LinkId) -> Option<Next> {
        if !self.has_next() {
            return None;
        }
        let Some((offset, item)) = self.waiting.pop_first() else {
            let (end, size) = self.end?;
            self.end_on = Some(link);
            return Some(Next::End(end, size));
        };
        let next = Next::Frame { frame: item.frame.clone(), whole: item.whole };
        self.flying.insert(offset, item, link);
        Some(next)
    }
}

#[cfg(test)]
mod tests;
