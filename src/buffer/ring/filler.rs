//! The ring's end on the reader's thread: gives out free memory, and tells the drains what is in it.

use std::sync::{Arc, PoisonError};

use super::{Queued, Ring};

/// The end that is filled; dropping it ends the stream.
pub struct Filler {
    ring: Arc<Ring>,
    current: Option<Filling>,
    // Where the stream ends that was added so far.
    end: u64,
    // What the drains were told last.
    visible: u64,
}

struct Filling {
    slot: usize,
    filled: usize,
}

impl Filler {
    /// The only one of this ring.
    pub(super) fn new(ring: Arc<Ring>) -> Self {
        Filler { ring, current: None, end: 0, visible: 0 }
    }

    /// Adds the first `added` bytes of the space returned last, and returns space for more, waiting for it if
    /// need be. `None`: nobody reads any more.
    pub fn next(&mut self, added: usize) -> Option<&mut [u8]> {
        let full = self.add(added);
        let whole = self.end / self.ring.block * self.ring.block;
        if (whole > self.visible || full) && !self.tell(whole, full) {
            return None;
        }
        self.space()
    }

    /// The input has ended after `added` more bytes: the last, short block becomes visible.
    pub fn finish(mut self, added: usize) {
        self.add(added);
        self.tell(self.end, true);
    }

    /// Whether the slot is full now.
    fn add(&mut self, added: usize) -> bool {
        self.end += added as u64;
        let Some(current) = &mut self.current else { return false };
        current.filled += added;
        let len = self.ring.slot_len(current.slot);
        debug_assert!(current.filled <= len, "more was added than there was space for");
        current.filled >= len
    }

    /// Tells the drains how far they may take, and whether this slot is done; false if nobody listens.
    fn tell(&mut self, visible: u64, sealed: bool) -> bool {
        let mut state = self.ring.lock();
        if let (Some(current), Some(last)) = (&self.current, state.queue.back_mut()) {
            last.filled = current.filled;
            last.sealed = sealed;
        }
        if sealed {
            self.current = None;
        }
        state.visible = visible;
        self.visible = visible;
        let somebody_reads = !state.nobody_reads();
        self.ring.wake_drains(state);
        somebody_reads
    }

    fn space(&mut self) -> Option<&mut [u8]> {
        if self.current.is_none() {
            let slot = self.free_slot()?;
            self.current = Some(Filling { slot, filled: 0 });
        }
        let current = self.current.as_ref()?;
        let most = self.ring.slot_len(current.slot) - current.filled;
        let start = self.ring.address(current.slot, current.filled);
        // SAFETY: the range lies inside the mapping. No drain sees it: it is not visible, and its slot was given back
        // by every drain before it was taken. The borrow of `self` keeps this the only slice of it.
        Some(unsafe { std::slice::from_raw_parts_mut(start, most) })
    }

    /// Waits for a free slot and puts it at the end of the queue.
    fn free_slot(&mut self) -> Option<usize> {
        let ring = &self.ring;
        let mut state = ring.lock();
        if !ring.has_space(&state, false) {
            state.full += u64::from(ring.start_reading.is_some());
            state.filler_waits = true;
            // They are all primed by that.
            ring.data.notify_all();
            while !ring.has_space(&state, true) {
                state = ring.space.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.filler_waits = false;
        }
        if state.nobody_reads() {
            return None;
        }
        let slot = state.free_slot(ring.slots)?;
        state.queue.push_back(Queued { slot, start: self.end, filled: 0, sealed: false, given: false });
        Some(slot)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let mut state = self.ring.lock();
        state.finished = true;
        if let Some(last) = state.queue.back_mut() {
            last.sealed = true;
        }
        self.ring.data.notify_all();
    }
}
