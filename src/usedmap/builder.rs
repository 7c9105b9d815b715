//! Building a map from runs that arrive in order.
//!
//! In: extents by rising offset, from one reader on one thread. Out: the finished [`UsedMap`]. Memory: 16 bytes an
//! extent, and an eighth in reserve while it grows. An extent out of order is an error: whoever reads maps must
//! have found their own damage before, so it never gets this far unless lvpipe itself is wrong.

use super::{Extent, MapSource, UsedMap};
use crate::error::{Error, Result, Status};

/// The least number of extents to make room for at once: 1 MiB.
const LEAST_GROWTH: usize = 1 << 16;

/// A map under construction. Runs that touch or overlap become one extent.
#[derive(Debug)]
pub struct MapBuilder {
    extents: Vec<Extent>,
    source: MapSource,
}

impl MapBuilder {
    /// An empty map of a volume whose size is not needed before [`MapBuilder::finish`].
    pub fn new(source: MapSource) -> Self {
        MapBuilder { extents: Vec::new(), source }
    }

    /// Adds data of `length` bytes at `offset`; nothing if `length` is 0.
    ///
    /// Fails if `offset` lies before that of the last extent.
    pub fn push(&mut self, offset: u64, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let extent = Extent::between(offset, offset.saturating_add(length));
        match self.extents.last_mut() {
            Some(last) if extent.offset < last.offset => Err(out_of_order(last.offset, offset)),
            Some(last) if extent.offset <= last.end() => {
                *last = Extent::between(last.offset, last.end().max(extent.end()));
                Ok(())
            }
            Some(_) | None => {
                self.append(extent);
                Ok(())
            }
        }
    }

    /// The first extent of a map: there is none before it to be out of order with.
    pub(super) fn push_first(&mut self, extent: Extent) {
        debug_assert!(self.extents.is_empty());
        if !extent.is_empty() {
            self.append(extent);
        }
    }

    fn append(&mut self, extent: Extent) {
        if self.extents.len() == self.extents.capacity() {
            // Not the usual doubling: with 100 million extents that would be 1.6 GB of nothing. The allocator moves
            // large blocks by remapping pages, so growing in small steps copies little.
            self.extents.reserve_exact((self.extents.len() / 8).max(LEAST_GROWTH));
        }
        self.extents.push(extent);
    }

    /// The end of the last extent; 0 if there is none. The least size that [`MapBuilder::finish`] does not clip.
    pub fn end(&self) -> u64 {
        self.extents.last().map_or(0, |last| last.end())
    }

    /// The map of a volume of `size` bytes. What lies beyond is dropped: the last chunk of a thin volume may reach
    /// over its end, and a volume that was made smaller can have chunks there that nobody can read any more.
    pub fn finish(mut self, size: u64) -> UsedMap {
        let inside = self.extents.partition_point(|extent| extent.offset < size);
        self.extents.truncate(inside);
        if let Some(last) = self.extents.last_mut() {
            *last = Extent::between(last.offset, last.end().min(size));
        }
        self.extents.shrink_to_fit();
        let used = self.extents.iter().map(|extent| extent.length).sum();
        UsedMap { size, used, extents: self.extents, source: self.source }
    }
}

fn out_of_order(last: u64, offset: u64) -> Error {
    Error::new(
        Status::Io,
        "cannot build the used map",
        format_args!("offset {offset}"),
        format!("it comes after {last}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(size: u64, runs: &[(u64, u64)]) -> UsedMap {
        let mut builder = MapBuilder::new(MapSource::Thin);
        for &(offset, length) in runs {
            builder.push(offset, length).expect("in order");
        }
        builder.finish(size)
    }

    #[test]
    fn runs_that_touch_or_overlap_become_one_extent() {
        let map = map(100, &[(0, 10), (10, 5), (12, 1), (20, 5), (20, 7), (30, 0)]);
        assert_eq!(map.extents(), [Extent { offset: 0, length: 15 }, Extent { offset: 20, length: 7 }]);
        assert_eq!(map.used_bytes(), 22);
    }

    #[test]
    fn what_lies_beyond_the_size_is_dropped() {
        let runs = [(0, 10), (20, 10), (40, 10)];
        for (size, used) in [(60, 30), (25, 15), (20, 10), (10, 10), (1, 1), (0, 0)] {
            let map = map(size, &runs);
            assert_eq!(map.used_bytes(), used);
            assert!(map.extents().iter().all(|extent| extent.end() <= size && !extent.is_empty()));
        }
    }

    #[test]
    fn the_last_byte_of_the_address_space_does_not_overflow() {
        let map = map(u64::MAX, &[(u64::MAX - 1, u64::MAX)]);
        assert_eq!(map.extents(), [Extent { offset: u64::MAX - 1, length: 1 }]);
    }

    #[test]
    fn runs_out_of_order_are_refused() {
        let mut builder = MapBuilder::new(MapSource::Thin);
        builder.push(10, 5).expect("first");
        let error = builder.push(9, 5).expect_err("goes back");
        assert_eq!(error.to_string(), "cannot build the used map: offset 9: it comes after 10");
    }

    #[test]
    fn the_finished_map_holds_sixteen_bytes_an_extent() {
        let mut builder = MapBuilder::new(MapSource::Thin);
        for n in 0..100_000 {
            builder.push(n * 2, 1).expect("in order");
            assert!(builder.extents.capacity() <= (n as usize + 1) * 9 / 8 + LEAST_GROWTH);
        }
        let map = builder.finish(1 << 40);
        assert_eq!(map.extents.capacity(), 100_000);
        assert_eq!(size_of::<Extent>(), 16);
    }
}
