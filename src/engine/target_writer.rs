//! Writes what was decoded, and compares what is held: the last stage of receiving.
//!
//! Several threads where the target takes its parts in any order, one where it does not. They end when the channel
//! does, or with the run; a failure of the target ends the run.
//!
//! Held parts are read back and digested on these threads too, not by the workers: a worker must never wait, and what
//! follows a comparison (holes, the journal's record) may. So a resume reads and digests on as many cores as there
//! are writers of the target, at most.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::accounts::Accounts;
use super::held::{Covers, Verdict, compare};
use super::sorter::{Content, Incoming};
use crate::error::{Error, Result};
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::usedmap::Extent;
use crate::volume::Target;
use crate::wire::{DigestKind, FrameHeader, FrameKind, SegmentKind, Segments};

/// One of the threads.
pub(super) struct TargetWriter {
    pub(super) target: Arc<dyn Target>,
    pub(super) accounts: Arc<Accounts>,
    /// What parts are digested with, and what of them.
    pub(super) digest: (DigestKind, Covers),
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

impl TargetWriter {
    /// Takes frames until there are no more.
    pub(super) fn run(&self, from: &Receiver<Incoming>) {
        while let Ok(Some(incoming)) = self.stop.recv(from) {
            if self.take(incoming).is_err() {
                return;
            }
        }
    }

    fn take(&self, incoming: Incoming) -> Result<(), Stopped> {
        let Incoming { header, content, seat } = incoming;
        let taken = match content {
            Content::None if header.kind == FrameKind::Kept => Ok(true),
            Content::None => self.hole(&header).map(|()| true),
            Content::Part { segments, data } => self.part(&header, &segments, &data).map(|()| true),
            Content::Held { segments, mut room } => self.held(&header, &segments, &mut room),
        };
        // The buffer went with the content. Both are free before the sender hears that it may send more.
        drop(seat);
        match taken {
            Ok(true) => self.accounts.written(&header),
            Ok(false) => {
                self.accounts.not_held(header.offset);
                Ok(())
            }
            Err(error) => {
                self.stop.fail(error);
                Err(Stopped)
            }
        }
    }

    fn hole(&self, header: &FrameHeader) -> Result<()> {
        let _busy = self.figures.busy(Stage::Target);
        self.target.hole(header.offset, header.length)?;
        self.figures.add_holes(header.length);
        Ok(())
    }

    fn part(&self, header: &FrameHeader, segments: &Segments, data: &[u8]) -> Result<()> {
        let _busy = self.figures.busy(Stage::Target);
        let bytes = data.len() as u64;
        let mut data = data;
        for_each(header, segments, |kind, at, length| match kind {
            SegmentKind::Hole => self.target.hole(at, length),
            SegmentKind::Kept => Ok(()),
            SegmentKind::Data => {
                // The table's data segments sum to the decoded length: checked when it was read.
                let (piece, rest) = data.split_at(length as usize);
                data = rest;
                self.target.write(at, piece)
            }
        })?;
        self.target.written(Extent { offset: header.offset, length: header.length }, bytes)?;
        self.figures.add_parts(1);
        Ok(())
    }

    /// Whether the target has the part. Its holes are made again: a target forgets between two runs what it needs
    /// to know of them.
    fn held(&self, header: &FrameHeader, segments: &Segments, room: &mut [u8]) -> Result<bool> {
        let _busy = self.figures.busy(Stage::Target);
        // At most the part size: checked with the header.
        let found = &mut room[..header.length as usize];
        self.target.read_back(header.offset, found)?;
        match compare(self.digest, header, segments, found, || self.accounts.held_digest(header.offset)) {
            Verdict::Same => {}
            Verdict::Damaged => return Ok(false),
            Verdict::OtherSource => return Err(other_source(header.offset)),
        }
        for_each(header, segments, |kind, at, length| match kind {
            SegmentKind::Hole => self.target.hole(at, length),
            SegmentKind::Data | SegmentKind::Kept => Ok(()),
        })?;
        self.figures.add_held(1);
        Ok(true)
    }
}

/// The segments with their places on the volume.
fn for_each(
    header: &FrameHeader,
    segments: &Segments,
    mut each: impl FnMut(SegmentKind, u64, u64) -> Result<()>,
) -> Result<()> {
    let mut at = header.offset;
    for segment in segments {
        each(segment.kind, at, segment.length.into())?;
        at += u64::from(segment.length);
    }
    Ok(())
}

fn other_source(offset: u64) -> Error {
    Error::guard(
        "cannot resume",
        format_args!("part at offset {offset}"),
        "the source has other data there than when the earlier transfer read it",
    )
    .way_out("begin anew, without --resume")
}
