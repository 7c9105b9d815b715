//! What frames add up to, in order of offset, and whether they are the whole volume: shared by all who read a stream.

use crate::error::Result;
use crate::wire::{Digest, End, FrameHeader, Prelude, RootDigest, WireError};

/// What was received and is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The stream's totals, all of them checked.
    pub end: End,
    /// Bytes of the volume.
    pub size: u64,
}

/// What a part or a hole adds to the totals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covered {
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Of the length, what is data.
    pub(super) data: u64,
    /// A part's; a hole has none.
    pub(super) digest: Option<Digest>,
}

impl Covered {
    /// Of the header of a part, sent or held, or of a hole.
    pub(super) fn by(header: &FrameHeader) -> Self {
        Covered {
            offset: header.offset,
            length: header.length,
            data: header.raw.into(),
            digest: header.kind.is_part().then_some(header.digest),
        }
    }

    /// The first byte after it. The wire lets nothing reach beyond what a file offset can say.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Counts frames in order of offset.
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

    /// Counts a part or a hole. They tile the volume: one that is missing, or there twice, is out of place.
    pub(super) fn count(&mut self, covered: &Covered) -> Result<(), WireError> {
        if covered.offset != self.position {
            return Err(WireError::Field {
                what: "offset of the frame after what came before",
                value: covered.offset,
            });
        }
        self.totals.parts += u64::from(covered.digest.is_some());
        self.totals.data += covered.data;
        self.totals.holes += covered.length - covered.data;
        self.root.add(self.turn, covered.digest.map(|digest| (covered.offset, covered.length, digest)));
        self.turn += 1;
        self.position += covered.length;
        Ok(())
    }

    /// Compares with what the sender counted: the header and the payload of its end frame.
    pub(super) fn finish(&self, header: &FrameHeader, end: End) -> Result<Received, WireError> {
        let totals = self.totals;
        let sums = [(end.parts, totals.parts), (end.data, totals.data), (end.holes, totals.holes)];
        if let Some((announced, _)) = sums.iter().find(|(announced, counted)| announced != counted) {
            return Err(WireError::Field { what: "total in the end frame", value: *announced });
        }
        if header.offset != self.position || self.volume_size.is_some_and(|size| size != self.position) {
            return Err(WireError::Field { what: "place of the end frame", value: header.offset });
        }
        if self.root.clone().finish(self.position) != Some(end.root) {
            return Err(WireError::Digest);
        }
        Ok(Received { end, size: self.position })
    }
}
