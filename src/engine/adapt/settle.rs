//! Where auto would settle, without a transfer: the very [`Adapt`] is shown the figures that a machine would have.

use crate::progress::{Figures, Role, Snapshot, Stage};

use super::{Adapt, EPOCH, LEAST_PARTS};

/// How a machine would fare at some level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Bytes of the source a second.
    pub rate: f64,
    /// The share of its time that the links are busy, or wait for who is behind them: 0 to 1.
    pub links: f64,
    /// The share of their time that the workers are busy: 0 to 1.
    pub workers: f64,
}

/// Enough for auto to climb all of its ladder, and for what it tries in vain to become seldom.
const EPOCHS: usize = 120;

/// The level at which auto is most of the time once it has had time to look around, never above `highest_level`.
pub fn settle(highest_level: i32, machine: impl Fn(Option<i32>) -> Load) -> Option<i32> {
    let levels = simulate(EPOCHS, highest_level, |_, level| machine(level)).split_off(EPOCHS / 2);
    let times = |level: &Option<i32>| levels.iter().filter(|other| *other == level).count();
    levels.iter().copied().max_by_key(times).flatten()
}

/// The level after each of so many epochs of a machine, which is told the number of the epoch and the level.
pub(super) fn simulate(
    epochs: usize,
    highest_level: i32,
    machine: impl Fn(usize, Option<i32>) -> Load,
) -> Vec<Option<i32>> {
    let mut now = Figures::new(Role::Send).snapshot();
    now.stages.iter_mut().for_each(|stage| stage.threads = 1);
    let mut adapt = Adapt::new(now.clone(), highest_level);
    let epoch = |number| {
        let load = machine(number, adapt.level());
        advance(&mut now, load);
        adapt.observe(now.clone());
        adapt.level()
    };
    (0..epochs).map(epoch).collect()
}

fn advance(now: &mut Snapshot, load: Load) {
    now.elapsed += EPOCH;
    now.read += (load.rate * EPOCH.as_secs_f64()) as u64;
    now.parts += LEAST_PARTS;
    for (stage, share) in [(Stage::Link, load.links), (Stage::Cpu, load.workers)] {
        now.stages[stage as usize].busy += EPOCH.mul_f64(share.clamp(0.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_settles_where_links_and_workers_are_as_fast() {
        // A level more makes a tenth less of the bytes, and takes the workers a fifth longer.
        let steps = |level: Option<i32>| f64::from(level.unwrap_or(-8) + 8);
        let machine = |level| {
            let (links, workers) = (1e8 * 1.1f64.powf(steps(level)), 2e9 / 1.2f64.powf(steps(level)));
            let rate = f64::min(links, workers);
            Load { rate, links: rate / links, workers: rate / workers }
        };
        let level = settle(9, machine);
        // At 2 the links are the slower ones by a little, at 3 the workers.
        assert!([Some(2), Some(3)].contains(&level), "{level:?}");
        assert_eq!(settle(-2, machine), Some(-2), "what the memory allows");
    }

    #[test]
    fn a_machine_that_waits_for_its_disk_stays_where_auto_begins() {
        let begin = settle(9, |_| Load { rate: 1e8, links: 0.2, workers: 0.2 });
        assert_eq!(begin, Some(-1));
    }
}
