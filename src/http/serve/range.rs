//! The `Range` field: which bytes of a volume somebody asks for, by RFC 9110, section 14.
//!
//! In: the field's value and the volume's size. Out: a [`Selection`]. What a server may choose is chosen so that no
//! request makes work out of proportion to its length: a unit that is not `bytes` is ignored, as it must be; what is
//! no list of ranges, has more than [`MOST_RANGES`], or asks for a byte more than twice is refused with 416 as
//! section 15.5.17 has it, and not answered with the whole volume.

use crate::usedmap::Extent;

/// The most ranges in a request.
pub const MOST_RANGES: usize = 64;
/// How often one byte may be asked for in a request: section 14.2 speaks of "more than two overlapping ranges".
const MOST_OVERLAP: usize = 2;

/// What of a volume is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it: there is no range in a unit that is known.
    Whole,
    /// One range; it is not empty and within the volume.
    One(Extent),
    /// Several, in the order they were asked for; each as [`Selection::One`]'s.
    Several(Vec<Extent>),
    /// None that can be served: 416.
    Unsatisfiable,
}

/// Reads the field's value for a volume of `size` bytes.
pub fn select(field: &str, size: u64) -> Selection {
    let Some((unit, set)) = field.split_once('=') else { return Selection::Whole };
    if !unit.trim_matches(BLANKS).eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let mut ranges = Vec::new();
    let mut number = 0;
    // Empty elements of a list are passed over: section 5.6.1.2.
    for spec in set.split(',').map(|spec| spec.trim_matches(BLANKS)).filter(|spec| !spec.is_empty()) {
        number += 1;
        match resolve(spec, size) {
            _ if number > MOST_RANGES => return Selection::Unsatisfiable,
            Ok(Some(range)) => ranges.push(range),
            Ok(None) => {}
            Err(NoRange) => return Selection::Unsatisfiable,
        }
    }
    match ranges.as_slice() {
        [] => Selection::Unsatisfiable,
        [range] => Selection::One(*range),
        _ if deepest_overlap(&ranges) > MOST_OVERLAP => Selection::Unsatisfiable,
        _ => Selection::Several(ranges),
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// What is no range.
struct NoRange;

/// One range of the list; `None` where it lies outside of the volume.
fn resolve(spec: &str, size: u64) -> Result<Option<Extent>, NoRange> {
    let (first, last) = spec.split_once('-').ok_or(NoRange)?;
    let range = match (first, last) {
        ("", suffix) => Extent::between(size.saturating_sub(number(suffix)?), size),
        (first, "") => Extent::between(number(first)?, size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(NoRange);
            }
            Extent::between(first, last.saturating_add(1).min(size))
        }
    };
    Ok(Some(range).filter(|range| !range.is_empty()))
}

/// Digits and nothing else; what is too large is as large as can be, which lies outside of every volume.
fn number(digits: &str) -> Result<u64, NoRange> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoRange);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// In how many ranges the byte lies that lies in most of them.
fn deepest_overlap(ranges: &[Extent]) -> usize {
    let inside = |at: u64| ranges.iter().filter(|range| range.offset <= at && at < range.end()).count();
    ranges.iter().map(|range| inside(range.offset)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: u64 = 10_000;

    fn range(first: u64, last: u64) -> Extent {
        Extent::between(first, last + 1)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let rows = [
            ("bytes=0-499", range(0, 499)),
            ("bytes=500-999", range(500, 999)),
            ("bytes=-500", range(9500, 9999)),
            ("bytes=9500-", range(9500, 9999)),
            ("Bytes = 9500-20000", range(9500, 9999)),
            ("bytes=-20000", range(0, 9999)),
            ("bytes= , 1-1 ,,", range(1, 1)),
            ("bytes=0-99999999999999999999999999999999", range(0, 9999)),
            ("bytes=20000-,7-7", range(7, 7)),
        ];
        for (field, expected) in rows {
            assert_eq!(select(field, SIZE), Selection::One(expected), "{field}");
        }
        let several = Selection::Several(vec![range(0, 0), range(9999, 9999)]);
        assert_eq!(select("bytes=0-0,-1", SIZE), several);
        let out_of_order = Selection::Several(vec![range(500, 700), range(0, 9), range(601, 999)]);
        assert_eq!(select("bytes=500-700, 0-9, 601-999", SIZE), out_of_order);
    }

    #[test]
    fn what_is_in_another_unit_is_ignored() {
        for field in ["", "bytes", "lines=1-2", "0-499"] {
            assert_eq!(select(field, SIZE), Selection::Whole, "{field}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        for field in
            ["bytes=", "bytes=,", "bytes=-", "bytes=--1", "bytes=5-1", "bytes=a-b", "bytes=1-2x", "bytes=+1-2"]
        {
            assert_eq!(select(field, SIZE), Selection::Unsatisfiable, "{field}");
        }
        for field in ["bytes=10000-", "bytes=-0", "bytes=10000-10001,99999999999999999999-", "bytes=1-2,x"] {
            assert_eq!(select(field, SIZE), Selection::Unsatisfiable, "{field}");
        }
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable, "an empty volume");
    }

    #[test]
    fn known_attacks_are_refused() {
        let many = |ranges: usize, of: &str| format!("bytes={}", vec![of; ranges].join(","));
        assert_eq!(select(&many(1300, "0-"), SIZE), Selection::Unsatisfiable);
        assert_eq!(select(&many(3, "0-"), SIZE), Selection::Unsatisfiable);
        assert!(matches!(select(&many(2, "0-"), SIZE), Selection::Several(_)));
        let apart: Vec<_> = (0..=MOST_RANGES as u64).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect();
        assert_eq!(select(&format!("bytes={}", apart.join(",")), SIZE), Selection::Unsatisfiable);
        assert!(matches!(select(&format!("bytes={}", apart[1..].join(",")), SIZE), Selection::Several(_)));
    }

    proptest! {
        #[test]
        fn what_is_selected_lies_within(field in "bytes=[-0-9, ]{0,40}", size in 0u64..2000) {
            match select(&field, size) {
                Selection::One(range) => prop_assert!(!range.is_empty() && range.end() <= size),
                Selection::Several(ranges) => {
                    prop_assert!(ranges.len() >= 2);
                    let all: u64 = ranges.iter().map(|range| range.length).sum();
                    prop_assert!(all <= size * MOST_OVERLAP as u64, "{} bytes of {}", all, size);
                    prop_assert!(ranges.iter().all(|range| !range.is_empty() && range.end() <= size));
                }
                Selection::Unsatisfiable => {}
                Selection::Whole => prop_assert!(false, "the unit is bytes"),
            }
        }

        #[test]
        fn no_text_panics(field in ".*", size: u64) {
            let _ = select(&field, size);
        }

        #[test]
        fn a_range_is_what_it_says(first in 0u64..SIZE, more in 0u64..SIZE) {
            let last = (first + more).min(SIZE - 1);
            prop_assert_eq!(select(&format!("bytes={first}-{last}"), SIZE), Selection::One(range(first, last)));
            let suffix = SIZE - first;
            prop_assert_eq!(select(&format!("bytes=-{suffix}"), SIZE), Selection::One(range(first, SIZE - 1)));
        }
    }
}
