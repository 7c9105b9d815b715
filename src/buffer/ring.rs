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
//!
//! With a [`Stash`] some slots are pipes instead of memory; they are given out first. A pipe may be full before it
//! holds as many bytes as it could, so blocks do not end where slots do then.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::geometry::Geometry;
use super::memory::Memory;
use super::stash::{PIPE, Stash};

/// A slot is about so large where blocks are smaller: it fits the level-2 cache twice.
const SLOT: u64 = 256 << 10;

/// How long the filler waits for a pipe before it takes memory: a reader that takes a GB/s frees one in this time, and
/// is better waited for than fed by copies. One that does not is slow, and the buffer is there for it.
const PATIENCE: Duration = Duration::from_millis(1);

/// After it waited in vain, the filler takes so many slots of memory before it waits again.
const SPILL: u32 = 64;

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
    stash: Stash,
    block: u64,
    slot: usize,
    slots: usize,
    capacity: u64,
    // Bytes that go into a pipe: no more than a share of a small buffer.
    pipe: usize,
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
    // Slots of memory from here on were never used.
    fresh: usize,
    free_pipes: Vec<usize>,
    queue: VecDeque<Queued>,
    // The number of the slot at the front of the queue, counted over the whole run.
    first: u64,
    // Bytes of the stream before this one may be taken: whole blocks.
    visible: u64,
    drains: Vec<Position>,
    finished: bool,
    filler_waits: bool,
    // The filler waits a moment for a pipe.
    filler_hopes: bool,
    drains_wait: usize,
    empty: u64,
    full: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Memory(usize),
    Pipe(usize),
}

struct Queued {
    slot: Slot,
    // The place of its first byte in the stream.
    start: u64,
    // Bytes in it, as far as the filler has told; some may not be visible yet.
    filled: usize,
    // Nothing will be added to it.
    sealed: bool,
}

#[derive(Default)]
struct Position {
    gone: bool,
    slot: u64,
    // The place in the stream: bytes taken so far.
    taken: u64,
}

impl Ring {
    /// A ring over `memory`, which holds the geometry's bytes, with its two kinds of ends. `stash` is used only
    /// where there is one drain.
    pub fn new(
        memory: Memory,
        stash: Stash,
        geometry: Geometry,
        marks: Watermarks,
        drains: usize,
    ) -> (Arc<Ring>, Filler, Vec<Drain>) {
        let stash = if drains == 1 { stash } else { Stash::default() };
        let blocks_a_slot = (SLOT / geometry.block).min(geometry.blocks / 16).max(1);
        let share = |percent: f64| (geometry.total() as f64 * percent / 100.0) as u64;
        let ring = Arc::new(Ring {
            memory,
            block: geometry.block,
            // The memory exists, so its parts fit an address.
            slot: (blocks_a_slot * geometry.block) as usize,
            slots: geometry.blocks.div_ceil(blocks_a_slot) as usize,
            capacity: geometry.total(),
            pipe: (PIPE.min(geometry.total() / 4)) as usize,
            start_writing: marks.start_writing.map(share),
            start_reading: marks.start_reading.map(share),
            state: Mutex::new(State {
                free_pipes: (0..stash.len()).rev().collect(),
                drains: (0..drains).map(|_| Position::default()).collect(),
                ..State::default()
            }),
            stash,
            space: Condvar::new(),
            data: Condvar::new(),
        });
        let filler = Filler { ring: ring.clone(), current: None, end: 0, visible: 0, spill: 0 };
        let drains = (0..drains).map(|index| Drain { ring: ring.clone(), index, running: false }).collect();
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

    /// Bytes that fit this slot: the last one of memory may be shorter.
    fn slot_len(&self, slot: Slot) -> usize {
        match slot {
            Slot::Memory(slot) => (self.memory.len() - slot * self.slot).min(self.slot),
            Slot::Pipe(_) => self.pipe,
        }
    }

    fn address(&self, slot: usize, offset: usize) -> *mut u8 {
        self.memory.start().wrapping_add(slot * self.slot + offset)
    }

    /// Whether the filler may go on: the waiting mark passed and a slot free, or nobody left to read it.
    fn has_space(&self, state: &State, held_back: bool) -> bool {
        let below = !held_back || self.start_reading.is_none_or(|mark| state.bytes() <= mark);
        // Pipes are no more room than was asked for: bytes in them count like those in memory.
        let room = state.queued() < self.capacity
            && (!state.free_pipes.is_empty() || !state.free.is_empty() || state.fresh < self.slots);
        state.nobody_reads() || (below && room)
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
        let wake = state.filler_hopes || (state.filler_waits && self.has_space(&state, true));
        drop(state);
        if wake {
            self.space.notify_one();
        }
    }
}

impl State {
    fn slowest(&self) -> Option<u64> {
        self.drains.iter().filter(|drain| !drain.gone).map(|drain| drain.taken).min()
    }

    /// Bytes that may be taken, and were not by the slowest.
    fn bytes(&self) -> u64 {
        self.slowest().map_or(0, |taken| self.visible - taken)
    }

    /// Bytes in slots that are not free, as far as the filler has told.
    fn queued(&self) -> u64 {
        let end = self.queue.back().map_or(self.visible, |last| last.start + last.filled as u64);
        self.slowest().map_or(0, |taken| end - taken)
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
            match queued.slot {
                Slot::Memory(slot) => self.free.push(slot),
                Slot::Pipe(pipe) => self.free_pipes.push(pipe),
            }
        }
    }

    /// Takes the slot that was free for the shortest time.
    fn free_slot(&mut self, ring: &Ring) -> Option<Slot> {
        if let Some(pipe) = self.free_pipes.pop() {
            return Some(Slot::Pipe(pipe));
        }
        if let Some(slot) = self.free.pop() {
            return Some(Slot::Memory(slot));
        }
        if self.fresh == ring.slots {
            return None;
        }
        self.fresh += 1;
        Some(Slot::Memory(self.fresh - 1))
    }
}

