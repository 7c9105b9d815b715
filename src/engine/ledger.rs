//! What of the volume has come, and what of it is written: every frame is entered here once.
//!
//! In: the header of each frame as it is read from a link, that it is written, or that it came damaged. Out: whether
//! it is new, which links get an answer for it, and at the end whether all of it is the whole volume.
//!
//! Frames of several links come in any order. Those before [`Ledger::position`] are written, and counted in the
//! totals and the root digest; those behind it wait here: some 150 bytes each, and no more of them than the window
//! that the sender was told. Each call costs O(log of the window), but for the frames that the position moves over,
//! each of which it moves over once. One lock is around it, in [`Accounts`](super::accounts::Accounts).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tally::{Covered, Received, Tally};
use crate::error::Result;
use crate::wire::{End, FrameHeader, Prelude, WireError};

/// Who brings frames and is told what becomes of them: a link that is answered, or whoever asks for parts.
///
/// Called with the ledger locked: it must not wait, nor come back to the ledger.
pub(super) trait Bringer: Send + Sync {
    /// The frame at this offset is written.
    fn written(&self, offset: u64);

    /// The part at this offset came to nothing, and is to come again.
    fn again(&self, offset: u64);
}

/// In which order frames may come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// One link without answers: each frame begins where the one before ends.
    Sequential,
    /// Any, but from the first that is not written no further than so many frames.
    Window(usize),
}

/// The frames of one transfer.
pub(super) struct Ledger {
    order: Order,
    /// All before its position is written.
    tally: Tally,
    /// From there on, by offset. They do not overlap.
    ahead: BTreeMap<u64, Entry>,
    /// Where the next frame of a [`Order::Sequential`] link begins.
    next: u64,
}

struct Entry {
    covered: Covered,
    state: State,
    /// How often it came damaged.
    damaged: u32,
    /// Who is told.
    brought_by: Vec<Arc<dyn Bringer>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// On its way from a link to the target.
    UnderWay,
    /// It was damaged, and will come again.
    Awaited,
    Written,
}

impl Ledger {
    pub(super) fn new(prelude: &Prelude, order: Order) -> Self {
        Ledger { order, tally: Tally::new(prelude), ahead: BTreeMap::new(), next: 0 }
    }

    /// Everything before this byte of the volume is written.
    pub(super) fn position(&self) -> u64 {
        self.tally.position()
    }

    /// How far the frames have come, for messages: of a link in sequence all that was read of it.
    pub(super) fn reached(&self) -> u64 {
        self.position().max(self.next)
    }

