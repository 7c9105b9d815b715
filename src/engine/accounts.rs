//! What follows from each entry in the [ledger](super::ledger): the journal's record, the answer, the figures.
//!
//! Shared by the threads that read links, decode, and write the target. The lock is held for one entry only, and
//! never while something is read or written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ledger::{Bringer, Ledger};
use super::record::{Holds, Record};
use super::tally::Received;
use crate::error::{Error, Result};
use crate::progress::Figures;
use crate::stop::{Stop, Stopped};
use crate::wire::{Digest, End, FrameHeader, FrameKind, WireError};

/// A part that comes damaged so often is not damaged by accident.
const MOST_DAMAGED: u32 = 10;

/// The ledger, and who is told of it.
pub(super) struct Accounts {
    ledger: Mutex<Ledger>,
    record: Option<Arc<dyn Record>>,
    holds: Option<Arc<dyn Holds>>,
    /// Whether the sender can be asked for a part again. If not, a damaged one ends the run.
    can_ask: bool,
    /// Where frames come from, for messages.
    stream: String,
    figures: Arc<Figures>,
    stop: Stop,
}

impl Accounts {
    /// With an empty ledger.
    pub(super) fn new(ledger: Ledger, can_ask: bool, receiving: &super::recv::Receiving) -> Self {
        Accounts {
            ledger: Mutex::new(ledger),
            record: receiving.record.clone(),
            holds: receiving.holds.clone(),
            can_ask,
            stream: receiving.stream.clone(),
            figures: receiving.figures.clone(),
            stop: receiving.stop.clone(),
        }
    }

    /// See [`Ledger::reached`].
    pub(super) fn reached(&self) -> u64 {
        self.ledger().reached()
    }

    /// Whether nothing that was admitted is still on its way.
    pub(super) fn all_written(&self) -> bool {
        self.ledger().all_written()
    }

    /// See [`Ledger::is_whole`].
    pub(super) fn is_whole(&self, size: u64) -> bool {
        self.ledger().is_whole(size)
    }

    /// Whether it is recorded what is written.
    pub(super) fn keeps_record(&self) -> bool {
        self.record.is_some()
    }

    /// See [`Ledger::known`].
    pub(super) fn known(&self, header: &FrameHeader, from: Option<&Arc<dyn Bringer>>) -> Result<bool, WireError> {
        self.ledger().known(header, from)
    }

    /// See [`Ledger::admit`].
    pub(super) fn admit(&self, header: &FrameHeader, from: Option<&Arc<dyn Bringer>>) -> Result<bool, WireError> {
        let new = self.ledger().admit(header, from)?;
        if !new {
            self.came_twice();
        }
        Ok(new)
    }

    /// All of a frame came that is here already.
    pub(super) fn came_twice(&self) {
        self.figures.add_twice(1);
    }

    /// The target has the frame: it is recorded, then answered. The frame's buffer and seat are free by then, so
    /// that the sender never has more on its way than there is room for.
    pub(super) fn written(&self, header: &FrameHeader) -> Result<(), Stopped> {
        let digest = header.kind.is_part().then_some(header.digest);
        if let Some(record) = &self.record
            && !self.is_on_record(header)
        {
            record.written(header.offset, header.length, digest).map_err(|error| self.fail(error))?;
        }
        self.figures.add_done(header.used);
        self.ledger().written(header.offset).map_err(|error| {
            self.fail(error.at(&self.stream, format_args!("at offset {} of the volume", header.offset)))
        })
    }

    /// The part came damaged: it is asked for again, where that can be done.
    pub(super) fn damaged(&self, offset: u64, error: WireError) {
        let at = format_args!("in the part at offset {offset}");
        if !self.can_ask {
            return self.stop.fail(error.at(&self.stream, at));
        }
        self.figures.add_again(1);
        if self.ledger().damaged(offset) >= MOST_DAMAGED {
            let on = format_args!("{} {at}", self.stream);
            let why = format_args!("{error}, {MOST_DAMAGED} times over");
            self.stop.fail(Error::stream("stream is corrupt", on, why));
        }
    }

    /// The target does not have a part that it was said to hold: it is asked for whole, where that can be done.
    pub(super) fn not_held(&self, offset: u64) {
        if self.can_ask {
            return self.damaged(offset, WireError::Digest);
        }
        let why = "the target has something else there than what the earlier transfer has written";
        self.stop.fail(
            Error::stream("cannot resume", format_args!("part at offset {offset}"), why)
                .way_out("begin anew, without --resume: over a pipe the part cannot be asked for"),
        );
    }

    /// The digest that a part had when an earlier transfer wrote it. May read the journal's file.
    pub(super) fn held_digest(&self, offset: u64) -> Option<Digest> {
        self.holds.as_ref()?.digest_of(offset)
    }

    /// See [`Ledger::finish`].
    pub(super) fn finish(&self, header: &FrameHeader, end: End) -> Result<Received> {
        let ledger = self.ledger();
        ledger
            .finish(header, end)
            .map_err(|error| error.at(&self.stream, format_args!("at offset {} of the volume", ledger.reached())))
    }

    /// Whether an earlier transfer has recorded what is written. A held part that is written compared equal to what
    /// the source has, so being within that record is enough; one that did not comes again as a part, and is recorded.
    ///
    /// The digest on record is not looked up, for that reads a file, and nearly every part of a resume comes by here.
    /// Where it is another one, somebody gave source and target the same new content: should that part be damaged
    /// before yet another resume, the resume is refused rather than the part sent.
    fn is_on_record(&self, header: &FrameHeader) -> bool {
        header.kind == FrameKind::Held
            && self.holds.as_ref().is_some_and(|holds| holds.contains(header.offset, header.length))
    }

    fn fail(&self, error: Error) -> Stopped {
        self.stop.fail(error);
        Stopped
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
