//! What one link has still to answer.
//!
//! In: who writes the target, or asks for a part again, puts the frame's offset here, for each link that has brought
//! the frame. Out: the thread that writes the link's answers takes them, as many as fit in one.
//!
//! **No answer is lost for good.** Every copy of a frame that is read from a link is answered on that very link. So
//! an answer is lost only together with its link, and of a link that is lost the sender sends again, on others, all
//! that it has not seen answered; what comes again is answered again. That is why nothing that was taken from here
//! is put back when a link breaks, and why an answer must not leave on another link than the frame came on: the
//! frame's link may live on while that one breaks, and then nobody would know that the frame waits for an answer.
//!
//! Memory: 8 bytes for each frame that was read and whose answer is not. The reader of a link looks at
//! [`Answers::waiting`] and gives up a link whose sender sends on and on and takes no answers.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ledger::Bringer;
use crate::wire::Answer;
use crate::wire::answer::MOST_OFFSETS;

/// What one link has still to answer.
#[derive(Debug, Default)]
pub(super) struct Answers {
    state: Mutex<State>,
    change: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: Vec<u64>,
    again: Vec<u64>,
    last: Option<Answer>,
    closed: bool,
}

/// What the thread that writes answers does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write this.
    Answer(Answer),
    /// Write this, after which nothing follows.
    Last(Answer),
    /// There was nothing until the time that was given.
    Nothing,
    /// The link is gone.
    Closed,
}

impl Answers {
    /// What is said after all that waits. The first such answer stays.
    pub(super) fn last(&self, answer: Answer) {
        self.put(|state| _ = state.last.get_or_insert(answer));
    }

    /// The link is gone: what waits is dropped, and what comes.
    pub(super) fn close(&self) {
        self.put(|state| *state = State { closed: true, ..State::default() });
    }

    /// How many frames wait for their answer to be taken.
    pub(super) fn waiting(&self) -> usize {
        let state = self.lock();
        state.written.len() + state.again.len()
    }

    /// Waits for something to answer.
    pub(super) fn next(&self, until: Instant) -> Next {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.next() {
                return next;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            state = self.change.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn put(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if !state.closed {
            change(&mut state);
            self.change.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bringer for Answers {
    fn written(&self, offset: u64) {
        self.put(|state| state.written.push(offset));
    }

    fn again(&self, offset: u64) {
        self.put(|state| state.again.push(offset));
    }
}

impl State {
    fn next(&mut self) -> Option<Next> {
        if self.closed {
            return Some(Next::Closed);
        }
        // A part that must come again holds up most.
        if let Some(offset) = self.again.pop() {
            return Some(Next::Answer(Answer::Again(offset)));
        }
        if !self.written.is_empty() {
            let rest = self.written.split_off(self.written.len().min(MOST_OFFSETS));
            return Some(Next::Answer(Answer::Written(mem::replace(&mut self.written, rest))));
        }
        self.last.take().map(|last| {
            self.closed = true;
            Next::Last(last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn done() -> Answer {
        Answer::Done { end: Default::default(), size: 0 }
    }

    #[test]
    fn answers_are_batched_and_the_last_is_the_last() {
        let (answers, now) = (Answers::default(), Instant::now());
        assert_eq!(answers.next(now), Next::Nothing);
        (0..MOST_OFFSETS as u64 + 1).for_each(|offset| answers.written(offset));
        answers.last(done());
        answers.again(7);
        assert_eq!(answers.waiting(), MOST_OFFSETS + 2);
        assert_eq!(answers.next(now), Next::Answer(Answer::Again(7)));
        assert_eq!(answers.next(now), Next::Answer(Answer::Written((0..MOST_OFFSETS as u64).collect())));
        assert_eq!(answers.next(now), Next::Answer(Answer::Written(vec![MOST_OFFSETS as u64])));
        assert_eq!(answers.next(now), Next::Last(done()));
        answers.written(1);
        assert_eq!((answers.waiting(), answers.next(now)), (0, Next::Closed));
    }

    #[test]
    fn who_waits_is_woken() {
        let answers = Answers::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| answers.next(Instant::now() + Duration::from_secs(60)));
            answers.close();
            assert_eq!(waiting.join().expect("no panic"), Next::Closed);
        });
    }
}
