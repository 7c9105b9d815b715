//! The segment table: what of a part is data, what holes, and in a delta what is kept. It tiles the part.

use super::{WireError, field};

/// What a segment of a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// Its bytes are in the payload.
    Data,
    /// It reads as zeros.
    Hole,
    /// It is as in the base: in a delta only.
    Kept,
}

impl SegmentKind {
    const ALL: [SegmentKind; 3] = [SegmentKind::Data, SegmentKind::Hole, SegmentKind::Kept];

    fn from_wire(bits: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == bits)
    }
}

/// A run of bytes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Data, hole or kept.
    pub kind: SegmentKind,
    /// In bytes, 1 to the part size.
    pub length: u32,
}

/// The most entries of a table: a part of 64 MiB that alternates between data and holes every 2 KiB.
pub const MAX_SEGMENTS: usize = 32_768;
/// Bytes of an entry.
pub const ENTRY: usize = 4;
const LENGTH_BITS: u32 = 30;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

/// A segment table as it is on the wire; the only way to make one is in order, or from checked bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segments {
    bytes: Vec<u8>,
    last: Option<SegmentKind>,
    data: u64,
    length: u64,
}

impl Segments {
    /// Adds a segment behind the last, joined with it where both are of the same kind.
    pub fn push(&mut self, kind: SegmentKind, length: u32) {
        if length == 0 {
            return;
        }
        self.length += u64::from(length);
        if kind == SegmentKind::Data {
            self.data += u64::from(length);
        }
        let mut length = length;
        if self.last == Some(kind)
            && let Some(entry) = self.bytes.last_chunk::<ENTRY>()
        {
            length += u32::from_le_bytes(*entry) & LENGTH_MASK;
            self.bytes.truncate(self.bytes.len() - ENTRY);
        }
        let entry = length | (kind as u32) << LENGTH_BITS;
        self.bytes.extend_from_slice(&entry.to_le_bytes());
        self.last = Some(kind);
    }

    /// A table as it arrived, checked against the part's length and the payload's. Only a delta's part keeps anything.
    ///
    /// # Errors
    /// [`WireError::Field`] for an unknown kind, an empty segment, or sums other than `length` and `data`.
    pub fn decode(bytes: Vec<u8>, length: u64, data: u64, is_delta: bool) -> Result<Self, WireError> {
        let mut segments = Segments { bytes, last: None, data: 0, length: 0 };
        let (mut all, mut with_data) = (0, 0);
        for entry in segments.bytes.chunks_exact(ENTRY) {
            let entry = field!(entry, 0, u32);
            let (kind, bytes) = (entry >> LENGTH_BITS, u64::from(entry & LENGTH_MASK));
            if SegmentKind::from_wire(kind).is_none_or(|kind| kind == SegmentKind::Kept && !is_delta) {
                return Err(WireError::Field { what: "kind of a segment", value: kind.into() });
            }
            if bytes == 0 {
                return Err(WireError::Field { what: "length of a segment", value: 0 });
            }
            all += bytes;
            with_data += if kind == SegmentKind::Data as u32 { bytes } else { 0 };
        }
        if all != length {
            return Err(WireError::Field { what: "sum of the segments", value: all });
        }
        if with_data != data {
            return Err(WireError::Field { what: "sum of the data segments", value: with_data });
        }
        (segments.length, segments.data) = (all, with_data);
        segments.last = (&segments).into_iter().last().map(|segment| segment.kind);
        Ok(segments)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.bytes.len() / ENTRY
    }

    /// Bytes of data.
    pub fn data(&self) -> u64 {
        self.data
    }

    /// Bytes in all: the part's length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// As on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> IntoIterator for &'a Segments {
    type Item = Segment;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter(self.bytes.chunks_exact(ENTRY))
    }
}

/// The segments of a table, in order.
pub struct Iter<'a>(std::slice::ChunksExact<'a, u8>);

impl Iterator for Iter<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let entry = self.0.next()?;
        let entry = field!(entry, 0, u32);
        // A table is made of known kinds, or checked when it arrives.
        let kind = SegmentKind::from_wire(entry >> LENGTH_BITS)?;
        Some(Segment { kind, length: entry & LENGTH_MASK })
    }
}

#[cfg(test)]
mod tests {
    use super::SegmentKind::{Data, Hole, Kept};
    use super::*;

    fn table(segments: &[(SegmentKind, u32)]) -> Segments {
        let mut table = Segments::default();
        segments.iter().for_each(|(kind, length)| table.push(*kind, *length));
        table
    }

    #[test]
    fn only_a_delta_keeps_something() {
        let table = table(&[(Data, 1), (Kept, 2), (Hole, 4)]);
        let decode = |is_delta| Segments::decode(table.as_bytes().to_vec(), 7, 1, is_delta);
        assert_eq!(decode(true).expect("it fits"), table);
        assert!(decode(false).is_err());
    }

    #[test]
    fn neighbours_of_a_kind_are_one() {
        let joined = table(&[(Data, 1), (Data, 2), (Hole, 0), (Hole, 4), (Data, 8)]);
        assert_eq!(joined, table(&[(Data, 3), (Hole, 4), (Data, 8)]));
        assert_eq!((joined.count(), joined.data(), joined.length()), (3, 11, 15));
    }

    #[test]
    fn a_table_is_checked_against_its_part() {
        let good = table(&[(Data, 4096), (Hole, 4096)]);
        let decode = |bytes: &[u8], length, data| Segments::decode(bytes.to_vec(), length, data, false);
        assert_eq!(decode(good.as_bytes(), 8192, 4096).expect("it fits"), good);
        assert!(decode(good.as_bytes(), 8191, 4096).is_err());
        assert!(decode(good.as_bytes(), 8192, 8192).is_err());
        assert!(decode(&[0; 4], 0, 0).is_err(), "an empty segment");
        assert!(Segments::decode(vec![1, 0, 0, 0xc0], 1, 0, true).is_err(), "an unknown kind");
    }
}
