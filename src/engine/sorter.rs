//! Where frames wait for the target: in order of offset where the target wants that, else as they come.
//!
//! In: frames that are ready to be written, from links and workers. Out: a channel that the target's writers take
//! them from; it ends when the last [`Sorter`] is dropped.
//!
//! Every frame holds a [`Seat`] from before it is put here until it is written; there are as many seats as buffers.
//! So whatever waits here is bounded, and putting a frame here never blocks: the channel has a slot for each seat.
//! Taking a seat may block. See the [engine](super#no-deadlock) for why somebody always gets up.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::memory::Buffer;
use crate::stop::{Stop, Stopped};
use crate::wire::{FrameHeader, Segments};

/// A frame on its way to the target.
pub(super) struct Incoming {
    pub(super) header: FrameHeader,
    pub(super) content: Content,
    pub(super) seat: Seat,
}

/// What of it is still needed.
pub(super) enum Content {
    /// A range of which the header says all: a hole, or what is kept.
    None,
    /// A part whose data is what its digest says.
    Part {
        /// Where the data belongs.
        segments: Segments,
        /// The data segments' bytes, one after the other.
        data: Buffer,
    },
    /// A part that the target is said to hold.
    Held {
        /// Where it has data.
        segments: Segments,
        /// Room to read it into.
        room: Buffer,
    },
}

/// Room for one frame; given back when dropped.
pub(super) struct Seat(Sender<()>);

impl Drop for Seat {
    fn drop(&mut self) {
        // Never full: this seat's own was taken out of it.
        let _ = self.0.try_send(());
    }
}

/// Puts frames in order.
pub(super) struct Sorter {
    ready: Sender<Incoming>,
    /// Of a target that wants everything in order: what is not next.
    early: Option<Mutex<Early>>,
    seats: (Sender<()>, Receiver<()>),
}

#[derive(Default)]
struct Early {
    /// Where the next frame begins.
    next: u64,
    waiting: BTreeMap<u64, Incoming>,
}

impl Sorter {
    /// With room for so many frames. The receiver gives them out, to several writers if they may come in any order.
    pub(super) fn new(seats: usize, in_order: bool) -> (Self, Receiver<Incoming>) {
        let (ready, out) = bounded(seats);
        let free = bounded(seats);
        (0..seats).for_each(|_| free.0.send(()).expect("the channel holds them all"));
        (Sorter { ready, early: in_order.then(Mutex::default), seats: free }, out)
    }

    /// Waits for a seat.
    pub(super) fn seat(&self, stop: &Stop) -> Result<Seat, Stopped> {
        // The sender is here too, so a seat always comes.
        stop.recv(&self.seats.1)?.ok_or(Stopped)?;
        Ok(Seat(self.seats.0.clone()))
    }

    /// Hands on a frame, and those that waited for it.
    pub(super) fn put(&self, incoming: Incoming, stop: &Stop) -> Result<(), Stopped> {
        let Some(early) = &self.early else { return stop.send(&self.ready, incoming) };
        // Held while sending, which never blocks: otherwise another thread's could come in between.
        let mut early = early.lock().unwrap_or_else(PoisonError::into_inner);
        let Early { next, waiting } = &mut *early;
        waiting.insert(incoming.header.offset, incoming);
        while let Some(first) = waiting.first_entry()
            && first.key() == next
        {
            let first = first.remove();
            *next += first.header.length;
            stop.send(&self.ready, first)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(sorter: &Sorter, offset: u64, stop: &Stop) -> Incoming {
        let seat = sorter.seat(stop).expect("there is one");
        Incoming { header: FrameHeader::hole(offset, 10, 0), content: Content::None, seat }
    }

    fn out(from: &Receiver<Incoming>) -> Vec<u64> {
        from.try_iter().map(|incoming| incoming.header.offset).collect()
    }

    #[test]
    fn frames_leave_in_order_where_that_is_wanted() {
        let stop = Stop::new();
        for (in_order, expected) in
            [(true, [vec![], vec![0, 10, 20], vec![30]]), (false, [vec![20, 10], vec![0], vec![30]])]
        {
            let (sorter, from) = Sorter::new(4, in_order);
            for (offsets, expected) in [vec![20, 10], vec![0], vec![30]].into_iter().zip(expected) {
                for offset in offsets {
                    assert!(sorter.put(hole(&sorter, offset, &stop), &stop).is_ok());
                }
                assert_eq!(out(&from), expected);
            }
        }
    }

    #[test]
    fn no_more_frames_wait_than_there_are_seats() {
        let stop = Stop::new();
        let (sorter, from) = Sorter::new(2, true);
        for offset in [20, 10] {
            assert!(sorter.put(hole(&sorter, offset, &stop), &stop).is_ok());
        }
        assert!(sorter.seats.1.is_empty());
        drop((sorter, from));
    }
}