    /// Whether nothing that was admitted is still on its way.
    pub(super) fn all_written(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Whether the frame is here already, so that its payload is of no use. Then `from` is answered: now, if it is
    /// written, else when it is.
    ///
    /// # Errors
    /// When it covers another range than the one that is here.
    pub(super) fn known(
        &mut self,
        header: &FrameHeader,
        from: Option<&Arc<dyn Bringer>>,
    ) -> Result<bool, WireError> {
        let covered = Covered::by(header);
        let Some(from) = from else { return Ok(false) };
        if covered.offset < self.position() {
            if covered.end() > self.position() {
                return Err(overlapping(&covered));
            }
            from.written(covered.offset);
            return Ok(true);
        }
        let Some(entry) = self.ahead.get_mut(&covered.offset) else { return Ok(false) };
        if entry.state == State::Awaited {
            return Ok(false);
        }
        if entry.covered.length != covered.length {
            return Err(overlapping(&covered));
        }
        match entry.state {
            State::Written => from.written(covered.offset),
            _ if entry.brought_by.iter().any(|link| Arc::ptr_eq(link, from)) => {}
            _ => entry.brought_by.push(from.clone()),
        }
        Ok(true)
    }

    /// Enters a frame that was read to its end; whether it is new. Otherwise it is as [`Ledger::known`]: of two
    /// links that bring the same frame at the same time, the first to bring all of it is the one.
    ///
    /// # Errors
    /// When the sender has put it where it cannot be.
    pub(super) fn admit(
        &mut self,
        header: &FrameHeader,
        from: Option<&Arc<dyn Bringer>>,
    ) -> Result<bool, WireError> {
        if self.known(header, from)? {
            return Ok(false);
        }
        let covered = Covered::by(header);
        match self.order {
            Order::Sequential if covered.offset != self.next => {
                let what = "offset of the frame after what came before";
                return Err(WireError::Field { what, value: covered.offset });
            }
            Order::Sequential => self.next = covered.end(),
            Order::Window(most) if self.ahead.len() >= most && !self.ahead.contains_key(&covered.offset) => {
                let what = "offset of a frame beyond the window";
                return Err(WireError::Field { what, value: covered.offset });
            }
            Order::Window(_) => {}
        }
        let before = self.ahead.range(..covered.offset).next_back();
        let after = self.ahead.range(covered.offset + 1..).next();
        if before.is_some_and(|(_, entry)| entry.covered.end() > covered.offset)
            || after.is_some_and(|(offset, _)| *offset < covered.end())
        {
            return Err(overlapping(&covered));
        }
        let damaged = self.ahead.get(&covered.offset).map_or(0, |entry| entry.damaged);
        let brought_by = from.cloned().into_iter().collect();
        self.ahead.insert(covered.offset, Entry { covered, state: State::UnderWay, damaged, brought_by });
        Ok(true)
    }

    /// The target has the frame at this offset, which was admitted: the links that brought it are answered.
    ///
    /// # Errors
    /// None for a frame that was admitted; it is the tally's.
    pub(super) fn written(&mut self, offset: u64) -> Result<(), WireError> {
        if let Some(entry) = self.ahead.get_mut(&offset) {
            entry.state = State::Written;
            entry.brought_by.drain(..).for_each(|link| link.written(offset));
        }
        while let Some(first) = self.ahead.first_entry()
            && first.get().state == State::Written
            && *first.key() == self.tally.position()
        {
            self.tally.count(&first.remove().covered)?;
        }
        Ok(())
    }

    /// The part at this offset, which was admitted, came damaged: the links that brought it ask for it again. How
    /// often that has happened.
    pub(super) fn damaged(&mut self, offset: u64) -> u32 {
        let Some(entry) = self.ahead.get_mut(&offset) else { return 0 };
        entry.state = State::Awaited;
        entry.damaged += 1;
        entry.brought_by.drain(..).for_each(|link| link.again(offset));
        entry.damaged
    }

    /// Whether all that was entered is written, and is a volume of this size without gaps.
    pub(super) fn is_whole(&self, size: u64) -> bool {
        self.ahead.is_empty() && self.position() == size
    }

    /// Whether all that is written is the whole volume, and what the sender sent.
    ///
    /// # Errors
    /// What is missing or different.
    pub(super) fn finish(&self, header: &FrameHeader, end: End) -> Result<Received, WireError> {
        if let Some(missing) = self.ahead.keys().next() {
            return Err(WireError::Field { what: "place of the end frame before a frame", value: *missing });
        }
        self.tally.finish(header, end)
    }
}

fn overlapping(covered: &Covered) -> WireError {
    WireError::Field { what: "offset of a frame that overlaps another", value: covered.offset }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::answers::{Answers, Next};
    use crate::wire::{Answer, DigestKind, Lineage, PartSize};
    use proptest::prelude::*;
    use std::time::Instant;

    const FRAMES: u64 = 12;

    fn ledger(window: usize) -> Ledger {
        let prelude = Prelude {
            transfer: [0; 16],
            link: 0,
            links: 8,
            part_size: PartSize::default(),
            volume_size: Some(FRAMES * 10),
            used: None,
            digest: DigestKind::Sha256,
            answers: true,
            resumes: false,
            lineage: Lineage::default(),
        };
        Ledger::new(&prelude, Order::Window(window))
    }

    fn frame(turn: u64) -> FrameHeader {
        FrameHeader::hole(turn * 10, 10, 0)
    }

    fn asker(link: &Arc<Answers>) -> Arc<dyn Bringer> {
        link.clone()
    }

    /// What a link is answered: how often each turn was written, and how often it is to come again.
    fn answered(link: &Answers) -> (Vec<u64>, Vec<u64>) {
        let (mut written, mut again) = (Vec::new(), Vec::new());
        while let Next::Answer(answer) = link.next(Instant::now()) {
            match answer {
                Answer::Written(offsets) => written.extend(offsets.iter().map(|offset| offset / 10)),
                Answer::Again(offset) => again.push(offset / 10),
                other => panic!("{other:?}"),
            }
        }
        (written, again)
    }

    proptest! {
        /// Copies come on any of three links, each goes its way at any time: each frame is answered on every link that
        /// brought it, and the totals are of each frame once.
        #[test]
        fn every_copy_is_answered_on_its_link(
            copies in proptest::collection::vec((0..FRAMES, 0usize..3, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let mut ledger = ledger(FRAMES as usize);
            let links: Vec<Arc<Answers>> = (0..3).map(|_| Arc::default()).collect();
            let mut came = [const { Vec::new() }; 3];
            let mut under_way = Vec::new();
            let rest = (0..FRAMES).map(|turn| (turn, 0, true, false));
            for (turn, link, at_once, damaged) in copies.into_iter().chain(rest) {
                came[link].push(turn);
                if ledger.admit(&frame(turn), Some(&asker(&links[link]))).expect("it fits") {
                    under_way.push(turn);
                }
                if at_once && let Some(turn) = under_way.pop() {
                    match damaged {
                        true => _ = ledger.damaged(turn * 10),
                        false => ledger.written(turn * 10).expect("it was admitted"),
                    }
                }
            }
            under_way.into_iter().for_each(|turn| ledger.written(turn * 10).expect("it was admitted"));
            // The rest was undamaged and came last: all is written.
            prop_assert!(ledger.all_written());
            prop_assert_eq!(ledger.position(), FRAMES * 10);
            for (link, mut came) in links.iter().zip(came) {
                let (written, again) = answered(link);
                let mut both = [written, again].concat();
                // A link that brought a frame twice while it was under way is answered once: nothing more waits.
                both.sort_unstable();
                both.dedup();
                came.sort_unstable();
                came.dedup();
                prop_assert_eq!(both, came);
            }
            let totals = End { holes: FRAMES * 10, root: crate::wire::RootDigest::new(DigestKind::Sha256).finish(FRAMES * 10).expect("no parts"), ..End::default() };
            let end = FrameHeader::end(FRAMES * 10, &totals.encode());
            prop_assert_eq!(ledger.finish(&end, totals).expect("it is whole").size, FRAMES * 10);
        }
    }

    #[test]
    fn no_more_frames_are_remembered_than_the_window_has() {
        let (mut ledger, link) = (ledger(4), asker(&Arc::default()));
        for turn in 1..5 {
            assert!(ledger.admit(&frame(turn), Some(&link)).expect("it is in the window"));
            ledger.written(turn * 10).expect("it was admitted");
        }
        assert!(ledger.admit(&frame(5), Some(&link)).is_err());
        // One that came already needs no room, and is answered.
        assert!(!ledger.admit(&frame(4), Some(&link)).expect("it came before"));
        assert_eq!(ledger.ahead.len(), 4);
    }

    #[test]
    fn what_was_damaged_may_come_as_something_else() {
        let (mut ledger, link) = (ledger(4), asker(&Arc::default()));
        assert!(ledger.admit(&frame(0), Some(&link)).expect("it is new"));
        assert_eq!(ledger.damaged(0), 1);
        // The same place, read again by the sender.
        assert!(ledger.admit(&FrameHeader::hole(0, 20, 0), Some(&link)).expect("it is awaited"));
        assert_eq!(ledger.damaged(0), 2);
        assert!(ledger.admit(&FrameHeader::hole(0, 20, 0), Some(&link)).expect("it is awaited"));
        ledger.written(0).expect("it was admitted");
        assert_eq!(ledger.position(), 20);
    }
}