/// Room for more of the stream.
pub enum Space<'a> {
    /// Memory to read into.
    Bytes(&'a mut [u8]),
    /// A pipe to move pages into.
    Pipe {
        /// The end that takes them.
        inlet: BorrowedFd<'a>,
        /// At most so many bytes.
        most: usize,
        /// So many are in it already.
        held: usize,
    },
}

/// What follows of the stream.
#[derive(Debug)]
pub enum Piece<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a pipe.
    Pipe {
        /// The end that gives them.
        outlet: BorrowedFd<'a>,
        /// So many bytes, which are there.
        len: usize,
    },
}

impl Piece<'_> {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Pipe { len, .. } => *len,
        }
    }

    /// Whether there are none; the ring never says so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end that is filled; dropping it ends the stream.
pub struct Filler {
    ring: Arc<Ring>,
    current: Option<Filling>,
    // Where the stream ends that was added so far.
    end: u64,
    // What the drains were told last.
    visible: u64,
    // Slots of memory to take before it waits for a pipe again.
    spill: u32,
}

struct Filling {
    slot: Slot,
    filled: usize,
}

impl Filler {
    /// Adds the first `added` bytes of the space returned last, and returns space for more, waiting for it if
    /// need be. `None`: nobody reads any more.
    pub fn next(&mut self, added: usize) -> Option<Space<'_>> {
        let full = self.add(added);
        let whole = self.end / self.ring.block * self.ring.block;
        if (whole > self.visible || full) && !self.tell(whole, full) {
            return None;
        }
        self.space()
    }

    /// The space returned last takes no more, although it is not used up: returns other space.
    pub fn next_slot(&mut self) -> Option<Space<'_>> {
        if self.current.is_some() && !self.tell(self.visible, true) {
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

    fn space(&mut self) -> Option<Space<'_>> {
        if self.current.is_none() {
            let slot = self.free_slot()?;
            self.current = Some(Filling { slot, filled: 0 });
        }
        let current = self.current.as_ref()?;
        let most = self.ring.slot_len(current.slot) - current.filled;
        match current.slot {
            Slot::Pipe(pipe) => {
                Some(Space::Pipe { inlet: self.ring.stash.inlet(pipe), most, held: current.filled })
            }
            Slot::Memory(slot) => {
                // SAFETY: the range lies inside the mapping. No drain sees it: it is not visible, and its slot was
                // given back by every drain before it was taken. The borrow of `self` keeps this the only slice of it.
                let bytes =
                    unsafe { std::slice::from_raw_parts_mut(self.ring.address(slot, current.filled), most) };
                Some(Space::Bytes(bytes))
            }
        }
    }

    /// Waits for a free slot and puts it at the end of the queue.
    fn free_slot(&mut self) -> Option<Slot> {
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
        if !ring.stash.is_empty() && state.free_pipes.is_empty() && ring.start_writing.is_none() {
            state = hope_for_pipe(ring, state, &mut self.spill);
        }
        let slot = state.free_slot(ring)?;
        state.queue.push_back(Queued { slot, start: self.end, filled: 0, sealed: false });
        Some(slot)
    }
}

/// Waits a moment for a pipe, unless that was in vain not long ago.
fn hope_for_pipe<'a>(ring: &'a Ring, mut state: MutexGuard<'a, State>, spill: &mut u32) -> MutexGuard<'a, State> {
    if *spill > 0 {
        *spill -= 1;
        return state;
    }
    let end = Instant::now() + PATIENCE;
    state.filler_hopes = true;
    while state.free_pipes.is_empty() {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            *spill = SPILL;
            break;
        }
        (state, _) = ring.space.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner);
    }
    state.filler_hopes = false;
    state
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

/// An end that is emptied; a dropped one no longer holds anybody up.
pub struct Drain {
    ring: Arc<Ring>,
    index: usize,
    // Has not run empty since writing started.
    running: bool,
}

impl Drain {
    /// Takes the first `taken` bytes of the data returned last, and returns what follows, waiting for it if need be.
    /// `None`: the stream has ended and all of it was taken.
    pub fn next(&mut self, taken: usize) -> Option<Piece<'_>> {
        let ring = &*self.ring;
        let mut state = ring.lock();
        if taken > 0 {
            state.drains[self.index].taken += taken as u64;
            self.pass(&mut state);
            if state.filler_waits || (state.filler_hopes && !state.free_pipes.is_empty()) {
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
        match slot {
            Slot::Pipe(pipe) => Some(Piece::Pipe { outlet: ring.stash.outlet(pipe), len }),
            Slot::Memory(slot) => {
                // SAFETY: the range lies inside the mapping and is visible: the filler writes there again only after
                // this drain has taken the slot's last byte, which needs `&mut self` and so ends this borrow.
                let bytes = unsafe { std::slice::from_raw_parts(ring.address(slot, offset), len) };
                Some(Piece::Bytes(bytes))
            }
        }
    }

    /// [`Drain::next`] where there are no pipes: with several drains, or without a stash.
    pub fn next_bytes(&mut self, taken: usize) -> Option<&[u8]> {
        match self.next(taken)? {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Pipe { .. } => unreachable!("a ring with several drains has no pipes"),
        }
    }

    /// Waits until there is something to take and writing may start; `None` at the end.
    fn wait(&self, mut state: MutexGuard<'_, State>) -> Option<(Slot, usize, usize)> {
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
    fn available(&self, state: &mut State) -> Option<(Slot, usize, usize)> {
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

#[cfg(test)]
mod tests;
