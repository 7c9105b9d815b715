//! What is to be reached, as ratios of what one run of the bench has measured. They are told, met or missed; nothing
//! fails by them, as the figures are a machine's.
//!
//! "The fastest" is meant literally: no other row is faster, lvpipe's own with something switched off included.

use lvpipe::byte_size::ByteSize;

use super::record::{Cell, Comparison, Image, Point, Rate};
use super::ways::{Kind, Way};
use crate::bench::figures::{Row, seconds};

/// At 1 Gbit/s, at most this of mbuffer's time.
const OF_MBUFFER: f64 = 0.125;
/// At 1 Gbit/s, at most this of what the compressed bytes take at that rate. TCP and Ethernet take 1.06 themselves.
const OF_COMPRESSED: f64 = 1.1;
/// Without a limit, at most this of the best of other tools.
const OF_OTHERS: f64 = 0.7;
/// So far the times may be off a straight line, as a part of what it says.
const OFF_LINE: f64 = 0.1;
/// So much longer the largest volume may take than the smallest, with the same in it.
const LARGEST: f64 = 1.1;

/// All of them, as far as what they need was measured.
pub fn goals(comparison: &Comparison) -> Vec<Row> {
    let mut rows = Vec::new();
    for volume in &comparison.volumes {
        for link in &comparison.links {
            rows.extend(of_cells(comparison, volume.image, link.rate).into_iter().flatten());
        }
    }
    rows.extend(linear(&comparison.growth.by_used));
    rows.extend(flat(&comparison.growth.by_size));
    rows
}

fn of_cells(comparison: &Comparison, image: Image, rate: Rate) -> Option<Vec<Row>> {
    let ours = comparison.cell(Way::Defaults, image, rate)?;
    let fastest = |kinds: &[Kind]| {
        let cells = comparison.cells_of(image, rate).filter(|cell| kinds.contains(&cell.way.kind()));
        cells.min_by(|a, b| a.seconds().total_cmp(&b.seconds()))
    };
    let place = format!("{}, {}", image.name(), rate.name());
    let against = |what: &str, other: &Cell, limit: f64| {
        let shown = format!("{}: {}", other.way.markdown(), seconds_of(other.seconds()));
        Row::ratio(&format!("{place}: {what}"), &seconds_of(ours.seconds()), &shown, ratio(ours, other), limit)
    };
    let mut rows = Vec::new();
    rows.extend(fastest(&[Kind::Other, Kind::Step]).map(|other| against("the fastest of all rows", other, 1.0)));
    match rate {
        Rate::OneGigabit => {
            let mbuffer = comparison.cell(Way::Mbuffer, image, rate);
            rows.extend(mbuffer.map(|other| against("an eighth of mbuffer", other, OF_MBUFFER)));
            rows.extend(ours.ideal_seconds().map(|ideal| {
                let what = format!("{place}: its compressed bytes at that rate");
                let ratio = ours.seconds() / ideal;
                Row::ratio(&what, &seconds_of(ours.seconds()), &seconds_of(ideal), ratio, OF_COMPRESSED)
            }));
        }
        Rate::TenGigabits => {}
        Rate::Unlimited => {
            rows.extend(fastest(&[Kind::Other]).map(|other| against("the best of other tools", other, OF_OTHERS)));
        }
    }
    Some(rows)
}

fn ratio(ours: &Cell, other: &Cell) -> f64 {
    ours.seconds() / other.seconds().max(1e-9)
}

fn seconds_of(seconds_: f64) -> String {
    seconds(std::time::Duration::from_secs_f64(seconds_))
}

/// Least squares: what is added for each byte, and what there is without any.
pub fn line(points: &[Point]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.used as f64), mean(&Point::median));
    let square = mean(&|point| (point.used as f64 - x).powi(2));
    let product = mean(&|point| (point.used as f64 - x) * (point.median() - y));
    (points.len() > 2 && square > 0.0).then(|| (product / square, y - product / square * x))
}

fn linear(points: &[Point]) -> Option<Row> {
    let (slope, offset) = line(points)?;
    let off = |point: &Point| (point.median() / (slope * point.used as f64 + offset) - 1.0).abs();
    let most = points.iter().map(off).max_by(f64::total_cmp)?;
    let (first, last) = (points.first()?, points.last()?);
    let what = format!("{} to {} used: off a straight line", ByteSize(first.used), ByteSize(last.used));
    let figure = format!("{} to {}", seconds_of(first.median()), seconds_of(last.median()));
    let gibibyte = format!("{} a GiB and {}", seconds_of(slope * (1 << 30) as f64), seconds_of(offset.max(0.0)));
    Some(Row::ratio(&what, &figure, &gibibyte, most, OFF_LINE))
}

fn flat(points: &[Point]) -> Option<Row> {
    let (first, last) = (points.first()?, points.last()?);
    let what = format!("{} used: a volume of {}", ByteSize(last.used), ByteSize(last.size));
    let other = format!("of {}: {}", ByteSize(first.size), seconds_of(first.median()));
    let ratio = last.median() / first.median().max(1e-9);
    Some(Row::ratio(&what, &seconds_of(last.median()), &other, ratio, LARGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::comparison::sample::sample;

    fn told(comparison: &Comparison) -> Vec<String> {
        goals(comparison).iter().map(Row::markdown).collect()
    }

    #[test]
    fn each_goal_is_told_with_its_ratio() {
        let rows = told(&sample());
        assert_eq!(
            rows[..3],
            [
                "| ext4, 1 Gbit/s: the fastest of all rows | 1.20 s | the same over TLS: 1.10 s | 1.09 | ≤ 1, **missed** |\n",
                "| ext4, 1 Gbit/s: an eighth of mbuffer | 1.20 s | `mbuffer`: 12.0 s | 0.10 | ≤ 0.125 |\n",
                "| ext4, 1 Gbit/s: its compressed bytes at that rate | 1.20 s | 1.00 s | 1.20 | ≤ 1.1, **missed** |\n",
            ]
        );
        let unlimited = rows.iter().find(|row| row.starts_with("| ext4, no limit: the best")).expect("it is there");
        assert!(
            unlimited.contains("`qemu-img convert -W -m 8` from nbdkit: 0.800 s | 1.50 | ≤ 0.7, **missed**"),
            "{unlimited}"
        );
    }

    #[test]
    fn growth_is_judged_by_a_line_and_by_its_ends() {
        let point = |used, size, seconds| Point { used, size, seconds: vec![seconds] };
        let gib = 1u64 << 30;
        let straight = [point(gib, 8 * gib, 1.5), point(2 * gib, 8 * gib, 2.5), point(4 * gib, 8 * gib, 4.5)];
        let row = linear(&straight).expect("a line").markdown();
        assert!(row.ends_with("| 1.50 s to 4.50 s | 1.00 s a GiB and 0.500 s | 0.00 | ≤ 0.1 |\n"), "{row}");
        let bent = [point(gib, 8 * gib, 1.0), point(2 * gib, 8 * gib, 4.0), point(3 * gib, 8 * gib, 9.0)];
        assert!(linear(&bent).expect("a line").markdown().contains("**missed**"));
        assert!(linear(&straight[..2]).is_none(), "two points are on some line");
        let row = flat(&[point(gib, 8 * gib, 1.0), point(gib, 4096 * gib, 1.2)]).expect("ends").markdown();
        assert!(row.ends_with("| 1.20 s | of 8.00 GiB: 1.00 s | 1.20 | ≤ 1.1, **missed** |\n"), "{row}");
    }
}
