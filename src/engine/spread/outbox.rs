//! What one receiver still has to get: frames that wait for a link, and frames on their way that it has not
//! answered yet.
//!
//! One lock; links wait on a condition for their next frame. A frame is kept, with its buffer, until the receiver
//! says that it is written; what was on a link that broke waits again, before all that comes later. Memory: parts
//! are bounded by the run's buffers, holes by [`MOST_WAITING`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    changed: Condvar,
}

struct State {
    /// By offset.
    waiting: BTreeMap<u64, Item>,
    /// By offset, with the link that each is on.
    flying: BTreeMap<u64, (Item, LinkId)>,
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
            flying: BTreeMap::new(),
            window: u64::from(window),
            next_turn: 0,
            end: None,
            end_on: None,
            leaving: BTreeSet::new(),
            broken: BTreeSet::new(),
            first_choice: BTreeSet::new(),
            over: false,
        };
        Outbox { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next frame in order of offset; waits while too many wait. One that is over takes nothing.
    pub(super) fn offer(&self, frame: &Arc<SharedFrame>) {
        let mut state = self.lock();
        while state.waiting.len() >= MOST_WAITING && !state.over {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.over {
            return;
        }
        let turn = state.next_turn;
        state.next_turn += 1;
        state.waiting.insert(frame.offset(), Item { frame: frame.clone(), turn, whole: false, tries: 0 });
        self.changed.notify_all();
    }

    /// There are no more frames.
    pub(super) fn end(&self, end: End, size: u64) {
        self.lock().end = Some((end, size));
        self.changed.notify_all();
    }

    /// A link is up.
    pub(super) fn joined(&self, link: LinkId, is_standby: bool) {
        if !is_standby {
            self.lock().first_choice.insert(link);
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
            if let Some(next) = state.next(link) {
                return next;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The receiver has written the frames at these offsets.
    pub(super) fn written(&self, offsets: &[u64]) {
        let mut state = self.lock();
        let mut answered = Vec::with_capacity(offsets.len());
        for offset in offsets {
            // Answered on a link that broke after it was sent again, it may wait by now.
            let flying = state.flying.remove(offset).map(|(item, _)| item);
            answered.extend(flying.or_else(|| state.waiting.remove(offset)));
        }
        drop(state);
        self.changed.notify_all();
        // Buffers go back to their pool here, without the lock.
        drop(answered);
    }

    /// The receiver wants the part at this offset again, with its payload. False when it has been sent too often.
    pub(super) fn again(&self, offset: u64) -> bool {
        let mut state = self.lock();
        let flying = state.flying.remove(&offset).map(|(item, _)| item);
        // Of one that is not known any more the answer was late.
        let Some(item) = flying.or_else(|| state.waiting.remove(&offset)) else { return true };
        let tries = item.tries + 1;
        state.waiting.insert(offset, Item { whole: true, tries, ..item });
        self.changed.notify_all();
        tries < MOST_TRIES
    }

    /// A link is one too many: it sends nothing more.
    pub(super) fn leave(&self, link: LinkId) {
        self.lock().leaving.insert(link);
        self.changed.notify_all();
    }

    /// No answers come over a link any more.
    pub(super) fn broke(&self, link: LinkId) {
        self.lock().broken.insert(link);
        self.changed.notify_all();
    }

    /// Waits until all that is on its way on a link has been answered, or never will be.
    pub(super) fn wait_until_answered(&self, link: LinkId) {
        let mut state = self.lock();
        while !state.over && !state.broken.contains(&link) && state.flying.values().any(|(_, on)| *on == link) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
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
        let on_it = state.flying.extract_if(.., |_, (_, on)| *on == link).collect::<Vec<_>>();
        let count = on_it.len();
        state.waiting.extend(on_it.into_iter().map(|(offset, (item, _))| (offset, item)));
        self.changed.notify_all();
        count
    }

    /// Nothing is to be sent any more; all that is kept goes.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.over = true;
        let kept = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.flying));
        drop(state);
        self.changed.notify_all();
        drop(kept);
    }

    /// The totals that were sent, once all frames have been.
    pub(super) fn totals(&self) -> Option<(End, u64)> {
        self.lock().end
    }
}

impl State {
    fn next(&mut self, link: LinkId) -> Option<Next> {
        let stands_by = !self.first_choice.is_empty() && !self.first_choice.contains(&link);
        if stands_by {
            return None;
        }
        let turns = [
            self.waiting.first_key_value().map(|(_, item)| item.turn),
            self.flying.first_key_value().map(|(_, (item, _))| item.turn),
        ];
        let Some(first_unanswered) = turns.into_iter().flatten().min() else {
            let (end, size) = self.end.filter(|_| self.end_on.is_none())?;
            self.end_on = Some(link);
            return Some(Next::End(end, size));
        };
        let waiting = self.waiting.first_entry()?;
        if waiting.get().turn >= first_unanswered.saturating_add(self.window) {
            return None;
        }
        let (offset, item) = waiting.remove_entry();
        let next = Next::Frame { frame: item.frame.clone(), whole: item.whole };
        self.flying.insert(offset, (item, link));
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Role;
    use crate::wire::{FrameHeader, Segments};

    const SOON: Duration = Duration::from_millis(1);
    const A: LinkId = LinkId(1);
    const B: LinkId = LinkId(2);

    fn outbox(frames: u64, window: u32) -> (Outbox, Arc<Figures>) {
        let (outbox, figures) = (Outbox::new(window), Figures::new(Role::Send));
        for turn in 0..frames {
            let header = FrameHeader::hole(turn * 10, 10, 10);
            let frame = Frame { header, segments: Segments::default(), payload: None };
            outbox.offer(&SharedFrame::new(frame, &figures));
        }
        [A, B].iter().for_each(|link| outbox.joined(*link, false));
        (outbox, figures)
    }

    /// The offset of what the link is given; `None` for nothing.
    fn take(outbox: &Outbox, link: LinkId) -> Option<u64> {
        match outbox.next(link, SOON) {
            Next::Frame { frame, .. } => Some(frame.offset()),
            Next::End(_, size) => Some(size),
            Next::Nothing | Next::Over => None,
        }
    }

    #[test]
    fn what_was_on_a_lost_link_goes_first() {
        let (outbox, figures) = outbox(4, 100);
        assert_eq!([take(&outbox, A), take(&outbox, B), take(&outbox, A)], [Some(0), Some(10), Some(20)]);
        outbox.written(&[20]);
        assert_eq!(outbox.lost(A), 1);
        assert_eq!([take(&outbox, B), take(&outbox, B), take(&outbox, B)], [Some(0), Some(30), None]);
        outbox.end(End::default(), 40);
        outbox.written(&[0, 10]);
        assert_eq!(take(&outbox, B), None, "one is not answered");
        outbox.written(&[30]);
        assert_eq!([take(&outbox, B), take(&outbox, B)], [Some(40), None], "the end, once");
        outbox.lost(B);
        let c = LinkId(3);
        assert_eq!(take(&outbox, c), Some(40), "the end of a lost link");
        assert_eq!(figures.snapshot().done, 40);
    }

    #[test]
    fn the_window_begins_at_the_first_unanswered_frame() {
        let (outbox, _) = outbox(5, 2);
        assert_eq!([take(&outbox, A), take(&outbox, B), take(&outbox, A)], [Some(0), Some(10), None]);
        outbox.written(&[10]);
        assert_eq!(take(&outbox, A), None, "the first is still missing");
        outbox.written(&[0]);
        assert_eq!([take(&outbox, A), take(&outbox, A), take(&outbox, A)], [Some(20), Some(30), None]);
    }

    #[test]
    fn a_part_that_always_arrives_damaged_is_given_up() {
        let (outbox, _) = outbox(1, 2);
        let tries = (0..).take_while(|_| take(&outbox, A).is_some() && outbox.again(0)).count();
        assert_eq!(tries + 1, usize::from(MOST_TRIES));
        assert!(outbox.again(777), "an answer that comes late is no failure");
    }

    #[test]
    fn a_link_that_stands_by_takes_over_when_the_others_are_gone() {
        let (outbox, _) = outbox(2, 100);
        let standby = LinkId(9);
        outbox.joined(standby, true);
        assert_eq!(take(&outbox, standby), None);
        assert_eq!(take(&outbox, A), Some(0));
        [A, B].iter().for_each(|link| _ = outbox.lost(*link));
        assert_eq!([take(&outbox, standby), take(&outbox, standby)], [Some(0), Some(10)]);
    }

    #[test]
    fn whoever_waits_is_woken_at_the_end() {
        let (outbox, _) = outbox(0, 1);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| matches!(outbox.next(A, Duration::from_secs(60)), Next::Over));
            outbox.close();
            assert!(waits.join().expect("no panic"));
        });
    }
}
