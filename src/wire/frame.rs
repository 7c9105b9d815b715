//! Frame headers, the end's totals, a sender's reason for giving up. The table is in the [room's documentation](super).

use std::io::Read;

use super::error::check_crc;
use super::reason::plain;
use super::segments::{ENTRY, MAX_SEGMENTS};
use super::{Codec, Digest, Prelude, Segments, WireError, field, put, read_exact};

/// Bytes of a frame header.
pub const HEADER: usize = 80;
/// Bytes of the end frame's payload.
pub const END: usize = 64;
/// The most bytes of a reason for giving up, in a frame or in an answer.
pub const LONGEST_REASON: usize = 4096;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A part with data in it.
    Part,
    /// A range that reads as zeros.
    Hole,
    /// The end of the stream.
    End,
    /// A part that the target holds already, from an earlier transfer: all of a part but its payload. The receiver
    /// compares it with what is there. Only where the prelude says that the stream resumes.
    Held,
    /// Nothing: the sender is there and waits, for its source or for answers. Only where there are answers.
    Alive,
    /// The sender gives up; the payload says why, in UTF-8. Only where there are answers.
    Abort,
    /// A range that is as in the base. Only in a delta.
    Kept,
}

impl FrameKind {
    const ALL: [FrameKind; 7] = [
        FrameKind::Part,
        FrameKind::Hole,
        FrameKind::End,
        FrameKind::Held,
        FrameKind::Alive,
        FrameKind::Abort,
        FrameKind::Kept,
    ];

    /// From 1, in the order of the table.
    fn to_wire(self) -> u8 {
        self as u8 + 1
    }

    fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_wire() == byte)
    }

    /// Whether the frame is of a part, of which a segment table follows.
    pub fn is_part(self) -> bool {
        matches!(self, FrameKind::Part | FrameKind::Held)
    }
}

/// A frame's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub kind: FrameKind,
    /// How the payload is encoded.
    pub codec: Codec,
    /// Entries in the segment table.
    pub segments: u16,
    /// Bytes of the payload on the wire.
    pub payload: u32,
    /// Bytes from the start of the volume.
    pub offset: u64,
    /// Bytes of the volume that the frame covers.
    pub length: u64,
    /// Bytes of the decoded payload.
    pub raw: u32,
    /// Of the length, what the source's used map calls data.
    pub used: u64,
    /// CRC32C of the segment table.
    pub table_crc: u32,
    /// CRC32C of the payload on the wire.
    pub payload_crc: u32,
    /// Of the segment table and the decoded payload.
    pub digest: Digest,
}

impl FrameHeader {
    /// A header of nothing but its kind.
    fn bare(kind: FrameKind) -> Self {
        FrameHeader {
            kind,
            codec: Codec::None,
            segments: 0,
            payload: 0,
            offset: 0,
            length: 0,
            raw: 0,
            used: 0,
            table_crc: 0,
            payload_crc: 0,
            digest: Digest::default(),
        }
    }

    /// The header of a hole.
    pub fn hole(offset: u64, length: u64, used: u64) -> Self {
        FrameHeader { offset, length, used, ..Self::bare(FrameKind::Hole) }
    }

    /// The header of what is as in the base.
    pub fn kept(offset: u64, length: u64) -> Self {
        FrameHeader { offset, length, ..Self::bare(FrameKind::Kept) }
    }

    /// A sign of life.
    pub fn alive() -> Self {
        Self::bare(FrameKind::Alive)
    }

    /// The header of the last frame of a sender that gives up. `reason` has 1 to [`LONGEST_REASON`] bytes.
    pub fn abort(reason: &[u8]) -> Self {
        let payload_crc = crc32c::crc32c(reason);
        FrameHeader { payload: reason.len() as u32, payload_crc, ..Self::bare(FrameKind::Abort) }
    }

    /// The same part as one that the target holds already: without its payload.
    #[must_use]
    pub fn into_held(self) -> Self {
        FrameHeader { kind: FrameKind::Held, codec: Codec::None, payload: 0, payload_crc: 0, ..self }
    }

