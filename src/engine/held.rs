//! Whether the target still holds what an earlier transfer has brought.

use super::zeros::is_zero;
use crate::wire::digest::Hasher;
use crate::wire::{Digest, DigestKind, FrameHeader, SegmentKind, Segments};

/// What a part's digest is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covers {
    /// The segment table, then the data: a frame's.
    TableAndData,
    /// The data alone, one extent of the used map after the other: of what others digest, which know no table.
    Data,
}

impl Covers {
    /// A digest that begins with what comes before the data.
    fn hasher(self, kind: DigestKind, segments: &Segments) -> Hasher {
        let mut hasher = kind.hasher();
        if self == Covers::TableAndData {
            hasher.update(segments.as_bytes());
        }
        hasher
    }
}

/// What comes of comparing a held part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The target has what the source has.
    Same,
    /// The target has something else, and so far as is known nothing is wrong with the source: the part must come
    /// whole.
    Damaged,
    /// The source has something else now than what the earlier transfer has brought.
    OtherSource,
}

/// Compares three: what the target has (`found`, the bytes of the whole part), what the source has (the header's
/// digest), and what the earlier transfer had written. The last is looked up in a file, so it is asked for only where
/// the first two differ.
pub(super) fn compare(
    (kind, covers): (DigestKind, Covers),
    header: &FrameHeader,
    segments: &Segments,
    found: &[u8],
    written: impl FnOnce() -> Option<Digest>,
) -> Verdict {
    // Without digests nothing can be compared: nothing is counted on then.
    if kind == DigestKind::None {
        return Verdict::Damaged;
    }
    if digest(covers.hasher(kind, segments), segments, found) == Some(header.digest) {
        return Verdict::Same;
    }
    match written() {
        Some(written) if written != header.digest => Verdict::OtherSource,
        _ => Verdict::Damaged,
    }
}

/// The digest of what is where the data segments are; `None` when a hole does not read as zeros.
fn digest(mut hasher: Hasher, segments: &Segments, mut found: &[u8]) -> Option<Digest> {
    for segment in segments {
        let (piece, rest) = found.split_at_checked(segment.length as usize)?;
        match segment.kind {
            SegmentKind::Data => hasher.update(piece),
            SegmentKind::Hole if !is_zero(piece) => return None,
            // What is kept is whatever the base has there.
            SegmentKind::Hole | SegmentKind::Kept => {}
        }
        found = rest;
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Codec;

    #[test]
    fn target_source_and_journal_are_compared() {
        let mut segments = Segments::default();
        segments.push(SegmentKind::Data, 4096);
        segments.push(SegmentKind::Hole, 4096);
        let kind = DigestKind::Sha256;
        let (data, other) = (vec![7; 4096], Some(Digest([9; 32])));
        let digest = kind.of(&[segments.as_bytes(), &data]);
        let header = FrameHeader::part(0, &segments, 0, Codec::None, &data, digest).into_held();
        let of = (kind, Covers::TableAndData);
        let compare = |found: &[u8], written| super::compare(of, &header, &segments, found, || written);
        let whole = [data, vec![0; 4096]].concat();
        let unasked = || panic!("what is the same needs no third opinion");
        assert_eq!(super::compare(of, &header, &segments, &whole, unasked), Verdict::Same);
        for at in [0, 4095, 4096, 8191] {
            let mut found = whole.clone();
            found[at] ^= 1;
            assert_eq!(compare(&found, Some(digest)), Verdict::Damaged, "at {at}");
            assert_eq!(compare(&found, None), Verdict::Damaged, "at {at}");
            assert_eq!(compare(&found, other), Verdict::OtherSource, "at {at}");
        }
        let data = (kind, Covers::Data);
        let header_of_data = FrameHeader { digest: kind.of(&[&whole[..4096]]), ..header.clone() };
        assert_eq!(super::compare(data, &header_of_data, &segments, &whole, unasked), Verdict::Same);
        let none = super::compare((DigestKind::None, Covers::Data), &header, &segments, &whole, || Some(digest));
        assert_eq!(none, Verdict::Damaged, "nothing can be told without digests");
    }
}
