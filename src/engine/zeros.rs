//! Finding zeros in what was read: what is all zeros travels as a hole.
//!
//! Zeros are looked for in aligned blocks of 4 KiB; a run of them becomes a hole from 32 KiB on, or where it makes
//! up a whole segment: shorter runs compress to nothing, while each hole costs the target a write of its own.

use std::ops::Range;

const BLOCK: usize = 4096;
const LEAST_RUN: usize = 32 << 10;

/// Whether all of it is zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Runs of fixed length become vector instructions; most data ends the search in its first run.
    let runs = bytes.chunks_exact(256);
    let rest = runs.remainder();
    runs.into_iter().all(|run| run.iter().fold(0, |sum, byte| sum | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// The ranges of `bytes` that hold data, in order; what lies between them is zeros.
pub(super) fn data_ranges(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        if is_zero(block) {
            continue;
        }
        let (begin, end) = (index * BLOCK, index * BLOCK + block.len());
        match ranges.last_mut() {
            Some(last) if begin - last.end < LEAST_RUN => last.end = end,
            // Fewer zeros at the beginning than are worth a hole.
            None if begin < LEAST_RUN => ranges.push(0..end),
            _ => ranges.push(begin..end),
        }
    }
    if let Some(last) = ranges.last_mut()
        && bytes.len() - last.end < LEAST_RUN
    {
        last.end = bytes.len();
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_left_out_is_zeros_and_enough_of_them(
            runs in proptest::collection::vec((any::<bool>(), 0usize..100_000), 0..6),
        ) {
            let bytes: Vec<u8> = runs.iter().flat_map(|&(data, n)| vec![u8::from(data); n]).collect();
            let ranges = data_ranges(&bytes);
            let mut position = 0;
            for range in &ranges {
                prop_assert!(is_zero(&bytes[position..range.start]));
                prop_assert!(range.start == position || range.start - position >= LEAST_RUN);
                prop_assert!(!is_zero(&bytes[range.clone()]) && range.start % BLOCK == 0);
                position = range.end;
            }
            prop_assert!(is_zero(&bytes[position..]));
            prop_assert_eq!(ranges.is_empty(), is_zero(&bytes));
            // No run of whole zero blocks that is long enough is sent.
            let zero_run = |n: usize| bytes.get(n * BLOCK..n * BLOCK + 2 * LEAST_RUN).is_some_and(is_zero);
            for n in (0..bytes.len() / BLOCK).filter(|n| zero_run(*n)) {
                prop_assert!(!ranges.iter().any(|r| r.start <= n * BLOCK && r.end >= n * BLOCK + 2 * LEAST_RUN));
            }
        }
    }

    #[test]
    fn one_byte_anywhere_is_seen() {
        let mut bytes = vec![0; 4096 + 17];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "at {at}");
            bytes[at] = 0;
        }
    }
}
