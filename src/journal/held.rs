//! What a journal says the target has.
//!
//! The records are read once, in order, into extents that are joined where they touch. Holes are recorded as parts
//! are, and a sender keeps what is under way close together, so extents are few: some ten thousand at the most. They
//! take 16 bytes each; a journal with more than [`MOST_EXTENTS`] of them is believed up to there.
//!
//! Digests stay in the file, for they are asked for only where the target does not hold what the source has: 100 TB in
//! parts of 1 MiB are 100 million records, 6.4 GB of journal. For each [`BLOCK`] records it is remembered which
//! offsets they lie [between](super::blocks). As parts are written about in order, looking one up reads a few blocks
//! of 64 KiB.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::about::About;
use super::blocks::{BLOCK, Blocks, Span};
use super::record::{LENGTH, Record};
use crate::error::Result;
use crate::stop::Stop;
use crate::usedmap::Extent;
use crate::wire::Digest;

/// How many extents are remembered: 16 MiB of them.
const MOST_EXTENTS: usize = 1 << 20;

/// What the target has, as far as the journal knows. Clones share it.
#[derive(Debug, Clone)]
pub struct Held {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    about: About,
    file: File,
    /// Where the records begin in the file.
    begin: u64,
    records: Records,
}

impl Held {
    /// Of the records that were read from this file, where they begin at `begin`.
    pub(super) fn new(about: About, file: File, begin: u64, records: Records) -> Self {
        Held { inner: Arc::new(Inner { about, file, begin, records }) }
    }

    /// Offset and length of what is there, in order, joined where they touch. At most a million.
    pub fn extents(&self) -> Vec<(u64, u64)> {
        self.inner.records.extents()
    }

    /// Whether all of a range is there.
    pub fn contains(&self, offset: u64, length: u64) -> bool {
        let extents = &self.inner.records.extents;
        let before = extents.partition_point(|extent| extent.offset <= offset);
        before > 0 && offset.checked_add(length).is_some_and(|end| end <= extents[before - 1].end())
    }

    /// How many bytes of the volume are there.
    pub fn bytes(&self) -> u64 {
        self.inner.records.extents.iter().map(|extent| extent.length).sum()
    }

    /// The digest of the part at this offset, as it was when it was written: the last time, if it was written again.
    /// `None` where no part is recorded, or where the journal cannot be read any more. Reads the journal's file.
    pub fn digest_of(&self, offset: u64) -> Option<Digest> {
        let Inner { about, file, begin, records } = &*self.inner;
        let mut bytes = Vec::new();
        for number in records.blocks.around(offset) {
            let first = number * BLOCK as u64;
            let count = (records.count - first).min(BLOCK as u64);
            bytes.resize(count as usize * LENGTH, 0);
            file.read_exact_at(&mut bytes, begin + first * LENGTH as u64).ok()?;
            let of_offset = bytes.as_chunks::<LENGTH>().0.iter().zip(first..);
            let of_offset = of_offset.filter(|(bytes, _)| bytes.starts_with(&offset.to_le_bytes()));
            let last = of_offset.filter_map(|(bytes, number)| Record::decode(bytes, about, number)?.digest).last();
            if last.is_some() {
                return last;
            }
        }
        None
    }
}

/// The records of a file that are believed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// How many.
    pub(super) count: u64,
    extents: Vec<Extent>,
    /// Where the digests are.
    blocks: Blocks,
}

impl Records {
    /// Offset and length of what is there, in order.
    pub(super) fn extents(&self) -> Vec<(u64, u64)> {
        self.extents.iter().map(|extent| (extent.offset, extent.length)).collect()
    }

    /// Reads records up to the end, or to the first that is not believed.
    ///
    /// # Errors
    /// The reader's; or what the run's [`Stop`] was set to.
    pub(super) fn read(mut from: impl Read, about: &About, stop: &Stop) -> io::Result<Result<Self>> {
        let (mut records, mut extents) = (Records::default(), Extents::default());
        let mut blocks = Vec::new();
        let mut bytes = vec![0; BLOCK * LENGTH];
        for number in 0.. {
            if let Err(stopped) = stop.check() {
                return Ok(Err(stopped));
            }
            let length = read_full(&mut from, &mut bytes)?;
            let (whole, torn) = bytes[..length].as_chunks::<LENGTH>();
            let mut span = None;
            let mut is_end = !torn.is_empty() || whole.len() < BLOCK;
            for bytes in whole {
                let record = Record::decode(bytes, about, records.count);
                let Some(record) = record.filter(|record| extents.insert(record.extent)) else {
                    is_end = true;
                    break;
                };
                if record.digest.is_some() {
                    span = Some(Span::with(span, record.extent.offset));
                }
                records.count += 1;
            }
            // Of nothing but holes there is no digest to be found.
            blocks.extend(span.map(|span| (number, span)));
            if is_end {
                break;
            }
        }
        records.extents = extents.finish();
        records.blocks = Blocks::new(blocks);
        Ok(Ok(records))
    }
}

