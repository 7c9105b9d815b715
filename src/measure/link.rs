//! The way to another machine: a transfer to nowhere, over one link, then two, four, eight.
//!
//! It is a transfer like any other, as far as the links are concerned: the same connections, encryption, frames and
//! answers. What is sent is generated, not compressed and not digested; what counts is what the far side has answered.
//! When enough has been seen, the transfer is given up in the middle, which the far side takes as the end that it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::figures::Links;
use super::generated::Generated;
use crate::byte_size::ByteSize;
use crate::engine::send::{Input, Sending};
use crate::engine::spread::{LinkCount, Terms, send_over};
use crate::engine::trial::processor_time;
use crate::engine::{Compress, HeldAtTarget, Workshop};
use crate::error::{Error, Result, Status};
use crate::link::Dial;
use crate::progress::{Figures, Role};
use crate::stop::Stop;
use crate::usedmap::UsedMap;
use crate::wire::{DigestKind, Lineage, Prelude};

/// Nobody's link carries so much while it is being measured.
const ENDLESS: u64 = 1 << 60;
/// How often the figures are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long the first link beside ssh's own may take: its processors have much to do meanwhile.
const FIRST_LINK: Duration = Duration::from_secs(10);
/// How long to try for a link where there is none.
const RETRY: Duration = Duration::from_secs(2);
/// Fewer parts than this say nothing of a rate.
const LEAST_PARTS: u64 = 4;
/// Of each number's time so much is left to the links to get going.
const GET_GOING: f64 = 0.4;

/// How the links are measured.
pub struct Linking {
    /// How many: just so many, or one, two, four, up to this. 0 is ssh's own pipe.
    pub count: LinkCount,
    /// How long in all.
    pub time: Duration,
    /// Buffers; the parts are small ones, so that a slow link has something to show.
    pub workshop: Workshop,
    /// The transfer's id, random.
    pub transfer: [u8; 16],
    /// How long nothing may come over a link.
    pub stall: Duration,
    /// What ends the run early.
    pub stop: Stop,
}

/// Measures the links to a receiver that swallows everything; what each number of them carries, of one at least.
///
/// # Errors
/// Why there is no receiver; that next to nothing came through in that time; what ended the run.
pub fn measure(way: Arc<dyn Dial>, linking: Linking) -> Result<Vec<Links>> {
    let Linking { count, time, workshop, transfer, stall, stop } = linking;
    let numbers = numbers(count);
    let each = time / u32::try_from(numbers.len()).unwrap_or(u32::MAX).max(1);
    let most = numbers.last().copied().unwrap_or(0);
    let figures = Figures::new(Role::Send);
    let run = stop.child();
    let prelude = Prelude {
        transfer,
        link: 0,
        links: most + 1,
        part_size: workshop.part_size,
        volume_size: Some(ENDLESS),
        used: Some(ENDLESS),
        digest: DigestKind::None,
        answers: true,
        resumes: false,
        lineage: Lineage::default(),
    };
    let sending = Sending {
        prelude,
        workshop,
        compress: Compress::None,
        source_may_change: true,
        held: HeldAtTarget::default(),
        rate: None,
        figures: figures.clone(),
        stop: run.clone(),
    };
    let terms = Terms {
        links: if numbers.len() > 1 { LinkCount::Doubling { most, each } } else { LinkCount::Fixed(most) },
        retry_for: RETRY,
        stall,
        rate: None,
        // That all goes through ssh is among the figures.
        notice: Arc::new(|_| {}),
    };
    let map = Arc::new(UsedMap::everything(ENDLESS));
    let input = Input::Volume { source: Arc::new(Generated::new(ENDLESS)), map, discarded: None };
    let over = AtomicBool::new(false);
    let (seen, sent) = thread::scope(|scope| {
        let watch = Watch { figures: &figures, over: &over, most, each, time };
        let run = run.clone();
        let watching = thread::Builder::new().name("watch".into()).spawn_scoped(scope, move || {
            let seen = watch.look();
            if seen.is_some() {
                run.fail(Error::new(Status::Io, "measured", "link", ""));
            }
            seen
        });
        let sent = match &watching {
            Ok(_) => send_over(input, std::slice::from_ref(&way), sending, &terms).map(drop),
            Err(e) => Err(Error::io("cannot start thread", "watch", e)),
        };
        over.store(true, Ordering::SeqCst);
        // A panic in it has been reported on stderr.
        let seen = watching.ok().and_then(|watching| watching.join().ok()).flatten();
        (seen, sent)
    });
    stop.check()?;
    match seen {
        Some(points) => match rates(&points, &numbers, LEAST_PARTS * workshop.part_size.bytes() as u64) {
            none if none.is_empty() => Err(too_slow(&points, &way.name())),
            rates => Ok(rates),
        },
        None => {
            let why = "the far side has ended before it was measured";
            Err(sent.err().unwrap_or_else(|| Error::new(Status::Io, "cannot measure link", way.name(), why)))
        }
    }
}

fn too_slow(points: &[Point], name: &str) -> Error {
    let ends = points.first().zip(points.last());
    let (bytes, time) = ends.map_or((0, Duration::ZERO), |(first, last)| {
        (last.bytes.saturating_sub(first.bytes), last.time.saturating_sub(first.time))
    });
    let why = format!("no more than {} came through in {:.1} s", ByteSize(bytes), time.as_secs_f64());
    Error::new(Status::Io, "cannot measure link", name, why).way_out("--time 60 gives a slow link more time")
}

/// The figures at a moment.
#[derive(Debug, Clone, Copy)]
struct Point {
    time: Duration,
    /// Without the one that stands by.
    links: u16,
    bytes: u64,
    processors: Duration,
}

