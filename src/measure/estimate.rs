//! What follows from the figures: how fast a transfer would be, and which of its stages holds the others up.
//!
//! The stages work at the same time, so a transfer is as fast as the slowest of them. Only the processors have more
//! than one thing to do: they encode, and they read and carry what is sent as well, all of which has been measured in
//! time of a processor for each byte. The level is what auto would settle at, by auto's own rule.

use serde::Serialize;

use super::figures::{Links, Machine, Transfer};
use crate::engine::{Load, settle};

/// What is known of the way from source to target.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Reading; without a source, data come as fast as they are wanted.
    pub source: Option<&'a Transfer>,
    /// The sender's processors.
    pub here: &'a Machine,
    /// What the link carries, if there is one that can be told.
    pub link: Option<Carried>,
    /// The receiver's processors.
    pub receiver: Receiver<'a>,
    /// Writing, if it was measured.
    pub target: Option<&'a Transfer>,
}

/// Who receives.
#[derive(Debug, Clone, Copy)]
pub enum Receiver<'a> {
    /// Another machine, of which nothing is known.
    Unknown,
    /// The sender's own machine.
    Here,
    /// Another machine.
    There(&'a Machine),
}

/// What a link carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Carried {
    /// Bytes a second.
    pub rate: f64,
    /// Seconds of one processor for each byte, on either side.
    pub processor_seconds_a_byte: f64,
}

impl From<&Links> for Carried {
    fn from(links: &Links) -> Self {
        Carried { rate: links.rate, processor_seconds_a_byte: links.processor_seconds_a_byte }
    }
}

/// How long it would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The link that it is for, in words: `measured`, `none`, or an assumed rate.
    pub link: String,
    /// Used bytes, which all rates are in.
    pub used: u64,
    /// What of them would go over the link.
    pub wire: u64,
    /// What is left of each used byte.
    pub remains: f64,
    /// Where auto would settle.
    pub level: Option<i32>,
    /// What each stage could do at that level, in the order of the data.
    pub stages: Vec<Stage>,
    /// The slowest stage.
    pub bottleneck: StageName,
    /// Its rate, which is the transfer's: used bytes a second.
    pub rate: f64,
    /// How long all used bytes take.
    pub seconds: f64,
}

/// A stage by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stage {
    /// Which one.
    pub name: StageName,
    /// Used bytes a second.
    pub rate: f64,
}

/// The stages of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageName {
    /// Reading.
    Source,
    /// The sender's processors.
    Processors,
    /// The links, all together.
    Link,
    /// The receiver's processors, where that is another machine.
    FarProcessors,
    /// Writing.
    Target,
}

/// Estimates a transfer of so many used bytes; `link` says in words which link it is for.
pub fn estimate(way: &Way<'_>, used: u64, link: impl Into<String>) -> Estimate {
    let level = settle(way.here.highest_level, |level| way.load(level));
    let stages = way.stages(level);
    let Stage { name, rate } = slowest(&stages);
    Estimate {
        link: link.into(),
        used,
        wire: (used as f64 * way.remains(level)) as u64,
        remains: way.remains(level),
        level,
        bottleneck: name,
        rate,
        seconds: used as f64 / rate,
        stages,
    }
}

/// There are always the processors. Of two that are as slow the first counts.
fn slowest(stages: &[Stage]) -> Stage {
    let endless = Stage { name: StageName::Processors, rate: f64::MAX };
    stages.iter().copied().fold(endless, |least, stage| if stage.rate < least.rate { stage } else { least })
}

impl Way<'_> {
    fn remains(&self, level: Option<i32>) -> f64 {
        self.here.at(level).map_or(1.0, |at| at.remains)
    }

    /// What each stage could do at a level.
    fn stages(&self, level: Option<i32>) -> Vec<Stage> {
        let remains = self.remains(level);
        let link_work = self.link.map_or(0.0, |link| link.processor_seconds_a_byte * remains);
        let target_work = self.target.map_or(0.0, |target| target.processor_seconds_a_byte);
        let source_work = self.source.map_or(0.0, |source| source.processor_seconds_a_byte);
        let mut stages = Vec::new();
        let mut push = |name, rate: f64| {
            if rate.is_finite() && rate > 0.0 {
                stages.push(Stage { name, rate });
            }
        };
        if let Some(source) = self.source {
            push(StageName::Source, source.rate);
        }
        let own = seconds(self.here, level, |at| at.encode) + (source_work + link_work) / workers(self.here);
        let receiving =
            |machine| seconds(machine, level, |at| at.decode) + (link_work + target_work) / workers(machine);
        match self.receiver {
            Receiver::Here => push(StageName::Processors, 1.0 / (own + receiving(self.here))),
            Receiver::Unknown | Receiver::There(_) => push(StageName::Processors, 1.0 / own),
        }
        if let Some(link) = self.link {
            // What is nothing but zeros goes over any link in no time.
            push(StageName::Link, link.rate / remains);
        }
        if let Receiver::There(machine) = self.receiver {
            push(StageName::FarProcessors, 1.0 / receiving(machine));
        }
        if let Some(target) = self.target {
            push(StageName::Target, target.rate);
        }
        stages
    }

    /// What auto would see: its links are busy also while they wait for who is behind them.
    fn load(&self, level: Option<i32>) -> Load {
        let stages = self.stages(level);
        let rate = slowest(&stages).rate;
        let share = |is_of_it: fn(StageName) -> bool| {
            let own: Vec<Stage> = stages.iter().copied().filter(|stage| is_of_it(stage.name)).collect();
            rate / slowest(&own).rate
        };
        let behind = |name| matches!(name, StageName::Link | StageName::FarProcessors | StageName::Target);
        Load { rate, links: share(behind), workers: share(|name| name == StageName::Processors) }
    }
}

