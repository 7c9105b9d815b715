//! What frames of a single link add up to, and whether they are the whole volume: shared by all who read a stream.

use crate::error::Result;
use crate::wire::{End, FrameHeader, FrameKind, Prelude, RootDigest, WireError};

/// What was received and is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The stream's totals, all of them checked.
    pub end: End,
    /// Bytes of the volume.
    pub size: u64,
}

/// Counts frames as they come.
pub(super) struct Tally {
    volume_size: Option<u64>,
    root: RootDigest,
    totals: End,
    position: u64,
    turn: u64,
}

impl Tally {
    pub(super) fn new(prelude: &Prelude) -> Self {
        Tally {
            volume_size: prelude.volume_size,
            root: RootDigest::new(prelude.digest),
            totals: End::default(),
            position: 0,
            turn: 0,
        }
    }

    /// Where the next frame belongs, in bytes from the start of the volume.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Counts a part or a hole. Frames of a single link tile the volume in order: one that is missing, or there
    /// twice, is out of place.
    pub(super) fn count(&mut self, header: &FrameHeader) -> Result<(), WireError> {
        if header.offset != self.position {
            return Err(WireError::Field {
                what: "offset of the frame after what came before",
                value: header.offset,
            });
        }
        let data = u64::from(header.raw);
        let is_part = header.kind == FrameKind::Part;
        self.totals.parts += u64::from(is_part);
        self.totals.data += data;
        self.totals.holes += header.length - data;
        self.root.add(self.turn, is_part.then_some((header.offset, header.length, header.digest)));
        self.turn += 1;
        self.position += header.length;
        Ok(())
    }

    /// Compares with what the sender counted.
    pub(super) fn finish(self, end: End) -> Result<Received, WireError> {
        let totals = self.totals;
        let sums = [(end.parts, totals.parts), (end.data, totals.data), (end.holes, totals.holes)];
        if let Some((announced, _)) = sums.iter().find(|(announced, counted)| announced != counted) {
            return Err(WireError::Field { what: "total in the end frame", value: *announced });
        }
        if self.volume_size.is_some_and(|size| size != self.position) {
            return Err(WireError::Field { what: "place of the end frame", value: self.position });
        }
        if self.root.finish(self.position) != Some(end.root) {
            return Err(WireError::Digest);
        }
        Ok(Received { end, size: self.position })
    }
}