    /// The header of a part: `payload` is what goes on the wire, `digest` that of the table and the data.
    pub fn part(offset: u64, segments: &Segments, used: u64, codec: Codec, payload: &[u8], digest: Digest) -> Self {
        FrameHeader {
            kind: FrameKind::Part,
            codec,
            // At most MAX_SEGMENTS entries, each at least one byte, within a part of at most 64 MiB: all fit.
            segments: segments.count() as u16,
            payload: payload.len() as u32,
            offset,
            length: segments.length(),
            raw: segments.data() as u32,
            used,
            table_crc: crc32c::crc32c(segments.as_bytes()),
            payload_crc: crc32c::crc32c(payload),
            digest,
        }
    }

    /// The header of the end frame with these totals.
    pub fn end(volume_size: u64, payload: &[u8; END]) -> Self {
        FrameHeader {
            kind: FrameKind::End,
            payload: END as u32,
            payload_crc: crc32c::crc32c(payload),
            ..FrameHeader::hole(volume_size, 0, 0)
        }
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind.to_wire();
        bytes[1] = self.codec.to_wire();
        put!(bytes, 2, self.segments);
        put!(bytes, 4, self.payload);
        put!(bytes, 8, self.offset);
        put!(bytes, 16, self.length);
        put!(bytes, 24, self.raw);
        put!(bytes, 28, self.used);
        put!(bytes, 36, self.table_crc);
        put!(bytes, 40, self.payload_crc);
        bytes[44..76].copy_from_slice(&self.digest.0);
        let crc = crc32c::crc32c(&bytes[..76]);
        put!(bytes, 76, crc);
        bytes
    }

    /// Reads a header and checks it against what the prelude allows.
    ///
    /// # Errors
    /// What is missing, damaged or out of range.
    pub fn read(from: &mut impl Read, prelude: &Prelude) -> Result<Self, WireError> {
        let mut bytes = [0; HEADER];
        read_exact(from, &mut bytes)?;
        Self::decode(&bytes, prelude)
    }

    /// From bytes; see [`FrameHeader::read`].
    pub fn decode(bytes: &[u8; HEADER], prelude: &Prelude) -> Result<Self, WireError> {
        check_crc("frame header", field!(bytes, 76, u32), crc32c::crc32c(&bytes[..76]))?;
        let bad = |what, value: u64| WireError::Field { what, value };
        let mut digest = Digest::default();
        digest.0.copy_from_slice(&bytes[44..76]);
        let header = FrameHeader {
            kind: FrameKind::from_wire(bytes[0]).ok_or(bad("kind of a frame", bytes[0].into()))?,
            codec: Codec::from_wire(bytes[1]).ok_or(bad("codec", bytes[1].into()))?,
            segments: field!(bytes, 2, u16),
            payload: field!(bytes, 4, u32),
            offset: field!(bytes, 8, u64),
            length: field!(bytes, 16, u64),
            raw: field!(bytes, 24, u32),
            used: field!(bytes, 28, u64),
            table_crc: field!(bytes, 36, u32),
            payload_crc: field!(bytes, 40, u32),
            digest,
        };
        header.check(prelude)?;
        Ok(header)
    }

    fn check(&self, prelude: &Prelude) -> Result<(), WireError> {
        let part_size = prelude.part_size.bytes() as u64;
        let within = |what, value: u64, range: std::ops::RangeInclusive<u64>| {
            if range.contains(&value) { Ok(()) } else { Err(WireError::Field { what, value }) }
        };
        // A stream of unknown length may still not leave what a file offset can say.
        let size = prelude.volume_size.unwrap_or(i64::MAX as u64);
        within("offset of a frame", self.offset, 0..=size)?;
        let (length, segments, raw, payload) = match self.kind {
            FrameKind::Held | FrameKind::Alive | FrameKind::Abort | FrameKind::Kept if !self.belongs(prelude) => {
                return Err(WireError::Field {
                    what: "kind of a frame in this stream",
                    value: self.kind.to_wire().into(),
                });
            }
            FrameKind::Part | FrameKind::Held => {
                within("offset of a part", self.offset % part_size, 0..=0)?;
                let payload = if self.kind == FrameKind::Part { 1..=u64::from(self.raw) } else { 0..=0 };
                (1..=part_size, 1..=most_segments(self.length), 1..=self.length, payload)
            }
            FrameKind::Hole | FrameKind::Kept => (1..=u64::MAX, 0..=0, 0..=0, 0..=0),
            FrameKind::End => (0..=0, 0..=0, 0..=0, END as u64..=END as u64),
            FrameKind::Alive => (0..=0, 0..=0, 0..=0, 0..=0),
            FrameKind::Abort => (0..=0, 0..=0, 0..=0, 1..=LONGEST_REASON as u64),
        };
        within("length of a frame", self.length, length)?;
        within("end of a frame", self.offset.saturating_add(self.length), 0..=size)?;
        within("used bytes of a frame", self.used, 0..=self.length)?;
        within("number of segments", self.segments.into(), segments)?;
        within("raw length of a frame", self.raw.into(), raw)?;
        within("payload length of a frame", self.payload.into(), payload)
    }

