//! The ring's end on the thread of an output or hash: gives what follows of the stream, and takes back what was used.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Ring, State};

/// An end that is emptied; a dropped one no longer holds anybody up.
pub struct Drain {
    ring: Arc<Ring>,
    index: usize,
    // Has not run empty since writing started.
    running: bool,
    can_give: bool,
    // Pages of what was returned last.
    gave: bool,
}

impl Drain {
    /// The end with this place among the ring's drains.
    pub(super) fn new(ring: Arc<Ring>, index: usize) -> Self {
        let can_give = ring.can_give;
        Drain { ring, index, running: false, can_give, gave: false }
    }

    /// Whether the output may be given the pages that hold the data; it says so with [`Drain::gave`].
    pub fn can_give(&self) -> bool {
        self.can_give
    }

    /// Somebody else refers to the pages of the data returned last: they will be used no more.
    pub fn gave(&mut self) {
        self.gave = true;
    }

    /// Takes the first `taken` bytes of the data returned last, and returns what follows, waiting for it if need be.
    /// `None`: the stream has ended and all of it was taken.
    pub fn next(&mut self, taken: usize) -> Option<&[u8]> {
        let ring = &*self.ring;
        let mut state = ring.lock();
        if taken > 0 {
            state.drains[self.index].taken += taken as u64;
            if std::mem::take(&mut self.gave) {
                let State { drains, queue, first, .. } = &mut *state;
                if let Some(queued) = queue.get_mut((drains[self.index].slot - *first) as usize) {
                    queued.given = true;
                }
            }
            self.pass(&mut state);
            while let Some(slot) = state.given.pop() {
                drop(state);
                let renewed = ring.memory.renew(slot * ring.slot, ring.slot_len(slot));
                state = ring.lock();
                if renewed {
                    state.free.push(slot);
                } else {
                    // What others refer to must not be written. There are slots enough to lose one.
                    self.can_give = false;
                }
            }
            if state.filler_waits {
                ring.wake_filler(state);
                state = ring.lock();
            }
        }
        let found = if self.running { self.available(&mut state) } else { None };
        self.running = false;
        let (slot, offset, len) = match found {
            Some(found) => found,
            None => self.wait(state)?,
        };
        self.running = true;
        // SAFETY: the range lies inside the mapping and is visible: the filler writes there again only after this
        // drain has taken the slot's last byte, which needs `&mut self` and so ends this borrow.
        Some(unsafe { std::slice::from_raw_parts(ring.address(slot, offset), len) })
    }

    /// Waits until there is something to take and writing may start; `None` at the end.
    fn wait(&self, mut state: MutexGuard<'_, State>) -> Option<(usize, usize, usize)> {
        let ring = &*self.ring;
        state.empty += u64::from(self.index == 0 && ring.start_writing.is_some() && !state.finished);
        loop {
            if ring.is_primed(&state) {
                match self.available(&mut state) {
                    None if state.finished => return None,
                    None => {}
                    found => return found,
                }
            }
            state.drains_wait += 1;
            state = ring.data.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.drains_wait -= 1;
        }
    }

    /// Goes to the next slot when this one will get no more.
    fn pass(&self, state: &mut State) {
        let State { drains, queue, first, .. } = state;
        let position = &mut drains[self.index];
        while let Some(queued) = queue.get((position.slot - *first) as usize)
            && queued.sealed
            && position.taken == queued.start + queued.filled as u64
        {
            position.slot += 1;
        }
        state.release();
    }

    /// Slot, offset and length of what can be taken at once.
    fn available(&self, state: &mut State) -> Option<(usize, usize, usize)> {
        self.pass(state);
        let position = &state.drains[self.index];
        let queued = state.queue.get((position.slot - state.first) as usize)?;
        let end = (queued.start + queued.filled as u64).min(state.visible);
        // Both fit: they lie inside a slot.
        let (offset, len) = ((position.taken - queued.start) as usize, end.saturating_sub(position.taken) as usize);
        (len > 0).then_some((queued.slot, offset, len))
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        let mut state = self.ring.lock();
        state.drains[self.index].gone = true;
        state.release();
        self.ring.wake_filler(state);
    }
}
