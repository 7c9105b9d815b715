//! Figures for tests, made up, with one run of each way that comes after another.

use super::record::{Cell, Comparison, Growth, Image, Link, Point, Rate, Run, Side, Volume};
use super::ways::Way;

/// All ways with both images at all rates.
pub fn sample() -> Comparison {
    let seconds = |way: Way| match way {
        Way::Mbuffer => 12.0,
        Way::QemuImg => 0.8,
        Way::SendTls => 1.1,
        Way::Defaults => 1.2,
        _ => 5.0,
    };
    let run = |way: Way, rate: Rate| {
        let slower = if way == Way::QemuImg && rate == Rate::OneGigabit { 10.0 } else { 1.0 };
        Run {
            seconds: seconds(way) * slower,
            sender: Side { processor_seconds: 1.5, peak_bytes: 3 << 20 },
            receiver: Side { processor_seconds: 0.5, peak_bytes: 5 << 20 },
            link_bytes: 130_000_000,
            wire_bytes: matches!(way, Way::SendPlain | Way::SendTls | Way::Defaults).then_some(125_000_000),
        }
    };
    let mut cells = Vec::new();
    for image in Image::ALL {
        for rate in Rate::ALL {
            cells.extend(Way::ALL.map(|way| Cell { way, image, rate, runs: vec![run(way, rate); 2] }));
        }
    }
    let point =
        |used: u64, size: u64, seconds: f64| Point { used: used << 28, size: size << 30, seconds: vec![seconds] };
    Comparison {
        machine: "No machine at all.".into(),
        volumes: Image::ALL.map(|image| Volume { image, size: 8 << 30, used: 2 << 30 }).to_vec(),
        links: Rate::ALL.map(|rate| Link { rate, iperf3: 120e6 }).to_vec(),
        cells,
        growth: Growth {
            by_used: vec![point(2, 8, 1.0), point(4, 8, 2.0), point(6, 8, 3.0), point(8, 8, 4.0)],
            by_size: vec![point(2, 8, 1.0), point(2, 64, 1.0), point(2, 512, 1.01), point(2, 4096, 1.05)],
        },
    }
}
