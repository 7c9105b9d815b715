//! What is still to be fetched, and who is fetching it.
//!
//! In: the used map, what the target holds, and what became of each frame. Out: [`Task`]s, the lowest first. Shared
//! by the connections' threads; the lock is held for one decision, a few searches in the map.
//!
//! A frame is *outstanding* from when it is handed out until it is written: the plan knows each by its offset and its
//! turn. No more than a window of turns are outstanding, counted from the first of them; so the ledger's entries,
//! and where the target wants order the buffers, suffice for all of them. What comes to nothing stays outstanding,
//! and is the next to be handed out again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::ledger::Bringer;
use crate::engine::record::Holds;
use crate::stop::{Stop, Stopped};
use crate::usedmap::{Cell, Extent, UsedMap};
use crate::wire::PartSize;

/// How long a run that has ended may go unnoticed.
const NOTICE: Duration = Duration::from_millis(100);

/// Parts that are fetched with one request. Between them there is no other part with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The grid's cells, in order; each has data.
    pub parts: Vec<Extent>,
}

impl Batch {
    /// From the first part's first byte to the last one's end.
    pub fn span(&self) -> Extent {
        let first = self.parts.first().map_or(0, |part| part.offset);
        Extent::between(first, self.parts.last().map_or(first, |part| part.end()))
    }
}

/// What a connection's thread is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The target is to have a hole there.
    Hole(Extent),
    /// The target holds this part, as far as is known.
    Held(Extent),
    /// To be fetched; and these holes are between its parts, of which the target is to be told.
    Fetch {
        /// In order.
        holes: Vec<Extent>,
        /// The parts.
        batch: Batch,
    },
}

/// A part with data, or a hole.
struct Frame {
    place: Extent,
    is_part: bool,
}

/// How much is handed out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most frames from the first that is not written to the last that is handed out.
    pub(super) window: usize,
    /// How many ask.
    pub(super) connections: usize,
    /// See [`Gathering`](super::Gathering).
    pub(super) most_bytes: u64,
    /// See [`Gathering`](super::Gathering).
    pub(super) most_cells: u64,
}

/// See the [module](self).
pub(super) struct Plan {
    map: Arc<UsedMap>,
    part_size: u64,
    holds: Option<Arc<dyn Holds>>,
    limits: Limits,
    state: Mutex<State>,
    change: Condvar,
    stop: Stop,
}

struct State {
    /// All before is handed out.
    position: u64,
    /// Used bytes that are not handed out.
    left: u64,
    /// The next frame's.
    turn: u64,
    /// Handed out and not written: the offset's turn. Turns rise with offsets.
    outstanding: BTreeMap<u64, u64>,
    /// Of these, the parts that are to be fetched again.
    again: BTreeSet<u64>,
}

impl Plan {
    /// Nothing is handed out yet.
    pub(super) fn new(
        map: Arc<UsedMap>,
        part_size: PartSize,
        holds: Option<Arc<dyn Holds>>,
        limits: Limits,
        stop: &Stop,
    ) -> Self {
        let left = map.used_bytes();
        let state = State { position: 0, left, turn: 0, outstanding: BTreeMap::new(), again: BTreeSet::new() };
        let (part_size, state) = (part_size.bytes() as u64, Mutex::new(state));
        Plan { map, part_size, holds, limits, state, change: Condvar::new(), stop: stop.clone() }
    }

