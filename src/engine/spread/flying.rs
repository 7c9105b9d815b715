//! What is on its way to one receiver: by offset, and how much of it on each link.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::outbox::LinkId;

/// Things on their way, each on a link.
pub(super) struct Flying<T> {
    by_offset: BTreeMap<u64, (T, LinkId)>,
    /// How many are on each link; none of zero.
    on_links: BTreeMap<LinkId, usize>,
}

impl<T> Default for Flying<T> {
    fn default() -> Self {
        Flying { by_offset: BTreeMap::new(), on_links: BTreeMap::new() }
    }
}

impl<T> Flying<T> {
    /// The one at the lowest offset.
    pub(super) fn first(&self) -> Option<&T> {
        self.by_offset.first_key_value().map(|(_, (item, _))| item)
    }

    /// Whether anything is on its way on a link.
    pub(super) fn any_on(&self, link: LinkId) -> bool {
        self.on_links.contains_key(&link)
    }

    /// One more, on this link; in the place of what was at that offset.
    pub(super) fn insert(&mut self, offset: u64, item: T, link: LinkId) {
        *self.on_links.entry(link).or_default() += 1;
        if let Some((_, link)) = self.by_offset.insert(offset, (item, link)) {
            self.one_less_on(link);
        }
    }

    /// The one at an offset has arrived, or is to be sent again; with the link that it was on.
    pub(super) fn remove(&mut self, offset: u64) -> Option<(T, LinkId)> {
        let (item, link) = self.by_offset.remove(&offset)?;
        self.one_less_on(link);
        Some((item, link))
    }

    /// Takes out all that is on a link, in order of offset. Looks at everything: a link is lost once.
    pub(super) fn lost(&mut self, link: LinkId) -> Vec<(u64, T)> {
        self.on_links.remove(&link);
        let on_it = self.by_offset.extract_if(.., |_, (_, on)| *on == link);
        on_it.map(|(offset, (item, _))| (offset, item)).collect()
    }

    fn one_less_on(&mut self, link: LinkId) {
        if let Entry::Occupied(mut count) = self.on_links.entry(link) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_each_link_is_counted() {
        let (a, b) = (LinkId(1), LinkId(2));
        let mut flying = Flying::default();
        [(20, a), (10, b), (30, a), (40, b)].into_iter().for_each(|(at, link)| flying.insert(at, at, link));
        assert_eq!(flying.first(), Some(&10));
        assert_eq!((flying.remove(10), flying.remove(10)), (Some((10, b)), None));
        assert!(flying.any_on(a) && flying.any_on(b));
        flying.insert(40, 41, a);
        assert!(!flying.any_on(b), "the one at 40 is on the other link now");
        assert_eq!(flying.lost(a), [(20, 20), (30, 30), (40, 41)]);
        assert!(!flying.any_on(a) && flying.first().is_none());
        flying.insert(0, 0, a);
        assert_eq!((flying.remove(0), flying.any_on(a)), (Some((0, a)), false));
    }
}
