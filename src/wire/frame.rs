//! Frame headers and the end's totals. The table is in the [room's documentation](super).

use std::io::Read;

use super::error::check_crc;
use super::segments::{ENTRY, MAX_SEGMENTS};
use super::{Codec, Digest, Prelude, Segments, WireError, field, put, read_exact};

/// Bytes of a frame header.
pub const HEADER: usize = 80;
/// Bytes of the end frame's payload.
pub const END: usize = 64;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A part with data in it.
    Part,
    /// A range that reads as zeros.
    Hole,
    /// The end of the stream.
    End,
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
    /// The header of a hole.
    pub fn hole(offset: u64, length: u64, used: u64) -> Self {
        FrameHeader {
            kind: FrameKind::Hole,
            codec: Codec::None,
            segments: 0,
            payload: 0,
            offset,
            length,
            raw: 0,
            used,
            table_crc: 0,
            payload_crc: 0,
            digest: Digest::default(),
        }
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
        bytes[0] = match self.kind {
            FrameKind::Part => 1,
            FrameKind::Hole => 2,
            FrameKind::End => 3,
        };
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
            kind: match bytes[0] {
                1 => FrameKind::Part,
                2 => FrameKind::Hole,
                3 => FrameKind::End,
                unknown => return Err(bad("kind of a frame", unknown.into())),
            },
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
            FrameKind::Part => {
                within("offset of a part", self.offset % part_size, 0..=0)?;
                (1..=part_size, 1..=most_segments(self.length), 1..=self.length, 1..=u64::from(self.raw))
            }
            FrameKind::Hole => (1..=u64::MAX, 0..=0, 0..=0, 0..=0),
            FrameKind::End => (0..=0, 0..=0, 0..=0, END as u64..=END as u64),
        };
        within("length of a frame", self.length, length)?;
        within("end of a frame", self.offset.saturating_add(self.length), 0..=size)?;
        within("used bytes of a frame", self.used, 0..=self.length)?;
        within("number of segments", self.segments.into(), segments)?;
        within("raw length of a frame", self.raw.into(), raw)?;
        within("payload length of a frame", self.payload.into(), payload)
    }

    /// Reads the segment table that follows the header of a part.
    ///
    /// # Errors
    /// What is missing, damaged or does not add up.
    pub fn read_segments(&self, from: &mut impl Read) -> Result<Segments, WireError> {
        let mut bytes = vec![0; usize::from(self.segments) * ENTRY];
        read_exact(from, &mut bytes)?;
        check_crc("segment table", self.table_crc, crc32c::crc32c(&bytes))?;
        Segments::decode(bytes, self.length, self.raw.into())
    }

    /// Reads the payload into `buffer`, which has at least [`FrameHeader::payload`] bytes.
    ///
    /// # Errors
    /// When the stream ends or cannot be read. The checksum is left to [`FrameHeader::check_payload`], which may
    /// run on another thread.
    pub fn read_payload(&self, from: &mut impl Read, buffer: &mut [u8]) -> Result<(), WireError> {
        read_exact(from, &mut buffer[..self.payload as usize])
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
    /// Bytes of the volume that read as zeros.
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
        let mut root = Digest::default();
        root.0.copy_from_slice(&bytes[32..]);
        Ok(End { parts: field!(bytes, 0, u64), data: field!(bytes, 8, u64), holes: field!(bytes, 16, u64), root })
    }
}