    /// The next task, waited for while there may be one; `None` when all is written.
    pub(super) fn next(&self) -> Result<Option<Task>, Stopped> {
        let mut state = self.lock();
        loop {
            if self.stop.is_set() {
                return Err(Stopped);
            }
            if let Some(task) = self.choose(&mut state) {
                return Ok(Some(task));
            }
            if state.outstanding.is_empty() && state.position >= self.map.size() {
                return Ok(None);
            }
            state = self.change.wait_timeout(state, NOTICE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for so long, or until all is written.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Stopped> {
        let until = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.stop.is_set() {
                return Err(Stopped);
            }
            if left.is_zero() || (state.outstanding.is_empty() && state.position >= self.map.size()) {
                return Ok(());
            }
            state = self.change.wait_timeout(state, left.min(NOTICE)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Parts that were handed out did not come.
    pub(super) fn give_back(&self, parts: impl IntoIterator<Item = Extent>) {
        self.lock().again.extend(parts.into_iter().map(|part| part.offset));
        self.change.notify_all();
    }

    fn choose(&self, state: &mut State) -> Option<Task> {
        if let Some(first) = state.again.first().copied() {
            let run = self.collect(first, |place| state.again.contains(&place.offset), u64::MAX, usize::MAX);
            let parts: Vec<Extent> =
                run.into_iter().filter(|frame| frame.is_part).map(|frame| frame.place).collect();
            parts.iter().for_each(|part| _ = state.again.remove(&part.offset));
            return Some(Task::Fetch { holes: Vec::new(), batch: Batch { parts } });
        }
        let room = state.room(self.limits.window);
        let cell = self.map.cells_from(state.position, self.part_size).next().filter(|_| room > 0)?;
        match cell {
            Cell::Hole(hole) => {
                state.hand_out(hole);
                Some(Task::Hole(hole))
            }
            Cell::Data(data) if self.holds(data.place) => {
                state.left -= data.used_bytes();
                state.hand_out(data.place);
                Some(Task::Held(data.place))
            }
            Cell::Data(data) => Some(self.fresh(state, data.place.offset, room)),
        }
    }

    /// A batch of what has not been handed out before.
    fn fresh(&self, state: &mut State, first: u64, room: usize) -> Task {
        // Towards the end smaller ones, so that all connections end about together. And where the window is small,
        // each has its share of it.
        let share = state.left / (2 * self.limits.connections as u64);
        let most_frames = (self.limits.window / (2 * self.limits.connections)).clamp(1, room);
        let (mut holes, mut parts) = (Vec::new(), Vec::new());
        for Frame { place, is_part } in self.collect(first, |place| !self.holds(place), share, most_frames) {
            state.hand_out(place);
            if is_part {
                state.left -= self.map.extents_in(place).map(|extent| extent.length).sum::<u64>();
                parts.push(place);
            } else {
                holes.push(place);
            }
        }
        Task::Fetch { holes, batch: Batch { parts } }
    }

    /// Parts from `first` on, which is one, with the holes between them: as far as each part with data is wanted.
    fn collect(&self, first: u64, wanted: impl Fn(Extent) -> bool, share: u64, most_frames: usize) -> Vec<Frame> {
        let most_bytes = self.limits.most_bytes.min(share);
        let mut bytes = 0;
        let mut frames: Vec<Frame> = Vec::new();
        for cell in self.map.cells_from(first, self.part_size) {
            let (place, is_part) = match cell {
                Cell::Hole(hole) => (hole, false),
                Cell::Data(data) => (data.place, true),
            };
            bytes += if is_part { place.length } else { 0 };
            let is_full = frames.len() >= most_frames
                || bytes > most_bytes
                || (place.offset - first) / self.part_size >= self.limits.most_cells;
            if !frames.is_empty() && (is_full || (is_part && !wanted(place))) {
                break;
            }
            frames.push(Frame { place, is_part });
        }
        // What comes after a batch is the next one's matter.
        let length = frames.iter().rposition(|frame| frame.is_part).map_or(0, |last| last + 1);
        frames.truncate(length);
        frames
    }

    fn holds(&self, place: Extent) -> bool {
        self.holds.as_ref().is_some_and(|holds| holds.contains(place.offset, place.length))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hand_out(&mut self, place: Extent) {
        self.outstanding.insert(place.offset, self.turn);
        self.turn += 1;
        self.position = place.end();
    }

    /// How many more frames the window has room for.
    fn room(&self, window: usize) -> usize {
        let first = self.outstanding.first_key_value().map_or(self.turn, |(_, turn)| *turn);
        // A window is no more than 2^16.
        window.saturating_sub((self.turn - first) as usize)
    }
}

impl Bringer for Plan {
    fn written(&self, offset: u64) {
        self.lock().outstanding.remove(&offset);
        self.change.notify_all();
    }

    fn again(&self, offset: u64) {
        self.lock().again.insert(offset);
        self.change.notify_all();
    }
}
