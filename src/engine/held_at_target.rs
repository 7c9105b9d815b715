//! What a target holds already, as the sender is told: by a receiver's answer, or by a token.

use crate::usedmap::Extent;

/// Ranges of the volume that need not be sent, only compared. Empty for a transfer that begins anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldAtTarget {
    /// In order of offset, disjoint.
    extents: Vec<Extent>,
}

impl HeldAtTarget {
    /// Any extents in any order; what overlaps is joined.
    pub fn new(extents: impl IntoIterator<Item = Extent>) -> Self {
        let mut sorted: Vec<Extent> = extents.into_iter().filter(|extent| !extent.is_empty()).collect();
        sorted.sort_unstable();
        let mut extents: Vec<Extent> = Vec::new();
        for extent in sorted {
            match extents.last_mut() {
                Some(last) if extent.offset <= last.end() => {
                    *last = Extent::between(last.offset, last.end().max(extent.end()));
                }
                _ => extents.push(extent),
            }
        }
        HeldAtTarget { extents }
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// Whether all of `place` is held.
    pub fn contains(&self, place: Extent) -> bool {
        let after = self.extents.partition_point(|extent| extent.offset <= place.offset);
        after > 0 && place.end() <= self.extents[after - 1].end()
    }

    /// What both hold: of several receivers none may lack what is not sent.
    #[must_use]
    pub fn intersection(&self, other: &HeldAtTarget) -> HeldAtTarget {
        let (mut ours, mut theirs) = (self.extents.iter().peekable(), other.extents.iter().peekable());
        let mut both = Vec::new();
        while let (Some(our), Some(their)) = (ours.peek(), theirs.peek()) {
            both.push(our.clipped_to(**their));
            if our.end() < their.end() {
                ours.next()
            } else {
                theirs.next()
            };
        }
        HeldAtTarget::new(both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(extents: &[(u64, u64)]) -> HeldAtTarget {
        HeldAtTarget::new(extents.iter().map(|&(offset, end)| Extent::between(offset, end)))
    }

    #[test]
    fn only_what_is_held_whole_is_held() {
        let held = held(&[(30, 40), (0, 10), (10, 20)]);
        for (offset, end, is_held) in
            [(0, 20, true), (5, 15, true), (19, 21, false), (20, 30, false), (30, 40, true)]
        {
            assert_eq!(held.contains(Extent::between(offset, end)), is_held, "{offset} to {end}");
        }
        assert!(!HeldAtTarget::default().contains(Extent::between(0, 1)));
    }

    #[test]
    fn of_two_receivers_counts_what_both_hold() {
        let both = held(&[(0, 10), (20, 30), (40, 60)]).intersection(&held(&[(5, 25), (40, 41), (50, 70)]));
        assert_eq!(both, held(&[(5, 10), (20, 25), (40, 41), (50, 60)]));
    }
}
