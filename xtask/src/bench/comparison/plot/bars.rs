//! The bars of one image: a row a way, a panel a rate. Each panel has a scale of its own, from zero to its longest.

use lvpipe::byte_size::ByteSize;

use super::svg::{Anchor, Svg};
use super::{MARGIN, WIDTH, label};
use crate::bench::comparison::record::{Comparison, Rate, Volume};
use crate::bench::comparison::ways::{Kind, Way};

/// For the names of the ways.
const NAMES: f64 = 172.0;
/// Between panels.
const GAP: f64 = 16.0;
/// For the figure behind the longest bar.
const FIGURE: f64 = 54.0;
/// From row to row.
const ROW: f64 = 19.0;
/// Between other tools and lvpipe.
const PAUSE: f64 = 7.0;

/// Draws it below `y`; returns where it ends.
pub fn block(svg: &mut Svg, y: f64, comparison: &Comparison, volume: &Volume) -> f64 {
    let heading =
        format!("{} image of {}, {} of it used", volume.image.name(), ByteSize(volume.size), ByteSize(volume.used));
    svg.text((MARGIN, y + 12.0), Anchor::Start, "heading", &heading);
    let top = y + 44.0;
    for (index, way) in Way::ALL.into_iter().enumerate() {
        let class = if way.kind() == Kind::Defaults { "defaults-label" } else { "label" };
        svg.text((MARGIN + NAMES - 10.0, row(top, index) + 12.0), Anchor::End, class, way.name());
    }
    let columns = Rate::ALL.len() as f64;
    let width = (WIDTH - 2.0 * MARGIN - NAMES - GAP * (columns - 1.0)) / columns;
    for (index, link) in comparison.links.iter().enumerate() {
        panel(svg, (MARGIN + NAMES + index as f64 * (width + GAP), top), width, comparison, (volume, link.rate));
    }
    row(top, Way::ALL.len())
}

/// Where a row begins.
fn row(top: f64, index: usize) -> f64 {
    let others = Way::ALL.iter().filter(|way| way.kind() == Kind::Other).count();
    top + index as f64 * ROW + if index >= others { PAUSE } else { 0.0 }
}

fn panel(svg: &mut Svg, (x, top): (f64, f64), width: f64, comparison: &Comparison, what: (&Volume, Rate)) {
    let (volume, rate) = what;
    svg.text((x, top - 8.0), Anchor::Start, "panel", rate.name());
    let longest = comparison.cells_of(volume.image, rate).map(|cell| cell.seconds()).fold(1e-9, f64::max);
    for (index, way) in Way::ALL.into_iter().enumerate() {
        let Some(cell) = comparison.cell(way, volume.image, rate) else { continue };
        let (class, text) = match way.kind() {
            Kind::Other => ("other", "tick"),
            Kind::Step => ("step", "tick"),
            Kind::Defaults => ("defaults", "defaults-label"),
        };
        let length = cell.seconds() / longest * (width - FIGURE);
        let y = row(top, index);
        svg.rectangle((x, y + 1.0), (length.max(1.0), ROW - 5.0), class);
        svg.text((x + length + 5.0, y + 12.0), Anchor::Start, text, &label(cell.seconds()));
    }
    svg.line(&[(x, top - 2.0), (x, row(top, Way::ALL.len()))], "axis");
}
