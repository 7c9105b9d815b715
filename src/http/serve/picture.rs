//! A volume's map as a picture: cells in rows, each as dark as what it stands for is full.
//!
//! The cells are counted once, when the server starts: a map may have a hundred million extents.

use std::fmt::Write as _;

use crate::usedmap::{Extent, UsedMap};

/// Cells in a row, and rows.
const COLUMNS: u64 = 64;
const ROWS: u64 = 8;
/// A cell's size and the distance to the next, in the picture's own unit.
const CELL: u64 = 9;
const STEP: u64 = 10;

/// How full each cell is, from 0 to 100.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture(Vec<u8>);

impl Picture {
    /// Counts a map's cells, in one pass.
    pub fn of(map: &UsedMap) -> Self {
        let size = u128::from(map.size());
        let cells = u128::from(COLUMNS * ROWS).min(size);
        // Where a cell begins; no cell is empty, as there are no more of them than bytes.
        let border = |number: u128| (size * number / cells.max(1)) as u64;
        let mut extents = map.extents().iter().copied().peekable();
        let full = (0..cells).map(|number| {
            let cell = Extent::between(border(number), border(number + 1));
            let mut used = 0u128;
            while let Some(extent) = extents.peek() {
                used += u128::from(extent.clipped_to(cell).length);
                if extent.end() > cell.end() {
                    break;
                }
                extents.next();
            }
            // What is used at all is to be seen.
            (used * 100).div_ceil(u128::from(cell.length)) as u8
        });
        Picture(full.collect())
    }

    /// How full each cell is, in per cent.
    pub fn cells(&self) -> &[u8] {
        &self.0
    }

    /// As SVG, to stand in a page. Cells that follow each other in a row and are equally full are one shape.
    pub fn svg(&self, title: &str) -> String {
        let (width, height) = (COLUMNS * STEP - 1, (self.0.len() as u64).div_ceil(COLUMNS).max(1) * STEP - 1);
        let mut svg = format!(
            "<svg class=\"map\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\
             <title>{title}</title>"
        );
        for (row, cells) in (0u64..).zip(self.0.chunks(COLUMNS as usize)) {
            let mut column = 0;
            for run in cells.chunk_by(|one, next| one == next) {
                let length = run.len() as u64;
                let (x, y, width) = (column * STEP, row * STEP, length * STEP - (STEP - CELL));
                column += length;
                let full = run[0];
                if full == 0 {
                    let _ = write!(
                        svg,
                        "<rect class=\"hole\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{CELL}\"/>"
                    );
                } else {
                    // Never so pale that it looks like a hole.
                    let opacity = 0.25 + 0.75 * f64::from(full) / 100.0;
                    let _ = write!(
                        svg,
                        "<rect class=\"data\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{CELL}\" \
                         opacity=\"{opacity:.2}\"/>"
                    );
                }
            }
        }
        svg + "</svg>"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usedmap::{MapBuilder, MapSource};
    use proptest::prelude::*;

    fn map(size: u64, runs: &[(u64, u64)]) -> UsedMap {
        let mut builder = MapBuilder::new(MapSource::Thin);
        runs.iter().for_each(|&(offset, length)| builder.push(offset, length).expect("in order"));
        builder.finish(size)
    }

    #[test]
    fn cells_are_as_full_as_the_volume() {
        let cells = COLUMNS * ROWS;
        let picture = Picture::of(&map(cells * 100, &[(0, 150), (300, 1)]));
        assert_eq!(picture.cells()[..5], [100, 50, 0, 1, 0]);
        assert!(Picture::of(&UsedMap::everything(1 << 60)).cells().iter().all(|full| *full == 100));
        assert_eq!(Picture::of(&UsedMap::everything(3)).cells(), [100; 3]);
        assert!(Picture::of(&map(0, &[])).cells().is_empty());
    }

    #[test]
    fn a_row_of_equal_cells_is_one_shape() {
        let svg = Picture::of(&UsedMap::everything(1 << 30)).svg("all");
        assert_eq!(svg.matches("<rect").count() as u64, ROWS);
        assert!(svg.ends_with("</svg>") && svg.contains("<title>all</title>"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_used_is_left_out(offset in 0u64..1 << 40, length in 1u64..1 << 40, more in 0u64..1 << 40) {
            let picture = Picture::of(&map(offset + length + more, &[(offset, length)]));
            prop_assert!(picture.cells().iter().any(|full| *full > 0));
            prop_assert!(picture.cells().iter().all(|full| *full <= 100));
        }
    }
}
