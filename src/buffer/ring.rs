//! The buffer itself: what the reader has read and the outputs have not written yet.
//!
//! In: bytes from the one [`Filler`], on the reader's thread. Out: the same bytes in the same order to each
//! [`Drain`], one to an output or hash, each on its own thread. Memory is bounded by the slots the ring was made
//! with: the filler waits when none is free, and it is free only after the slowest drain. A drain that is dropped no
//! longer counts; when the last is gone, or the filler has finished, the other side is told and nobody waits.
//!
//! The memory is cut into slots of whole blocks. Slots are queued in the order of the stream, but taken from a stack
//! of free ones, the last freed first: while the buffer is nearly empty the same few slots go round, which keeps them
//! in the cache and the rest of the memory untouched. The lock is taken once a slot, not once a block, as long as
//! both sides move.
//!
//! Only whole blocks become visible to the drains, the last one at the end of the input excepted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::geometry::Geometry;
use super::memory::Memory;

/// A slot is about so large where blocks are smaller: it fits the level-2 cache twice.
const SLOT: u64 = 256 << 10;

/// When writing and reading start, in percent of the buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Watermarks {
    /// `-P`: whenever the buffer has run empty, the outputs wait until it is so full, or the input ends.
    pub start_writing: Option<f64>,
    /// `-p`: whenever the buffer is full, the reader waits until no more than this is left; 0 means empty.
    pub start_reading: Option<f64>,
}

/// What has gone through, for the status line and the summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes in the buffer that the slowest drain has not taken.
    pub bytes: u64,
    /// How often the outputs waited for `start_writing`.
    pub empty: u64,
    /// How often the reader waited for `start_reading`.
    pub full: u64,
    /// Whether the reader is waiting for space.
    pub reader_waits: bool,
    /// Whether every drain is waiting for data.
    pub outputs_wait: bool,
}

/// The buffer, shared by its filler and drains.
pub struct Ring {
    memory: Memory,
    block: usize,
    slot: usize,
    slots: usize,
    capacity: u64,
    // In bytes; what `Watermarks` says in percent.
    start_writing: Option<u64>,
    start_reading: Option<u64>,
    state: Mutex<State>,
    space: Condvar,
    data: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<usize>,
    // Slots from here on were never used.
    fresh: usize,
    queue: VecDeque<Queued>,
    // The number of the slot at the front of the queue, counted over the whole run.
    first: u64,
    published: u64,
    drains: Vec<Position>,
    finished: bool,
    filler_waits: bool,
    drains_wait: usize,
    empty: u64,
    full: u64,
}

struct Queued {
    slot: usize,
    published: usize,
    // Nothing will be added to it.
    complete: bool,
}

#[derive(Default)]
struct Position {
    gone: bool,
    slot: u64,
    offset: usize,
    taken: u64,
}

impl Ring {
    /// A ring over `memory`, which holds the geometry's bytes, with its two kinds of ends.
    pub fn new(
        memory: Memory,
        geometry: Geometry,
        marks: Watermarks,
        drains: usize,
    ) -> (Arc<Ring>, Filler, Vec<Drain>) {
        let blocks_a_slot = (SLOT / geometry.block).min(geometry.blocks / 16).max(1);
        let share = |percent: f64| (geometry.total() as f64 * percent / 100.0) as u64;
        let ring = Arc::new(Ring {
            memory,
            // The memory exists, so its parts fit an address.
            block: geometry.block as usize,
            slot: (blocks_a_slot * geometry.block) as usize,
            slots: geometry.blocks.div_ceil(blocks_a_slot) as usize,
            capacity: geometry.total(),
            start_writing: marks.start_writing.map(share),
            start_reading: marks.start_reading.map(share),
            state: Mutex::new(State {
                drains: (0..drains).map(|_| Position::default()).collect(),
                ..State::default()
            }),
            space: Condvar::new(),
            data: Condvar::new(),
        });
        let filler = Filler { ring: ring.clone(), current: None };
        let drains = (0..drains).map(|index| Drain { ring: ring.clone(), index }).collect();
        (ring, filler, drains)
    }

