//! From the pieces of a part to the part: what a worker does to them.
//!
//! Each piece is decompressed to its place and compared with its digest. What the used map calls a hole is zeros,
//! whatever came there. Then zeros are looked for, so that they are not written, and the part gets the digest that
//! the journal records: that of the data in the map's extents, one after the other.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::decode::{Decoding, Halt};
use crate::engine::memory::Buffer;
use crate::engine::sorter::Content;
use crate::engine::zeros::data_ranges;
use crate::progress::Stage;
use crate::usedmap::{Extent, UsedMap};
use crate::volume::ALIGN;
use crate::wire::codec::with_decoder;
use crate::wire::{Codec, Digest, FrameHeader, SegmentKind, Segments, WireError};

/// A run of bytes of a part, as a server sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it belongs on the volume.
    pub place: Extent,
    /// How many bytes come for it; without a codec, as many as it is long.
    pub coded: u64,
    /// How it is encoded.
    pub codec: Codec,
    /// Of its plain bytes; `None` where the server has none to give.
    pub digest: Option<Digest>,
}

/// A part whose pieces have come.
#[derive(Debug)]
pub(in crate::engine) struct Gathered {
    /// The grid's cell, or as much of it as there is of a stream.
    pub(in crate::engine) place: Extent,
    /// In order, apart, within the place.
    pub(super) pieces: Vec<Piece>,
    /// Of the volume; without, all is data.
    pub(super) map: Option<Arc<UsedMap>>,
}

impl Gathered {
    /// The part as the ledger knows it before its data is looked at.
    pub(in crate::engine) fn header(&self) -> FrameHeader {
        let mut whole = Segments::default();
        // A part is at most 64 MiB.
        whole.push(SegmentKind::Data, self.place.length as u32);
        FrameHeader::part(self.place.offset, &whole, self.used(), Codec::None, &[], Digest::default())
    }

    /// What of it is to be written, with a header for the record; a digest is made if that is wanted.
    pub(in crate::engine) fn assemble(
        &self,
        decoding: &Decoding,
        mut buffer: Buffer,
        wants_digest: bool,
    ) -> Result<(FrameHeader, Content), Halt> {
        let _busy = decoding.figures.busy(Stage::Cpu);
        self.decode(decoding, &mut buffer)?;
        let data = &mut buffer[..self.place.length as usize];
        self.clear_holes(data);
        let digest = if wants_digest { self.digest(decoding, data) } else { Digest::default() };
        decoding.figures.add_read(self.used());
        let ranges = self.ranges(data);
        let Extent { offset, length } = self.place;
        if ranges.is_empty() {
            decoding.figures.add_zeros(self.used());
            // The record is of a part all the same: so it is compared when it is gone on with.
            return Ok((FrameHeader { digest, ..self.header() }, Content::None));
        }
        let mut segments = Segments::default();
        let mut at = 0;
        let mut packed = 0;
        for range in ranges {
            segments.push(SegmentKind::Hole, (range.start - at) as u32);
            segments.push(SegmentKind::Data, range.len() as u32);
            at = range.end;
            data.copy_within(range.clone(), packed);
            packed += range.len();
        }
        segments.push(SegmentKind::Hole, (length - at as u64) as u32);
        let header = FrameHeader::part(offset, &segments, self.used(), Codec::None, &[], digest);
        Ok((header, Content::Part { segments, data: buffer }))
    }

    /// What is to be written, relative to the part: the map's extents, in whole blocks as the target wants them,
    /// without the zeros in them.
    fn ranges(&self, data: &[u8]) -> Vec<Range<usize>> {
        let mut blocks: Vec<Range<usize>> = Vec::new();
        for extent in self.extents() {
            let (begin, end) = (extent.offset - self.place.offset, extent.end() - self.place.offset);
            let begin = (begin - begin % ALIGN) as usize;
            let end = (end.next_multiple_of(ALIGN) as usize).min(data.len());
            match blocks.last_mut() {
                Some(last) if begin <= last.end => last.end = end,
                _ => blocks.push(begin..end),
            }
        }
        let found = |blocks: Range<usize>| {
            let begin = blocks.start;
            data_ranges(&data[blocks]).into_iter().map(move |range| range.start + begin..range.end + begin)
        };
        blocks.into_iter().flat_map(found).collect()
    }

    /// Brings the pieces to their places in the buffer.
    fn decode(&self, decoding: &Decoding, buffer: &mut Buffer) -> Result<(), Halt> {
        if let [Piece { place, codec: Codec::None, digest, .. }] = &self.pieces[..]
            && place.offset == self.place.offset
        {
            return verify(decoding, &buffer[..place.length as usize], digest.as_ref());
        }
        let mut scratch = decoding.scratch.take(&decoding.stop)?;
        let mut read = 0;
        for piece in &self.pieces {
            let at = (piece.place.offset - self.place.offset) as usize;
            let plain = &mut scratch[at..at + piece.place.length as usize];
            let coded = &buffer[read..read + piece.coded as usize];
            match piece.codec {
                Codec::None => plain.copy_from_slice(coded),
                Codec::Zstd => {
                    with_decoder(|decoder| decoder.decode(coded, plain)).map_err(WireError::Io)??;
                }
            }
            verify(decoding, plain, piece.digest.as_ref())?;
            read += piece.coded as usize;
        }
        buffer.swap_contents(&mut scratch);
        Ok(())
    }

    fn clear_holes(&self, data: &mut [u8]) {
        let mut end = self.place.offset;
        for extent in self.extents() {
            data[(end - self.place.offset) as usize..(extent.offset - self.place.offset) as usize].fill(0);
            end = extent.end();
        }
        data[(end - self.place.offset) as usize..].fill(0);
    }

    fn digest(&self, decoding: &Decoding, data: &[u8]) -> Digest {
        let mut extents = self.extents();
        if let [Piece { place, digest: Some(digest), .. }] = &self.pieces[..]
            && extents.next() == Some(*place)
            && extents.next().is_none()
        {
            return *digest;
        }
        let mut hasher = decoding.digest.hasher();
        for extent in self.extents() {
            let at = (extent.offset - self.place.offset) as usize;
            hasher.update(&data[at..at + extent.length as usize]);
        }
        hasher.finish()
    }

    fn used(&self) -> u64 {
        self.extents().map(|extent| extent.length).sum()
    }

    fn extents(&self) -> impl Iterator<Item = Extent> {
        let known = self.map.iter().flat_map(|map| map.extents_in(self.place));
        known.chain(self.map.is_none().then_some(self.place))
    }
}

/// Compares the digest, if there is one.
fn verify(decoding: &Decoding, plain: &[u8], digest: Option<&Digest>) -> Result<(), Halt> {
    match digest {
        Some(digest) if decoding.digest.of(&[plain]) != *digest => Err(WireError::Digest.into()),
        _ => Ok(()),
    }
}
