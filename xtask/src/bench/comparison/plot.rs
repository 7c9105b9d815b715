//! The comparison as a plot: a block an image with a panel a rate, and below how the time grows.
//!
//! It brings its own paper, so that it can be read wherever it is shown; in dark where the reader prefers that. Every
//! bar and point has its figure beside it. Colours are Okabe and Ito's, which most colour-blind people tell apart, and
//! the labels say the same.

mod bars;
mod curves;
mod svg;

use std::time::Duration;

use super::record::Comparison;
use crate::bench::figures::seconds;
use svg::{Anchor, Svg};

/// Of the whole plot.
const WIDTH: f64 = 960.0;
/// Around it.
const MARGIN: f64 = 20.0;

/// The whole file.
pub fn plot(comparison: &Comparison) -> String {
    // The height is known when all is drawn, and the paper lies below.
    let mut content = Svg::default();
    let mut y = legend(&mut content, MARGIN);
    for volume in &comparison.volumes {
        y = bars::block(&mut content, y + 24.0, comparison, volume);
    }
    y = curves::block(&mut content, y + 24.0, &comparison.growth);
    let size = (WIDTH, y + MARGIN);
    let mut svg = Svg::default();
    svg.rectangle((0.0, 0.0), size, "paper");
    svg.append(content);
    svg.finish(size, "How long it takes to move a volume from host to host", include_str!("plot/style.css"))
}

/// What the colours mean; returns where it ends.
fn legend(svg: &mut Svg, y: f64) -> f64 {
    svg.text(
        (MARGIN, y + 14.0),
        Anchor::Start,
        "heading",
        "Moving a volume from host to host: seconds, less is better",
    );
    let entries = [("other", "other tools"), ("step", "lvpipe, step by step"), ("defaults", "lvpipe's defaults")];
    for (index, (class, text)) in entries.into_iter().enumerate() {
        let x = MARGIN + index as f64 * 160.0;
        svg.rectangle((x, y + 27.0), (12.0, 12.0), class);
        svg.text((x + 18.0, y + 37.5), Anchor::Start, "note", text);
    }
    y + 40.0
}

/// As short as it fits beside a bar.
fn label(time: f64) -> String {
    seconds(Duration::from_secs_f64(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::comparison::sample::sample;
    use crate::bench::comparison::ways::Way;

    #[test]
    fn every_figure_has_its_bar_or_point_with_a_label() {
        let comparison = sample();
        let file = plot(&comparison);
        let cells = comparison.cells.len();
        let of = |class: &str| file.matches(&format!("class=\"{class}\"/>")).count();
        // One of each in the legend.
        assert_eq!(of("other") + of("step") + file.matches("<rect").count(), cells - 6 + 2 + cells + 3 + 1);
        assert_eq!(file.matches("<circle").count(), 8);
        assert_eq!(file.matches(">12.0 s</text>").count(), 6, "mbuffer, twice at three rates");
        for way in Way::ALL {
            let name = way.name();
            assert_eq!(file.matches(&format!(">{name}</text>")).count(), 2, "{name}");
        }
    }

    #[test]
    fn bars_are_as_long_as_their_times_and_stay_inside() {
        let file = plot(&sample());
        let width = |line: &str| -> Option<f64> {
            let (_, rest) = line.split_once("width=\"")?;
            rest.split_once('"')?.0.parse().ok()
        };
        let others: Vec<f64> =
            file.lines().filter(|line| line.ends_with("class=\"other\"/>")).filter_map(width).collect();
        // After the legend's: mbuffer with 12 s, zstd with 5 s.
        assert!((others[2] / others[1] - 5.0 / 12.0).abs() < 0.01, "{others:?}");
        for line in file.lines().filter(|line| line.starts_with("<rect") && !line.contains("paper")) {
            let x: f64 = line.split('"').nth(1).and_then(|x| x.parse().ok()).expect("x");
            assert!(x + width(line).expect("a width") <= WIDTH - MARGIN, "{line}");
        }
    }

    #[test]
    fn a_part_of_it_can_be_drawn() {
        let mut part = sample();
        part.links.truncate(1);
        part.volumes.truncate(1);
        part.growth = Default::default();
        let file = plot(&part);
        assert!(!file.contains("10 Gbit/s") && !file.contains("<circle") && !file.contains("NaN"), "{file}");
    }
}