    /// How full it is now.
    pub fn fill(&self) -> Fill {
        let state = self.lock();
        Fill {
            bytes: state.bytes(),
            empty: state.empty,
            full: state.full,
            reader_waits: state.filler_waits,
            outputs_wait: state.drains_wait >= state.drains.iter().filter(|drain| !drain.gone).count(),
        }
    }

    /// Bytes it can hold.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change below is whole before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in this slot: the last one may be shorter.
    fn slot_len(&self, slot: usize) -> usize {
        (self.memory.len() - slot * self.slot).min(self.slot)
    }

    fn address(&self, slot: usize, offset: usize) -> *mut u8 {
        self.memory.start().wrapping_add(slot * self.slot + offset)
    }

    /// Whether the filler may go on: the waiting mark passed and a slot free, or nobody left to read it.
    fn has_space(&self, state: &State, held_back: bool) -> bool {
        let below = !held_back || self.start_reading.is_none_or(|mark| state.bytes() <= mark);
        state.nobody_reads() || (below && (state.fresh < self.slots || !state.free.is_empty()))
    }

    /// Whether a drain that has run empty may go on.
    fn is_primed(&self, state: &State) -> bool {
        // A filler that waits for space will add nothing until somebody writes, whatever the mark says.
        state.finished || state.filler_waits || self.start_writing.is_none_or(|mark| state.bytes() >= mark)
    }

    fn wake_drains(&self, state: &State) {
        if state.drains_wait > 0 && self.is_primed(state) {
            self.data.notify_all();
        }
    }

    fn wake_filler(&self, state: &State) {
        if state.filler_waits && self.has_space(state, true) {
            self.space.notify_one();
        }
    }
}

impl State {
    fn bytes(&self) -> u64 {
        let slowest = self.drains.iter().filter(|drain| !drain.gone).map(|drain| drain.taken).min();
        slowest.map_or(0, |taken| self.published - taken)
    }

    fn nobody_reads(&self) -> bool {
        self.drains.iter().all(|drain| drain.gone)
    }

    /// Gives back the slots that every drain has passed.
    fn release(&mut self) {
        let slowest = self.drains.iter().filter(|drain| !drain.gone).map(|drain| drain.slot).min();
        while slowest.is_some_and(|slowest| self.first < slowest) {
            let Some(queued) = self.queue.pop_front() else { return };
            self.first += 1;
            self.free.push(queued.slot);
        }
    }

    fn publish(&mut self, bytes: usize, complete: bool) {
        self.published += bytes as u64;
        if let Some(last) = self.queue.back_mut() {
            last.published += bytes;
            last.complete = complete;
        }
    }
}

/// The end that is filled; dropping it ends the stream.
pub struct Filler {
    ring: Arc<Ring>,
    current: Option<Filling>,
}

struct Filling {
    slot: usize,
    filled: usize,
    published: usize,
}

impl Filler {
    /// Adds the first `added` bytes of the space returned last, and returns space for more, waiting for it if
    /// need be. `None`: nobody reads any more.
    pub fn next(&mut self, added: usize) -> Option<&mut [u8]> {
        if let Some(current) = &mut self.current {
            current.filled += added;
            let len = self.ring.slot_len(current.slot);
            debug_assert!(current.filled <= len, "more was added than there was space for");
            let whole = current.filled / self.ring.block * self.ring.block;
            if whole > current.published {
                let mut state = self.ring.lock();
                state.publish(whole - current.published, current.filled == len);
                current.published = whole;
                self.ring.wake_drains(&state);
                if state.nobody_reads() {
                    return None;
                }
            }
            if current.filled == len {
                self.current = None;
            }
        }
        if self.current.is_none() {
            let slot = self.free_slot()?;
            self.current = Some(Filling { slot, filled: 0, published: 0 });
        }
        let current = self.current.as_ref()?;
        let len = self.ring.slot_len(current.slot) - current.filled;
        // SAFETY: the range lies inside the mapping. No drain sees it: it is not published, and its slot was given
        // back by every drain before it was taken. The borrow of `self` keeps this the only slice of it.
        Some(unsafe { std::slice::from_raw_parts_mut(self.ring.address(current.slot, current.filled), len) })
    }

