//! A map seen along the transfer's grid: which parts hold data, and the holes between them.
//!
//! In: a [`UsedMap`] and the part size. Out: [`Cell`]s in order that tile the volume exactly. Nothing is allocated;
//! a hole is one item however long, so an empty volume of 1 PiB is one item and not a billion.

use super::{Extent, UsedMap};

/// A piece of the volume in the order of its offset. All cells together are the volume, without gap or overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// One cell of the grid that holds data, at least a byte of it.
    Data(DataCell<'a>),
    /// One or more whole cells of the grid without data. The last one may be cut short by the volume's end.
    Hole(Extent),
}

/// One cell of the grid with the extents that touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataCell<'a> {
    /// Where the cell lies: its offset is a multiple of the part size, its length the part size, but for the last
    /// cell of the volume.
    pub place: Extent,
    touching: &'a [Extent],
}

impl<'a> DataCell<'a> {
    /// The data in the cell: extents in order, clipped to the cell, offsets on the volume.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + use<'a> {
        let place = self.place;
        self.touching.iter().map(move |extent| extent.clipped_to(place))
    }

    /// Whether all of the cell is data.
    pub fn is_full(&self) -> bool {
        self.touching.first().is_some_and(|extent| extent.clipped_to(self.place) == self.place)
    }

    /// How many bytes of the cell are data.
    pub fn used_bytes(&self) -> u64 {
        self.extents().map(|extent| extent.length).sum()
    }
}

/// The iterator that [`UsedMap::cells`] returns.
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    /// Extents of which no byte has been left behind yet.
    ahead: &'a [Extent],
    position: u64,
    size: u64,
    part_size: u64,
}

impl UsedMap {
    /// The volume cut into cells of `part_size` bytes; 0 counts as 1.
    pub fn cells(&self, part_size: u64) -> Cells<'_> {
        self.cells_from(0, part_size)
    }

    /// The cells from an offset on, which is on the grid; found by binary search.
    pub fn cells_from(&self, offset: u64, part_size: u64) -> Cells<'_> {
        let done = self.extents.partition_point(|extent| extent.end() <= offset);
        Cells { ahead: &self.extents[done..], position: offset, size: self.size, part_size: part_size.max(1) }
    }

    /// The extents in a place, clipped to it, in order; found by binary search.
    pub fn extents_in(&self, place: Extent) -> impl Iterator<Item = Extent> + use<'_> {
        let first = self.extents.partition_point(|extent| extent.end() <= place.offset);
        let touching = self.extents[first..].iter().take_while(move |extent| extent.offset < place.end());
        touching.map(move |extent| extent.clipped_to(place))
    }
}

impl<'a> Cells<'a> {
    /// The cell that starts at the current position, which is on the grid.
    fn data_cell(&mut self) -> DataCell<'a> {
        let place = Extent::between(self.position, self.position.saturating_add(self.part_size).min(self.size));
        // Linear from the front: over the whole walk each extent is looked at once, and once more for each cell
        // that it enters.
        let touching = self.ahead.iter().take_while(|extent| extent.offset < place.end()).count();
        let cell = DataCell { place, touching: &self.ahead[..touching] };
        let done = cell.touching.iter().take_while(|extent| extent.end() <= place.end()).count();
        self.ahead = &self.ahead[done..];
        cell
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        if self.position >= self.size {
            return None;
        }
        let next_data = self.ahead.first().map_or(self.size, |extent| extent.offset);
        let next_cell = next_data - next_data % self.part_size;
        let cell = if self.ahead.is_empty() {
            Cell::Hole(Extent::between(self.position, self.size))
        } else if next_cell > self.position {
            Cell::Hole(Extent::between(self.position, next_cell))
        } else {
            Cell::Data(self.data_cell())
        };
        self.position = match cell {
            Cell::Data(data) => data.place.end(),
            Cell::Hole(hole) => hole.end(),
        };
        Some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usedmap::{MapBuilder, MapSource};

    fn map(size: u64, runs: &[(u64, u64)]) -> UsedMap {
        let mut builder = MapBuilder::new(MapSource::Thin);
        for &(offset, length) in runs {
            builder.push(offset, length).expect("in order");
        }
        builder.finish(size)
    }

    /// `hole 0+8` and `data 8+4 of 9+1 11+1`, as short lines.
    fn told(map: &UsedMap, part_size: u64) -> Vec<String> {
        let place = |extent: Extent| format!("{}+{}", extent.offset, extent.length);
        map.cells(part_size)
            .map(|cell| match cell {
                Cell::Hole(hole) => format!("hole {}", place(hole)),
                Cell::Data(data) => {
                    let used: Vec<_> = data.extents().map(place).collect();
                    format!("data {} of {}", place(data.place), used.join(" "))
                }
            })
            .collect()
    }

    #[test]
    fn cells_tile_the_volume() {
        assert!(told(&map(0, &[]), 4).is_empty());
        assert_eq!(told(&map(10, &[]), 4), ["hole 0+10"]);
        assert_eq!(told(&map(10, &[(0, 10)]), 4), ["data 0+4 of 0+4", "data 4+4 of 4+4", "data 8+2 of 8+2"]);
        assert_eq!(told(&map(17, &[(16, 1)]), 4), ["hole 0+16", "data 16+1 of 16+1"]);
        assert_eq!(
            told(&map(30, &[(9, 1), (11, 1), (14, 3)]), 4),
            ["hole 0+8", "data 8+4 of 9+1 11+1", "data 12+4 of 14+2", "data 16+4 of 16+1", "hole 20+10",]
        );
    }

    #[test]
    fn cells_and_extents_are_found_in_the_middle() {
        let map = map(30, &[(9, 1), (11, 1), (14, 3)]);
        for from in (0..30).step_by(4) {
            let all = map.cells(4).filter(|cell| matches!(cell, Cell::Data(data) if data.place.offset >= from));
            let found = map.cells_from(from, 4).filter(|cell| matches!(cell, Cell::Data(_)));
            assert!(all.eq(found), "from {from}");
        }
        let inside = |offset, length| map.extents_in(Extent { offset, length }).collect::<Vec<_>>();
        assert_eq!(inside(10, 5), [Extent { offset: 11, length: 1 }, Extent { offset: 14, length: 1 }]);
        assert_eq!(inside(0, 9), []);
        assert_eq!(inside(16, 14), [Extent { offset: 16, length: 1 }]);
    }

    #[test]
    fn an_empty_pebibyte_is_one_hole() {
        let map = map(1 << 50, &[]);
        assert_eq!(map.cells(1 << 20).collect::<Vec<_>>(), [Cell::Hole(Extent { offset: 0, length: 1 << 50 })]);
    }

    #[test]
    fn a_full_cell_says_so() {
        let map = map(12, &[(0, 6), (8, 4)]);
        let full: Vec<_> = map
            .cells(4)
            .map(|cell| match cell {
                Cell::Data(data) => (data.is_full(), data.used_bytes()),
                Cell::Hole(hole) => panic!("a hole at {}", hole.offset),
            })
            .collect();
        assert_eq!(full, [(true, 4), (false, 2), (true, 4)]);
    }
}