/// Looks at the figures while the transfer runs.
struct Watch<'a> {
    figures: &'a Figures,
    /// The transfer has ended.
    over: &'a AtomicBool,
    /// 0 where no link is to come beside ssh's own.
    most: u16,
    each: Duration,
    time: Duration,
}

impl Watch<'_> {
    /// All points, once enough has been seen; `None` where the transfer ends before.
    fn look(&self) -> Option<Vec<Point>> {
        let (mut begun, mut first_link, mut all_up) = (None, None, None);
        let mut points: Vec<Point> = Vec::new();
        while !self.over.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
            let now = self.figures.snapshot();
            if now.links == 0 {
                continue;
            }
            let begun = *begun.get_or_insert_with(Instant::now);
            let links = u16::try_from(now.links - 1).unwrap_or(u16::MAX);
            if links > 0 {
                first_link.get_or_insert_with(Instant::now);
            }
            if links >= self.most {
                all_up.get_or_insert_with(Instant::now);
            }
            points.push(Point { time: now.elapsed, links, bytes: now.done, processors: processor_time() });
            let is_enough = match (first_link, all_up) {
                (_, Some(all_up)) => all_up.elapsed() >= self.each,
                // Some cannot be made.
                (Some(first), None) => first.elapsed() >= self.time * 2 + FIRST_LINK,
                (None, None) => begun.elapsed() >= self.time.max(FIRST_LINK),
            };
            if is_enough {
                return Some(points);
            }
        }
        None
    }
}

/// The numbers of links that are measured, from the least on.
fn numbers(count: LinkCount) -> Vec<u16> {
    match count {
        LinkCount::Fixed(count) => vec![count],
        LinkCount::UpTo(most) | LinkCount::Doubling { most, .. } => {
            (0..=most.max(1).ilog2()).map(|doublings| 1 << doublings).collect()
        }
    }
}

/// What each number of links has carried, if that was so many bytes. Where it was too little for each of them, what all
/// together have carried in all of the time, as the largest number that there was; ssh's own pipe where there was
/// nothing else.
fn rates(points: &[Point], numbers: &[u16], least: u64) -> Vec<Links> {
    let of = |links: u16| -> Vec<&Point> { points.iter().filter(|point| point.links == links).collect() };
    let each: Vec<Links> = numbers.iter().filter_map(|links| rate(&of(*links), *links, least)).collect();
    if !each.is_empty() {
        return each;
    }
    let together: Vec<&Point> = points.iter().filter(|point| point.links > 0).collect();
    let most = together.iter().map(|point| point.links).max();
    let all = most.and_then(|most| rate(&together, most, least));
    all.or_else(|| rate(&of(0), 0, least)).into_iter().collect()
}

fn rate(of_it: &[&Point], links: u16, least: u64) -> Option<Links> {
    let (first, last) = (of_it.first()?, of_it.last()?);
    let get_going = first.time + last.time.saturating_sub(first.time).mul_f64(GET_GOING);
    let from = of_it.iter().find(|point| point.time >= get_going)?;
    let (bytes, time) = (last.bytes.saturating_sub(from.bytes), last.time.saturating_sub(from.time));
    let processors = last.processors.saturating_sub(from.processors);
    (bytes >= least.max(1) && !time.is_zero()).then(|| Links {
        links,
        rate: bytes as f64 / time.as_secs_f64(),
        processor_seconds_a_byte: processors.as_secs_f64() / bytes as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A point each 10 ms; `rate(links)` bytes a second, but for nothing in the first fifth of each number's second.
    fn points(numbers: &[u16], rate: impl Fn(u16) -> u64) -> Vec<Point> {
        let mut bytes = 0;
        let mut points = Vec::new();
        for (second, links) in (0u64..).zip(numbers) {
            for step in 0..100 {
                bytes += if step < 20 { 0 } else { rate(*links) / 100 };
                let time = Duration::from_millis(second * 1000 + step * 10);
                points.push(Point { time, links: *links, bytes, processors: time / 2 });
            }
        }
        points
    }

    #[test]
    fn each_number_of_links_has_its_own_rate() {
        let found = rates(
            &points(&[0, 1, 2, 4], |links| 1_000_000 * u64::from(links.min(3))),
            &numbers(LinkCount::UpTo(4)),
            100_000,
        );
        let shown: Vec<_> = found.iter().map(|at| (at.links, (at.rate / 1e5).round() as u64)).collect();
        assert_eq!(shown, [(1, 10), (2, 20), (4, 30)]);
        assert!((found[0].processor_seconds_a_byte - 0.5e-6).abs() < 1e-8);
    }

    #[test]
    fn ssh_alone_counts_where_there_is_nothing_else() {
        let found = rates(&points(&[0, 0], |_| 5_000_000), &[1, 2], 100_000);
        assert_eq!(found.iter().map(|at| at.links).collect::<Vec<_>>(), [0]);
        assert!(rates(&points(&[1], |_| 0), &[1], 0).is_empty(), "nothing came through");
        assert!(rates(&[], &[0], 0).is_empty());
    }

    #[test]
    fn a_slow_link_is_measured_over_all_of_the_time_or_not_at_all() {
        // 0.6 MB in each number's window.
        let slow = points(&[1, 2, 4], |_| 1_000_000);
        let found = rates(&slow, &[1, 2, 4], 1_000_000);
        assert_eq!(found.iter().map(|at| at.links).collect::<Vec<_>>(), [4]);
        assert!((0.8e6..=1e6).contains(&found[0].rate), "{found:?}");
        assert!(rates(&slow, &[1, 2, 4], 4_000_000).is_empty());
        let error = too_slow(&slow, "host");
        assert!(error.to_string().contains("no more than 2.29 MiB came through in 3.0 s"), "{error}");
        assert!(error.to_string().contains("--time 60"), "{error}");
    }
}
