//! How the time grows: by what a volume holds, with the straight line that fits best, and by its size, which is drawn
//! by its logarithm. Both have the same scale of time.

use lvpipe::byte_size::ByteSize;

use super::svg::{Anchor, Svg};
use super::{MARGIN, WIDTH, label};
use crate::bench::comparison::goals::line;
use crate::bench::comparison::record::{Growth, Point};

/// Of the area for points.
const HEIGHT: f64 = 130.0;
/// Between the curves.
const GAP: f64 = 48.0;

/// Draws both below `y`; returns where they end. Draws nothing where nothing was measured.
pub fn block(svg: &mut Svg, y: f64, growth: &Growth) -> f64 {
    let all = || growth.by_used.iter().chain(&growth.by_size);
    if growth.by_used.is_empty() || growth.by_size.is_empty() {
        return y - 24.0;
    }
    svg.text((MARGIN, y + 12.0), Anchor::Start, "heading", "How lvpipe's time grows, no limit on the link");
    let longest = all().map(Point::median).fold(1e-9, f64::max);
    let width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    let left = Area { x: MARGIN, top: y + 58.0, width, longest };
    let right = Area { x: MARGIN + width + GAP, ..left };

    let (size, held) = (ByteSize(growth.by_used[0].size), ByteSize(growth.by_size[0].used));
    let most = growth.by_used.iter().map(|point| point.used).max().unwrap_or(1) as f64;
    let by_used = |bytes: f64| bytes / most * 0.94;
    left.frame(svg, &format!("by used bytes, in a volume of {size}; dashed: a straight line"));
    if let Some((slope, offset)) = line(&growth.by_used) {
        let ends = [0.0, most].map(|bytes| left.at(by_used(bytes), (slope * bytes + offset).max(0.0)));
        svg.line(&ends, "fit");
    }
    left.points(svg, &growth.by_used, |point| by_used(point.used as f64), |point| ByteSize(point.used).to_string());

    let log = |point: &Point| (point.size as f64).log2();
    let (first, last) =
        growth.by_size.iter().map(log).fold((f64::MAX, 0.0), |(a, b): (f64, f64), x| (a.min(x), b.max(x)));
    let by_size = |point: &Point| 0.06 + 0.86 * (log(point) - first) / (last - first).max(1e-9);
    right.frame(svg, &format!("by the size of the volume, {held} of it used"));
    let points: Vec<_> = growth.by_size.iter().map(|point| right.at(by_size(point), point.median())).collect();
    svg.line(&points, "curve");
    right.points(svg, &growth.by_size, by_size, |point| ByteSize(point.size).to_string());
    left.top + HEIGHT + 20.0
}

/// Where one curve is drawn.
#[derive(Clone, Copy)]
struct Area {
    x: f64,
    top: f64,
    width: f64,
    /// Time at the top, in seconds.
    longest: f64,
}

impl Area {
    /// A point: a part of the width, and seconds.
    fn at(&self, part: f64, seconds: f64) -> (f64, f64) {
        (self.x + part * self.width, self.top + HEIGHT * (1.0 - seconds / self.longest))
    }

    fn frame(&self, svg: &mut Svg, heading: &str) {
        svg.text((self.x, self.top - 24.0), Anchor::Start, "panel", heading);
        let corners = [(0.0, self.longest), (0.0, 0.0), (1.0, 0.0)].map(|(part, seconds)| self.at(part, seconds));
        svg.line(&corners, "axis");
    }

    fn points(
        &self,
        svg: &mut Svg,
        points: &[Point],
        part: impl Fn(&Point) -> f64,
        tick: impl Fn(&Point) -> String,
    ) {
        for point in points {
            let (x, y) = self.at(part(point), point.median());
            svg.dot((x, y), 4.0, "defaults");
            svg.text((x, y - 9.0), Anchor::Middle, "label", &label(point.median()));
            svg.text((x, self.top + HEIGHT + 17.0), Anchor::Middle, "tick", &tick(point));
        }
    }
}
