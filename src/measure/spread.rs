//! Which parts of a volume to read, when there is no time for all of them.
//!
//! The used bytes are cut into runs of equal length, which are read each in order, as a transfer reads; the runs
//! themselves are taken from all over the volume, whenever one stops. Memory: 8 bytes for each 1024 extents of the map.

use crate::usedmap::{Extent, MapBuilder, UsedMap};

/// Used bytes in a run: long enough that the way to it costs even a disk with arms a tenth of its time at most, and
/// short enough to see many places.
pub const RUN: u64 = 16 << 20;
/// How many extents lie between two that are indexed.
const STEP: usize = 1024;

/// The runs of a volume, as maps of it. Each comes once.
pub struct Spread<'a> {
    map: &'a UsedMap,
    /// Used bytes before every [`STEP`]th extent.
    before: Vec<u64>,
    runs: u64,
    turn: u64,
    turns: u64,
}

impl<'a> Spread<'a> {
    /// All runs of what the map calls used.
    pub fn over(map: &'a UsedMap) -> Self {
        let mut sum = 0;
        let mut before = Vec::with_capacity(map.extents().len() / STEP + 1);
        for extents in map.extents().chunks(STEP) {
            before.push(sum);
            sum += extents.iter().map(|extent| extent.length).sum::<u64>();
        }
        let runs = map.used_bytes().div_ceil(RUN);
        Spread { map, before, runs, turn: 0, turns: runs.checked_next_power_of_two().unwrap_or(runs) }
    }

    /// The extents that hold the used bytes from `begin` up to `end`, counted without the holes.
    fn run(&self, begin: u64, end: u64) -> UsedMap {
        let indexed = self.before.partition_point(|before| *before <= begin).saturating_sub(1);
        let mut position = self.before.get(indexed).copied().unwrap_or(0);
        let mut run = MapBuilder::new(self.map.source());
        for extent in &self.map.extents()[indexed * STEP..] {
            if position >= end {
                break;
            }
            let from = begin.saturating_sub(position).min(extent.length);
            let to = (end - position).min(extent.length);
            let piece = Extent::between(extent.offset + from, extent.offset + to);
            run.push(piece.offset, piece.length).expect("the map's extents are in order");
            position += extent.length;
        }
        run.finish(self.map.size())
    }
}

impl Iterator for Spread<'_> {
    type Item = UsedMap;

    fn next(&mut self) -> Option<UsedMap> {
        while self.turn < self.turns {
            let number = van_der_corput(self.turn, self.turns);
            self.turn += 1;
            if number < self.runs {
                let begin = number * RUN;
                return Some(self.run(begin, (begin + RUN).min(self.map.used_bytes())));
            }
        }
        None
    }
}

/// The numbers below a power of two in an order whose every beginning is spread over all of them: 0, 1/2, 1/4, 3/4, ...
/// of it. (The bits of the turn, reversed.)
fn van_der_corput(turn: u64, numbers: u64) -> u64 {
    match numbers.trailing_zeros() {
        0 => turn,
        bits => turn.reverse_bits() >> (u64::BITS - bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usedmap::MapSource;
    use proptest::prelude::*;

    fn map(size: u64, extents: &[(u64, u64)]) -> UsedMap {
        let mut map = MapBuilder::new(MapSource::Thin);
        extents.iter().for_each(|&(offset, length)| map.push(offset, length).expect("in order"));
        map.finish(size)
    }

    #[test]
    fn the_first_runs_are_from_all_over_the_volume() {
        let all = map(100 * RUN, &[(0, 100 * RUN)]);
        let first: Vec<u64> = Spread::over(&all).take(4).map(|run| run.extents()[0].offset / RUN).collect();
        assert_eq!(first, [0, 64, 32, 96]);
        assert_eq!(Spread::over(&map(RUN, &[])).count(), 0);
        assert_eq!(Spread::over(&map(RUN, &[(5, 1)])).collect::<Vec<_>>(), [map(RUN, &[(5, 1)])]);
    }

    #[test]
    fn one_extent_of_eight_exabytes_is_no_matter() {
        let all = map(1 << 63, &[(0, 1 << 63)]);
        assert!(Spread::over(&all).take(100).all(|run| run.used_bytes() == RUN));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn all_runs_together_are_the_map(lengths in prop::collection::vec((1..RUN / 8, 1..RUN), 0..3 * STEP)) {
            let mut offset = 0;
            let extents: Vec<_> = lengths.into_iter().map(|(length, gap)| {
                let extent = (offset, length);
                offset += length + gap;
                extent
            }).collect();
            let all = map(offset, &extents);
            let mut pieces: Vec<Extent> = Spread::over(&all).flat_map(|run| run.extents().to_vec()).collect();
            pieces.sort_unstable();
            let mut joined = MapBuilder::new(MapSource::Thin);
            for piece in pieces {
                prop_assert!(piece.offset >= joined.end(), "twice: {piece:?}");
                joined.push(piece.offset, piece.length).expect("sorted");
            }
            prop_assert_eq!(joined.finish(offset), all);
        }
    }
}
