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
//! Only whole blocks become visible to the drains, the last one at the end of the input excepted. Where pages are
//! given away (see below) a block that is larger than a huge page becomes visible page by page, while it is still in
//! the cache.
//!
//! Bytes are copied in when they are read, and out when they are written; pages are not moved from pipe to pipe
//! (splice(2)), although that would spare both copies. A page in a pipe may still belong to somebody: to a file in the
//! page cache, where the producer spliced it, or to the producer's own memory, where it used vmsplice(2). Whoever
//! changes the file, or reuses the memory once the pipe has been emptied, would change what lies in the buffer, and
//! nothing tells such a page from one that write(2) has filled. What is read is what goes out.
//!
//! The copy out is spared where the memory is in huge pages and there is one output, a pipe. It is given the pages
//! themselves (vmsplice(2)), for good: nobody knows when the last reader has let go of them, so they are never written
//! again. Once all of a slot is out, the ring gives up its pages and gets fresh ones; whoever still refers to the old
//! ones keeps them. That is a page to clear instead of 512 to allocate, fill and free.

mod drain;
mod filler;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::geometry::Geometry;
use super::memory::{HUGE_PAGE, Memory};

pub use drain::Drain;
pub use filler::Filler;

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
    can_give: bool,
    block: u64,
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
    // Slots that are done, with pages somebody else may still refer to.
    given: Vec<usize>,
    // Slots from here on were never used.
    fresh: usize,
    queue: VecDeque<Queued>,
    // The number of the slot at the front of the queue, counted over the whole run.
    first: u64,
    // Bytes of the stream before this one may be taken: whole blocks.
    visible: u64,
    drains: Vec<Position>,
    finished: bool,
    filler_waits: bool,
    drains_wait: usize,
    empty: u64,
    full: u64,
}

struct Queued {
    slot: usize,
    // The place of its first byte in the stream.
    start: u64,
    // Bytes in it, as far as the filler has told; some may not be visible yet.
    filled: usize,
    // Nothing will be added to it.
    sealed: bool,
    // Some of its pages were given to the output.
    given: bool,
}

#[derive(Default)]
struct Position {
    gone: bool,
    slot: u64,
    // The place in the stream: bytes taken so far.
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
        let can_give = drains == 1 && memory.can_give() && fits_huge_pages(geometry);
        let (slot, block) = match can_give {
            true => (HUGE_PAGE as u64, geometry.block.min(HUGE_PAGE as u64)),
            false => (SLOT, geometry.block),
        };
        let blocks = geometry.total() / block;
        let blocks_a_slot = (slot / block).min(blocks / 16).max(1);
        let share = |percent: f64| (geometry.total() as f64 * percent / 100.0) as u64;
        let ring = Arc::new(Ring {
            memory,
            can_give,
            block,
            // The memory exists, so its parts fit an address.
            slot: (blocks_a_slot * block) as usize,
            slots: blocks.div_ceil(blocks_a_slot) as usize,
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
        let filler = Filler::new(ring.clone());
        let drains = (0..drains).map(|index| Drain::new(ring.clone(), index)).collect();
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

    /// Bytes that fit this slot: the last one may be shorter.
    fn slot_len(&self, slot: usize) -> usize {
        (self.memory.len() - slot * self.slot).min(self.slot)
    }

    fn address(&self, slot: usize, offset: usize) -> *mut u8 {
        self.memory.start().wrapping_add(slot * self.slot + offset)
    }

    /// Whether the filler may go on: the waiting mark passed and a slot free, or nobody left to read it.
    fn has_space(&self, state: &State, held_back: bool) -> bool {
        let below = !held_back || self.start_reading.is_none_or(|mark| state.bytes() <= mark);
        state.nobody_reads() || (below && (!state.free.is_empty() || state.fresh < self.slots))
    }

    /// Whether a drain that has run empty may go on.
    fn is_primed(&self, state: &State) -> bool {
        // A filler that waits for space will add nothing until somebody writes, whatever the mark says.
        state.finished || state.filler_waits || self.start_writing.is_none_or(|mark| state.bytes() >= mark)
    }

    /// Tells the drains that wait, if they may go on. The lock is let go first: who wakes up needs it at once.
    fn wake_drains(&self, state: MutexGuard<'_, State>) {
        let wake = state.drains_wait > 0 && self.is_primed(&state);
        drop(state);
        if wake {
            self.data.notify_all();
        }
    }

    /// Tells the filler, if it waits and may go on.
    fn wake_filler(&self, state: MutexGuard<'_, State>) {
        let wake = state.filler_waits && self.has_space(&state, true);
        drop(state);
        if wake {
            self.space.notify_one();
        }
    }
}

/// Whether slots of whole blocks can be whole huge pages, and there are enough of them.
fn fits_huge_pages(geometry: Geometry) -> bool {
    let page = HUGE_PAGE as u64;
    let whole = geometry.block.is_multiple_of(page) || page.is_multiple_of(geometry.block);
    whole && geometry.total() >= 16 * page
}

impl State {
    fn slowest(&self) -> Option<u64> {
        self.drains.iter().filter(|drain| !drain.gone).map(|drain| drain.taken).min()
    }

    /// Bytes that may be taken, and were not by the slowest.
    fn bytes(&self) -> u64 {
        self.slowest().map_or(0, |taken| self.visible - taken)
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
            let done = if queued.given { &mut self.given } else { &mut self.free };
            done.push(queued.slot);
        }
    }

    /// Takes the slot that was free for the shortest time, or else one that was never used, of `slots` that there are.
    fn free_slot(&mut self, slots: usize) -> Option<usize> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.fresh == slots {
            return None;
        }
        self.fresh += 1;
        Some(self.fresh - 1)
    }
}

#[cfg(test)]
mod tests;
