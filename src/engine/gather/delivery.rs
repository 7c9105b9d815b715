//! Takes the pieces of a batch as they come, and hands each part that has all of its own to the workers.
//!
//! Runs on the connection's thread. It has at most one buffer at a time: the part's whose pieces are coming. A server
//! is not believed where a piece belongs: it must be within a part that was asked for and has not come yet, behind
//! the piece before it, and no longer when encoded than when it is not.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Failure;
use super::assemble::{Gathered, Piece};
use super::connection::Patience;
use super::plan::Batch;
use crate::engine::decode::Halt;
use crate::engine::intake::Intake;
use crate::engine::ledger::Bringer;
use crate::engine::memory::Buffer;
use crate::error::Error;
use crate::usedmap::{Extent, UsedMap};
use crate::wire::Codec;

/// A part comes in no more pieces than one for so many of its bytes.
const LEAST_PIECES: u64 = 4096;

/// Where the pieces of one batch go.
pub struct Delivery<'a> {
    pub(super) intake: &'a Arc<Intake>,
    pub(super) asker: &'a Arc<dyn Bringer>,
    pub(super) map: &'a Arc<UsedMap>,
    pub(super) patience: &'a Patience,
    /// Who sends, for messages.
    pub(super) from: String,
    /// Parts that have not come whole, in order.
    pub(super) missing: VecDeque<Extent>,
    pub(super) filling: Option<Filling>,
}

/// A part whose pieces are coming.
pub(super) struct Filling {
    place: Extent,
    buffer: Buffer,
    pieces: Vec<Piece>,
    /// Where the last piece ends on the volume.
    reached: u64,
    /// Bytes of the buffer that are filled.
    filled: usize,
    /// Bytes of the last piece that have not come.
    wanted: usize,
    /// Where the last of the map's extents in the part ends.
    until: u64,
}

impl<'a> Delivery<'a> {
    /// Of nothing yet.
    pub(super) fn new(
        (intake, asker): (&'a Arc<Intake>, &'a Arc<dyn Bringer>),
        map: &'a Arc<UsedMap>,
        patience: &'a Patience,
        batch: &Batch,
    ) -> Self {
        let missing = batch.parts.iter().copied().collect();
        Delivery { intake, asker, map, patience, from: String::new(), missing, filling: None }
    }

    /// Says who sends, for messages.
    pub fn from(&mut self, name: &str) {
        name.clone_into(&mut self.from);
    }

    /// Whether all parts have come.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Parts that have not come whole, in order.
    pub fn missing(&self) -> impl Iterator<Item = Extent> {
        self.missing.iter().copied()
    }

    /// The bytes of this piece come next: [`Delivery::fill`].
    ///
    /// # Errors
    /// A failure for a piece that was not asked for, or cannot be. When the run has ended.
    pub fn piece(&mut self, piece: Piece) -> Result<(), Failure> {
        let place = self.part_of(&piece)?;
        let begun = self.filling.as_ref().filter(|filling| filling.place == place);
        let (filled, reached, count) =
            begun.map_or((0, place.offset, 0), |begun| (begun.filled as u64, begun.reached, begun.pieces.len()));
        if piece.place.offset < reached {
            return Err(self.wrong(&piece, "it overlaps the one before it".into()));
        }
        let end = filled.checked_add(piece.coded).filter(|end| *end <= place.length);
        let fits = piece.coded > 0 && (piece.codec != Codec::None || piece.coded == piece.place.length);
        if end.is_none() || !fits {
            return Err(self.wrong(&piece, format!("{} bytes come for it", piece.coded)));
        }
        if count as u64 > place.length / LEAST_PIECES {
            return Err(self.wrong(&piece, "the part comes in too many pieces".into()));
        }
        if begun.is_none() {
            // Dropped first: who waits for a buffer has none.
            self.filling = None;
        }
        let filling = match &mut self.filling {
            Some(filling) => filling,
            none => {
                let buffer = self.intake.buffer()?;
                let until = self.map.extents_in(place).last().map_or(place.offset, Extent::end);
                let reached = place.offset;
                none.insert(Filling { place, buffer, pieces: Vec::new(), reached, filled: 0, wanted: 0, until })
            }
        };
        // A part is at most 64 MiB.
        (filling.reached, filling.wanted) = (piece.place.end(), piece.coded as usize);
        filling.pieces.push(piece);
        Ok(())
    }

    /// Takes as many bytes as belong to the last piece; how many that are. A part that is whole by that goes to the
    /// workers.
    ///
    /// # Errors
    /// A failure where the part's pieces leave out what the map says is data. When the run has ended.
    pub fn fill(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let Some(filling) = &mut self.filling else { return Ok(0) };
        let length = bytes.len().min(filling.wanted);
        filling.buffer[filling.filled..filling.filled + length].copy_from_slice(&bytes[..length]);
        filling.filled += length;
        filling.wanted -= length;
        if filling.wanted == 0
            && filling.reached >= filling.until
            && let Some(filling) = self.filling.take()
        {
            self.hand_over(filling)?;
        }
        Ok(length)
    }

    fn hand_over(&mut self, filling: Filling) -> Result<(), Failure> {
        let Filling { place, buffer, pieces, .. } = filling;
        if !covers(&pieces, self.map.extents_in(place)) {
            let why = format!("of the part at offset {} it left out what its map calls data", place.offset);
            return Err(Failure::wrong(Error::stream("the server sends a wrong piece", &self.from, why)));
        }
        // One of a batch's few hundred.
        self.missing.retain(|part| *part != place);
        self.patience.something_came();
        let part = Gathered { place, pieces, map: Some(self.map.clone()) };
        self.intake.pieces(part, buffer, Some(self.asker)).map_err(|halt| match halt {
            Halt::Stopped => Failure::Stopped,
            Halt::Wire(error) => Failure::last(error.at(&self.from, "")),
        })
    }

    /// The missing part that the piece is of.
    fn part_of(&self, piece: &Piece) -> Result<Extent, Failure> {
        let Extent { offset, length } = piece.place;
        let after = self.missing.partition_point(|part| part.end() <= offset);
        let part = self.missing.get(after).filter(|part| part.offset <= offset && length > 0);
        let end = offset.checked_add(length);
        match part.filter(|part| end.is_some_and(|end| end <= part.end())) {
            Some(part) => Ok(*part),
            None => Err(self.wrong(piece, "it is not of a part that was asked for".into())),
        }
    }

    fn wrong(&self, piece: &Piece, why: String) -> Failure {
        let Extent { offset, length } = piece.place;
        let on = format!("{}: {length} bytes at offset {offset}", self.from);
        Failure::wrong(Error::stream("the server sends a wrong piece", on, why))
    }
}

/// Whether the pieces, in order, cover all extents.
fn covers(pieces: &[Piece], extents: impl Iterator<Item = Extent>) -> bool {
    let mut pieces = pieces.iter().map(|piece| piece.place).peekable();
    for extent in extents {
        let mut reached = extent.offset;
        while reached < extent.end() {
            match pieces.peek() {
                Some(piece) if piece.end() <= reached => _ = pieces.next(),
                Some(piece) if piece.offset <= reached => reached = piece.end(),
                _ => return false,
            }
        }
    }
    true
}