    /// The input has ended after `added` more bytes: the last, short block becomes visible.
    pub fn finish(mut self, added: usize) {
        if let Some(current) = &mut self.current {
            current.filled += added;
            let rest = current.filled - current.published;
            self.ring.lock().publish(rest, true);
        }
    }

    /// Waits for a free slot and puts it at the end of the queue.
    fn free_slot(&mut self) -> Option<usize> {
        let ring = &self.ring;
        let mut state = ring.lock();
        if !ring.has_space(&state, false) {
            state.full += u64::from(ring.start_reading.is_some());
            state.filler_waits = true;
            ring.wake_drains(&state);
            while !ring.has_space(&state, true) {
                state = ring.space.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.filler_waits = false;
        }
        if state.nobody_reads() {
            return None;
        }
        let slot = state.free.pop().unwrap_or_else(|| {
            state.fresh += 1;
            state.fresh - 1
        });
        state.queue.push_back(Queued { slot, published: 0, complete: false });
        Some(slot)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let mut state = self.ring.lock();
        state.finished = true;
        if let Some(last) = state.queue.back_mut() {
            last.complete = true;
        }
        self.ring.data.notify_all();
    }
}

/// An end that is emptied; a dropped one no longer holds anybody up.
pub struct Drain {
    ring: Arc<Ring>,
    index: usize,
}

impl Drain {
    /// Takes the first `taken` bytes of the data returned last, and returns what follows, waiting for it if need be.
    /// `None`: the stream has ended and all of it was taken.
    pub fn next(&mut self, taken: usize) -> Option<&[u8]> {
        let ring = &*self.ring;
        let mut state = ring.lock();
        self.take(&mut state, taken);
        let (slot, offset, len) = match self.available(&mut state) {
            Some(found) => found,
            None => {
                state.empty += u64::from(self.index == 0 && ring.start_writing.is_some() && !state.finished);
                state.drains_wait += 1;
                let found = loop {
                    if ring.is_primed(&state) {
                        match self.available(&mut state) {
                            None if state.finished => break None,
                            None => {}
                            found => break found,
                        }
                    }
                    state = ring.data.wait(state).unwrap_or_else(PoisonError::into_inner);
                };
                state.drains_wait -= 1;
                found?
            }
        };
        drop(state);
        // SAFETY: the range lies inside the mapping and is published: the filler writes there again only after this
        // drain has taken the slot's last byte, which needs `&mut self` and so ends this borrow.
        Some(unsafe { std::slice::from_raw_parts(ring.address(slot, offset), len) })
    }

    fn take(&self, state: &mut State, taken: usize) {
        if taken > 0 {
            let position = &mut state.drains[self.index];
            position.offset += taken;
            position.taken += taken as u64;
            self.pass(state);
            self.ring.wake_filler(state);
        }
    }

    /// Goes to the next slot when this one will get no more.
    fn pass(&self, state: &mut State) {
        let State { drains, queue, first, .. } = state;
        let position = &mut drains[self.index];
        let queued = queue.get((position.slot - *first) as usize);
        if queued.is_some_and(|queued| queued.complete && position.offset == queued.published) {
            position.slot += 1;
            position.offset = 0;
            state.release();
        }
    }

    /// Slot, offset and length of what can be taken at once.
    fn available(&self, state: &mut State) -> Option<(usize, usize, usize)> {
        self.pass(state);
        let position = &state.drains[self.index];
        let queued = state.queue.get((position.slot - state.first) as usize)?;
        let len = queued.published - position.offset;
        (len > 0).then_some((queued.slot, position.offset, len))
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        let mut state = self.ring.lock();
        state.drains[self.index].gone = true;
        state.release();
        self.ring.wake_filler(&state);
        // Others may wait for a level that this one held down.
        self.ring.wake_drains(&state);
    }
}

#[cfg(test)]
mod tests;