/// Reads until the buffer is full or the end is reached; how much that was.
fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Extents in the making: begin to end, disjoint and not touching.
#[derive(Default)]
struct Extents {
    ends: BTreeMap<u64, u64>,
}

impl Extents {
    /// Adds an extent to what is there already or not; `false` when there are too many.
    fn insert(&mut self, extent: Extent) -> bool {
        let (mut begin, mut end) = (extent.offset, extent.end());
        if let Some((before, before_end)) = self.ends.range_mut(..=begin).next_back()
            && *before_end >= begin
        {
            if *before_end >= end {
                return true;
            }
            begin = *before;
        }
        while let Some((next, next_end)) = self.ends.range(begin..=end).next_back() {
            let (next, next_end) = (*next, *next_end);
            end = end.max(next_end);
            self.ends.remove(&next);
        }
        self.ends.insert(begin, end);
        self.ends.len() <= MOST_EXTENTS
    }

    fn finish(self) -> Vec<Extent> {
        self.ends.into_iter().map(|(begin, end)| Extent::between(begin, end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DigestKind, Lineage, PartSize};
    use proptest::prelude::*;

    const PART: u64 = 64 << 10;

    fn about(volume_size: Option<u64>) -> About {
        About {
            id: [3; 16],
            volume_size,
            part_size: PartSize::new(PART).expect("a power of two"),
            digest: DigestKind::Sha256,
            lineage: Lineage::default(),
            target: String::new(),
        }
    }

    fn part(number: u64, stamp: u8) -> Record {
        Record { extent: Extent { offset: number * PART, length: PART }, digest: Some(Digest([stamp; 32])) }
    }

    fn hole(offset: u64, length: u64) -> Record {
        Record { extent: Extent { offset, length }, digest: None }
    }

    fn bytes_of(records: &[Record], about: &About) -> Vec<u8> {
        records.iter().zip(0..).flat_map(|(record, number)| record.encode(&about.id, number)).collect()
    }

    fn read(bytes: &[u8], about: &About) -> Records {
        Records::read(bytes, about, &Stop::new()).expect("memory").expect("not stopped")
    }

    fn held(records: &[Record], about: &About) -> Held {
        let bytes = bytes_of(records, about);
        let file = tempfile::tempfile().expect("a scratch file");
        file.write_all_at(&bytes, 0).expect("written");
        Held::new(about.clone(), file, 0, read(&bytes, about))
    }

    #[test]
    fn extents_are_joined_and_digests_found_in_any_order() {
        let about = about(None);
        // Far more than a block of them, every tenth put off by 500.
        let (now, later): (Vec<u64>, Vec<u64>) = (0..5000).partition(|n| n % 10 != 3);
        let (head, tail) = now.split_at(450);
        let order = head.iter().chain(&later).chain(tail).filter(|n| **n != 4000);
        let records: Vec<Record> = order.map(|n| part(*n, (*n % 251) as u8)).collect();
        let held = held(&records, &about);
        assert_eq!(held.extents(), [(0, 4000 * PART), (4001 * PART, 999 * PART)]);
        assert_eq!(held.bytes(), 4999 * PART);
        for n in 0..5000 {
            let expected = (n != 4000).then_some(Digest([(n % 251) as u8; 32]));
            assert_eq!(held.digest_of(n * PART), expected, "{n}");
        }
        assert_eq!(held.digest_of(1), None);
        assert!(held.contains(0, 4000 * PART) && held.contains(4001 * PART, 1));
        assert!(
            !held.contains(3999 * PART, PART + 1) && !held.contains(4000 * PART, 1) && !held.contains(0, u64::MAX)
        );
    }

    #[test]
    fn what_was_written_again_is_what_was_written_last() {
        let about = about(Some(3 * PART + 5));
        let last = Record { extent: Extent { offset: 3 * PART, length: 5 }, digest: Some(Digest([9; 32])) };
        let held = held(&[part(0, 1), hole(PART, 2 * PART), last, part(0, 2)], &about);
        assert_eq!(held.extents(), [(0, 3 * PART + 5)]);
        assert_eq!(held.digest_of(0), Some(Digest([2; 32])));
        assert_eq!(held.digest_of(3 * PART), Some(Digest([9; 32])));
        assert_eq!(held.digest_of(PART), None, "a hole");
    }

    #[test]
    fn a_journal_torn_at_any_byte_is_believed_up_to_there() {
        let about = about(None);
        let bytes = bytes_of(&[part(0, 1), hole(5 * PART, 3), part(1, 2), part(2, 3)], &about);
        for length in 0..=bytes.len() {
            let records = read(&bytes[..length], &about);
            assert_eq!(records.count as usize, length / LENGTH);
            // What a crash may leave behind what was written: zeros.
            let zeros = [&bytes[..length], &[0; 3 * LENGTH]].concat();
            let ends_with_zeros = bytes[length..].iter().take(LENGTH - length % LENGTH).all(|byte| *byte == 0);
            if !ends_with_zeros {
                assert_eq!(read(&zeros, &about).count, records.count, "zeros from {length} on");
            }
        }
    }

    #[test]
    fn nothing_behind_a_damaged_record_is_believed() {
        let about = about(None);
        let bytes = bytes_of(&[part(0, 1), part(1, 2), part(2, 3)], &about);
        for bit in 0..8 * LENGTH {
            let mut damaged = bytes.clone();
            damaged[LENGTH + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged, &about).extents, [Extent { offset: 0, length: PART }], "bit {bit}");
        }
    }

    #[test]
    fn records_of_another_journal_or_another_place_are_none() {
        let about = about(None);
        let other = About { id: [4; 16], ..about.clone() };
        assert_eq!(read(&bytes_of(&[part(0, 1)], &other), &about).count, 0);
        let twice = [bytes_of(&[part(0, 1)], &about), bytes_of(&[part(1, 1)], &about)].concat();
        assert_eq!(read(&twice, &about).count, 1);
    }

    #[test]
    fn what_cannot_be_of_the_volume_is_not_believed() {
        let about = about(Some(2 * PART + 100));
        let part_of = |offset, length| Record { digest: Some(Digest::default()), ..hole(offset, length) };
        for (record, expected) in [
            (hole(0, 2 * PART + 100), 1),
            (part_of(2 * PART, 100), 1),
            (hole(0, 2 * PART + 101), 0),
            (hole(0, 0), 0),
            (hole(u64::MAX, 2), 0),
            (part_of(PART, PART - 1), 0),
            (part_of(PART + 1, PART), 0),
            (part_of(0, 2 * PART), 0),
            (part_of(2 * PART, 99), 0),
        ] {
            assert_eq!(read(&bytes_of(&[record], &about), &about).count, expected, "{record:?}");
        }
    }

    proptest! {
        #[test]
        fn extents_are_those_of_a_naive_set(ranges in proptest::collection::vec((0u64..60, 1u64..9), 0..40)) {
            let mut extents = Extents::default();
            let mut naive = [false; 80];
            for (offset, length) in ranges {
                let is_room = extents.insert(Extent { offset, length });
                prop_assert!(is_room);
                naive[offset as usize..][..length as usize].fill(true);
            }
            let mut expected = Vec::new();
            let mut at = 0;
            for run in naive.chunk_by(|a, b| a == b) {
                if run[0] {
                    expected.push(Extent { offset: at, length: run.len() as u64 });
                }
                at += run.len() as u64;
            }
            prop_assert_eq!(extents.finish(), expected);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, records in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..6)) {
            let about = about(None);
            let _ = read(&bytes, &about);
            // Checksums that fit: what was written by a program gone mad.
            let records: Vec<Record> = records
                .into_iter()
                .map(|(offset, length, is_hole)| Record {
                    digest: (!is_hole).then_some(Digest([1; 32])),
                    ..hole(offset, length)
                })
                .collect();
            let held = held(&records, &about);
            let _ = (held.extents(), held.bytes(), held.digest_of(0));
        }
    }
}