    /// Whether the stream may have frames of this kind.
    fn belongs(&self, prelude: &Prelude) -> bool {
        match self.kind {
            FrameKind::Part | FrameKind::Hole | FrameKind::End => true,
            FrameKind::Held => prelude.resumes,
            FrameKind::Alive | FrameKind::Abort => prelude.answers,
            FrameKind::Kept => prelude.is_delta(),
        }
    }

    /// Reads the segment table that follows the header of a part of this stream.
    ///
    /// # Errors
    /// What is missing, damaged or does not add up.
    pub fn read_segments(&self, from: &mut impl Read, prelude: &Prelude) -> Result<Segments, WireError> {
        let mut bytes = vec![0; usize::from(self.segments) * ENTRY];
        read_exact(from, &mut bytes)?;
        check_crc("segment table", self.table_crc, crc32c::crc32c(&bytes))?;
        Segments::decode(bytes, self.length, self.raw.into(), prelude.is_delta())
    }

    /// Reads the payload into `buffer`, which has at least [`FrameHeader::payload`] bytes.
    ///
    /// # Errors
    /// When the stream ends or cannot be read. The checksum is left to [`FrameHeader::check_payload`], which may
    /// run on another thread.
    pub fn read_payload(&self, from: &mut impl Read, buffer: &mut [u8]) -> Result<(), WireError> {
        read_exact(from, &mut buffer[..self.payload as usize])
    }

    /// Reads the payload of an abort: the sender's reason.
    ///
    /// # Errors
    /// When the link ends or cannot be read, or the checksum does not fit.
    pub fn read_reason(&self, from: &mut impl Read) -> Result<String, WireError> {
        // At most LONGEST_REASON: checked with the header.
        let mut bytes = vec![0; self.payload as usize];
        read_exact(from, &mut bytes)?;
        self.check_payload(&bytes)?;
        Ok(plain(&bytes))
    }

    /// Compares the payload's checksum.
    ///
    /// # Errors
    /// [`WireError::Checksum`].
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), WireError> {
        check_crc("payload", self.payload_crc, crc32c::crc32c(payload))
    }
}

/// How many segments a part of this length may have: data and holes alternate every 4 KiB at the finest, half of
/// that is allowed for, and the ends are odd. So a table is never more than a few thousandths of its part.
fn most_segments(length: u64) -> u64 {
    (length / 2048 + 2).min(MAX_SEGMENTS as u64)
}

/// The totals at the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// How many parts with data there were.
    pub parts: u64,
    /// Bytes of data in them.
    pub data: u64,
    /// Bytes of the volume that are not data: they read as zeros or, in a delta, are as in the base.
    pub holes: u64,
    /// Over all parts, see [`super::RootDigest`].
    pub root: Digest,
}

impl End {
    /// As the end frame's payload.
    pub fn encode(&self) -> [u8; END] {
        let mut bytes = [0; END];
        put!(bytes, 0, self.parts);
        put!(bytes, 8, self.data);
        put!(bytes, 16, self.holes);
        bytes[32..].copy_from_slice(&self.root.0);
        bytes
    }

    /// Reads the payload that follows the header of an end frame.
    ///
    /// # Errors
    /// What is missing or damaged.
    pub fn read(header: &FrameHeader, from: &mut impl Read) -> Result<Self, WireError> {
        let mut bytes = [0; END];
        read_exact(from, &mut bytes)?;
        header.check_payload(&bytes)?;
        Ok(Self::decode(&bytes))
    }

    /// From a payload whose checksum fits.
    pub(super) fn decode(bytes: &[u8; END]) -> Self {
        let mut root = Digest::default();
        root.0.copy_from_slice(&bytes[32..]);
        End { parts: field!(bytes, 0, u64), data: field!(bytes, 8, u64), holes: field!(bytes, 16, u64), root }
    }
}