/// Seconds of all workers for each used byte.
fn seconds(machine: &Machine, level: Option<i32>, rate: impl Fn(&super::figures::Level) -> f64) -> f64 {
    machine.at(level).map_or(0.0, |at| 1.0 / rate(at).max(1.0))
}

fn workers(machine: &Machine) -> f64 {
    f64::from(machine.workers.max(1))
}

#[cfg(test)]
mod tests {
    use super::super::figures::Level;
    use super::*;

    /// Compresses to half at every level but none, each level up a quarter slower.
    fn machine(fastest: f64) -> Machine {
        let levels = crate::engine::LADDER.into_iter().zip(0..);
        Machine {
            lvpipe: "1".into(),
            workers: 4,
            digest: "sha256".into(),
            sample: 1 << 20,
            levels: levels
                .map(|(level, step)| Level {
                    level,
                    remains: if level.is_none() { 1.0 } else { 0.5 / (1.0 + f64::from(step) / 50.0) },
                    encode: fastest / 1.25f64.powi(step),
                    decode: fastest * 2.0,
                })
                .collect(),
            digests: Vec::new(),
            highest_level: 9,
        }
    }

    fn transfer(rate: f64) -> Transfer {
        Transfer { bytes: 1, rate, processor_seconds_a_byte: 0.0 }
    }

    fn carried(rate: f64) -> Option<Carried> {
        Some(Carried { rate, processor_seconds_a_byte: 0.0 })
    }

    #[test]
    fn the_slowest_stage_is_the_bottleneck_and_gives_the_time() {
        let here = machine(4e9);
        let (slow, fast) = (transfer(1e8), transfer(5e9));
        let way = |source, link, target| Way {
            source: Some(source),
            here: &here,
            link,
            receiver: Receiver::There(&here),
            target: Some(target),
        };
        let rows = [
            (way(&slow, carried(1e9), &fast), StageName::Source, 1e8),
            (way(&fast, carried(1e9), &slow), StageName::Target, 1e8),
        ];
        for (way, bottleneck, rate) in rows {
            let estimate = estimate(&way, 10_000_000_000, "measured");
            assert_eq!((estimate.bottleneck, estimate.rate, estimate.seconds), (bottleneck, rate, 100.0));
            assert_eq!(estimate.stages.len(), 5);
        }
        let slow_link = estimate(&way(&fast, carried(1e7), &fast), 10_000_000_000, "measured");
        assert_eq!((slow_link.bottleneck, slow_link.level), (StageName::Link, Some(9)));
        assert_eq!(slow_link.wire, (1e10 * here.at(Some(9)).expect("measured").remains) as u64);
        assert!((slow_link.seconds - slow_link.wire as f64 / 1e7).abs() < 1.0);
    }

    #[test]
    fn a_fast_link_leaves_the_processors_to_do_less() {
        let here = machine(4e9);
        let way = |link| Way { source: None, here: &here, link, receiver: Receiver::Unknown, target: None };
        let estimate_over = |rate| estimate(&way(carried(rate)), 1 << 40, "assumed");
        let (slow, fast) = (estimate_over(1e8), estimate_over(1e10));
        assert!(slow.level > fast.level, "{:?} {:?}", slow.level, fast.level);
        assert_eq!((slow.bottleneck, fast.bottleneck), (StageName::Link, StageName::Processors));
        let none = estimate(&way(None), 0, "none");
        assert_eq!((none.seconds, none.wire, none.bottleneck), (0.0, 0, StageName::Processors));
    }

    #[test]
    fn who_does_both_sides_has_both_to_do() {
        let here = machine(4e9);
        let target = transfer(1e12);
        let way = |receiver| Way { source: None, here: &here, link: None, receiver, target: Some(&target) };
        let (two, one) = (way(Receiver::There(&here)), way(Receiver::Here));
        assert!((two.stages(None)[0].rate - 4e9).abs() < 1.0);
        assert!((one.stages(None)[0].rate - 1.0 / (1.0 / 4e9 + 1.0 / 8e9)).abs() < 1.0);
        // Encryption costs what it costs, on both sides.
        let costly = Some(Carried { rate: 1e12, processor_seconds_a_byte: 1e-9 });
        let costly = Way { link: costly, ..two };
        let expected = 1.0 / (1.0 / 4e9 + 1e-9 / 4.0);
        assert!((costly.stages(None)[0].rate - expected).abs() < 1.0);
        assert_eq!(costly.stages(None)[2].name, StageName::FarProcessors);
    }

    #[test]
    fn zeros_need_no_link() {
        let mut here = machine(4e9);
        here.levels.iter_mut().for_each(|at| at.remains = 0.0);
        let way = Way { source: None, here: &here, link: carried(1.0), receiver: Receiver::Unknown, target: None };
        let estimate = estimate(&way, 1 << 30, "measured");
        assert_eq!((estimate.bottleneck, estimate.wire), (StageName::Processors, 0));
        assert!(estimate.seconds < 1.0);
    }
}
