//! Reads one link's frames and puts them into the [intake](super::intake): on the link's own thread.
//!
//! It has at most one buffer of the pool at a time, and has it only while it reads a payload into it.

use std::io::{self, Read};
use std::sync::Arc;

use super::decode::Halt;
use super::intake::Intake;
use super::ledger::Bringer;
use crate::error::Result;
use crate::wire::segments::ENTRY;
use crate::wire::{End, FrameHeader, FrameKind, WireError};

/// Reads one link.
pub(super) struct FrameReader<R> {
    pub(super) link: R,
    pub(super) intake: Arc<Intake>,
    /// The link's answers, if it goes both ways.
    pub(super) from: Option<Arc<dyn Bringer>>,
}

/// What was read.
pub(super) enum Event {
    /// A frame that has been taken care of.
    Frame,
    /// The end frame, not yet compared with anything.
    End(FrameHeader, End),
    /// The sender gives up; its reason.
    Abort(String),
}

impl<R: Read> FrameReader<R> {
    /// Reads one frame.
    ///
    /// # Errors
    /// What is wrong with the link, or with what the sender says on it. A link that is closed between two frames is
    /// [`WireError::Truncated`] by a whole header. A damaged part is not an error here.
    pub(super) fn next(&mut self) -> Result<Event, Halt> {
        let header = FrameHeader::read(&mut self.link, &self.intake.prelude)?;
        match header.kind {
            FrameKind::End => {
                let end = End::read(&header, &mut self.link)?;
                return Ok(Event::End(header, end));
            }
            FrameKind::Abort => return Ok(Event::Abort(header.read_reason(&mut self.link)?)),
            FrameKind::Alive => {}
            FrameKind::Hole | FrameKind::Kept => self.intake.without_data(header, self.from.as_ref())?,
            FrameKind::Part | FrameKind::Held => self.part(header)?,
        }
        Ok(Event::Frame)
    }

    fn part(&mut self, header: FrameHeader) -> Result<(), Halt> {
        let from = self.from.as_ref();
        if self.intake.known(&header, from)? {
            self.skip(&header)?;
            self.intake.came_twice();
            return Ok(());
        }
        let mut buffer = self.intake.buffer()?;
        let segments = header.read_segments(&mut self.link, &self.intake.prelude);
        // The header is believed, so the lengths of table and payload are right even where the table is damaged.
        if !matches!(segments, Err(WireError::Io(_) | WireError::Truncated { .. })) {
            header.read_payload(&mut self.link, &mut buffer)?;
        }
        match segments {
            Ok(segments) => self.intake.part(header, segments, buffer, from),
            Err(error @ (WireError::Checksum { .. } | WireError::Field { .. })) => {
                drop(buffer);
                self.intake.damaged(&header, error, from)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads over a part's table and payload.
    fn skip(&mut self, header: &FrameHeader) -> Result<(), WireError> {
        let length = u64::from(header.segments) * ENTRY as u64 + u64::from(header.payload);
        let skipped = io::copy(&mut (&mut self.link).take(length), &mut io::sink())?;
        if skipped < length { Err(WireError::Truncated { missing: length - skipped }) } else { Ok(()) }
    }
}
