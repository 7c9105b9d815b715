//! The map's algebra: what lies in a range, the holes, union and difference of two maps.
//!
//! In: one or two finished maps. Out: iterators over them, or a new map. Looking up is a binary search; the rest is
//! one pass over both maps, in order, and a new map takes 16 bytes for each of its extents.

use super::{Extent, MapBuilder, UsedMap};
use crate::error::Result;

impl UsedMap {
    /// The data in `range`: extents in order, clipped to it.
    pub fn overlapping(&self, range: Extent) -> impl Iterator<Item = Extent> {
        let first = self.extents.partition_point(|extent| extent.end() <= range.offset);
        self.extents[first..]
            .iter()
            .map(move |extent| extent.clipped_to(range))
            .take_while(|extent| !extent.is_empty())
    }

    /// The holes in order: what [`UsedMap::extents`] leaves of the volume.
    pub fn holes(&self) -> impl Iterator<Item = Extent> {
        let begins = std::iter::once(0).chain(self.extents.iter().map(|extent| extent.end()));
        let ends = self.extents.iter().map(|extent| extent.offset).chain(std::iter::once(self.size));
        begins.zip(ends).map(|(begin, end)| Extent::between(begin, end)).filter(|hole| !hole.is_empty())
    }

    /// What is data in either map. As large as the larger volume; the source is `self`'s.
    pub fn union(&self, other: &UsedMap) -> Result<UsedMap> {
        let mut union = MapBuilder::new(self.source);
        let mut ours = self.extents.iter().peekable();
        let mut theirs = other.extents.iter().peekable();
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(a), Some(b)) if a.offset <= b.offset => ours.next(),
                (_, Some(_)) => theirs.next(),
                (_, None) => ours.next(),
            };
            match next {
                Some(extent) => union.push(extent.offset, extent.length)?,
                None => return Ok(union.finish(self.size.max(other.size))),
            }
        }
    }

    /// What is data in this map and not in `other`. Size and source are `self`'s.
    pub fn subtract(&self, other: &UsedMap) -> Result<UsedMap> {
        let mut left = MapBuilder::new(self.source);
        let mut theirs = other.extents.as_slice();
        for extent in &self.extents {
            let mut position = extent.offset;
            while let Some(cut) = theirs.first().filter(|cut| cut.offset < extent.end()) {
                left.push(position, cut.offset.saturating_sub(position))?;
                position = position.max(cut.end());
                if cut.end() > extent.end() {
                    break; // it may reach into the next of ours
                }
                theirs = &theirs[1..];
            }
            left.push(position, extent.end().saturating_sub(position))?;
        }
        Ok(left.finish(self.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usedmap::{Cell, MapSource};
    use proptest::prelude::*;

    const MOST: u64 = 200;

    /// The naive map: a truth value for each byte.
    type Bits = Vec<bool>;

    fn from_bits(bits: &Bits) -> UsedMap {
        let mut builder = MapBuilder::new(MapSource::Thin);
        for (offset, _) in bits.iter().enumerate().filter(|(_, used)| **used) {
            builder.push(offset as u64, 1).expect("in order");
        }
        builder.finish(bits.len() as u64)
    }

    fn to_bits(size: u64, extents: impl IntoIterator<Item = Extent>) -> Bits {
        let mut bits = vec![false; size as usize];
        for extent in extents {
            for offset in extent.offset..extent.end() {
                assert!(!bits[offset as usize], "byte {offset} is in two extents");
                bits[offset as usize] = true;
            }
        }
        bits
    }

    /// Sorted, disjoint, not touching, inside; the sum is right.
    fn assert_whole(map: &UsedMap) {
        assert!(map.extents().windows(2).all(|pair| pair[0].end() < pair[1].offset));
        assert!(map.extents().iter().all(|extent| !extent.is_empty() && extent.end() <= map.size()));
        assert_eq!(map.used_bytes(), map.extents().iter().map(|extent| extent.length).sum::<u64>());
    }

    /// Runs of random lengths, alternately used and not: dense and sparse stretches alike.
    fn bits() -> impl Strategy<Value = Bits> {
        proptest::collection::vec((any::<bool>(), 1usize..20), 0..10)
            .prop_map(|runs| runs.iter().flat_map(|&(used, length)| vec![used; length]).collect())
    }

    proptest! {
        #[test]
        fn a_map_holds_what_was_pushed(bits in bits()) {
            let map = from_bits(&bits);
            assert_whole(&map);
            prop_assert_eq!(to_bits(map.size(), map.extents().iter().copied()), bits);
        }

        #[test]
        fn data_and_holes_are_the_volume(bits in bits()) {
            let map = from_bits(&bits);
            let all = map.extents().iter().copied().chain(map.holes());
            prop_assert_eq!(to_bits(map.size(), all), vec![true; bits.len()]);
        }

        #[test]
        fn overlapping_is_the_map_inside_the_range(bits in bits(), offset in 0..MOST, length in 0..MOST) {
            let map = from_bits(&bits);
            let inside = to_bits(map.size(), map.overlapping(Extent { offset, length }));
            let expected: Bits = (0..).zip(&bits).map(|(at, used)| *used && at >= offset && at < offset + length).collect();
            prop_assert_eq!(inside, expected);
        }

        #[test]
        fn cells_are_the_volume_and_their_extents_the_map(bits in bits(), part_size in 1u64..40) {
            let map = from_bits(&bits);
            let (mut used, mut position) = (Vec::new(), 0);
            for cell in map.cells(part_size) {
                let place = match cell {
                    Cell::Hole(hole) => hole,
                    Cell::Data(data) => {
                        prop_assert!(data.place.length <= part_size && data.used_bytes() > 0);
                        prop_assert_eq!(data.is_full(), data.used_bytes() == data.place.length);
                        used.extend(data.extents());
                        data.place
                    }
                };
                prop_assert_eq!(place.offset, position);
                prop_assert!(place.offset % part_size == 0 && !place.is_empty());
                position = place.end();
            }
            prop_assert_eq!(position, map.size());
            prop_assert_eq!(to_bits(map.size(), used), bits);
        }

        #[test]
        fn union_and_difference_are_those_of_the_bits(ours in bits(), theirs in bits()) {
            let (a, b) = (from_bits(&ours), from_bits(&theirs));
            let size = ours.len().max(theirs.len());
            let at = |bits: &Bits, n: usize| bits.get(n).copied().unwrap_or(false);

            let union = a.union(&b).expect("in order");
            assert_whole(&union);
            let expected: Bits = (0..size).map(|n| at(&ours, n) || at(&theirs, n)).collect();
            prop_assert_eq!(to_bits(union.size(), union.extents().iter().copied()), expected);

            let left = a.subtract(&b).expect("in order");
            assert_whole(&left);
            let expected: Bits = (0..ours.len()).map(|n| ours[n] && !at(&theirs, n)).collect();
            prop_assert_eq!(to_bits(left.size(), left.extents().iter().copied()), expected);
        }
    }

    #[test]
    fn everything_is_one_extent() {
        let map = UsedMap::everything(1 << 50);
        assert_eq!(map.extents(), [Extent { offset: 0, length: 1 << 50 }]);
        assert_eq!(map.used_bytes(), 1 << 50);
        assert_eq!(map.source(), MapSource::Unknown);
        assert!(UsedMap::everything(0).extents().is_empty());
    }
}
