//! How many links: as many as the user says, or as many as help.
//!
//! One connection is often held back by its own window, by a loss that halves it, or by one processor's encryption;
//! several are not. Whether one more helps is measured: while the links are what the others wait for, one is added,
//! and stays if the rate has grown by a tenth when it has had time to get going. If not it is taken back, and the
//! next try waits, twice as long each time.

use std::time::Duration;

/// How many links a transfer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkCount {
    /// So many; none besides the one that stands by where there is one, as an ssh's pipe.
    Fixed(u16),
    /// As many as help, up to this.
    UpTo(u16),
    /// One, and after each `each` twice as many, up to `most`: to see what each number of them carries.
    Doubling {
        /// A power of two.
        most: u16,
        /// How long each number stays, from when all of them are up.
        each: Duration,
    },
}

impl LinkCount {
    /// The most that there will be.
    pub fn most(self) -> u16 {
        match self {
            LinkCount::Fixed(count) | LinkCount::UpTo(count) | LinkCount::Doubling { most: count, .. } => count,
        }
    }

    /// How many to begin with.
    pub(super) fn first(self) -> u16 {
        match self {
            LinkCount::Fixed(count) => count,
            LinkCount::UpTo(most) => most.clamp(1, 2),
            LinkCount::Doubling { .. } => 1,
        }
    }

    /// How many there are to be from now on, when `links` have been up for so long, whatever they carry; `None` where
    /// that is as many as there are, or a matter of what they carry.
    pub(super) fn due(self, links: u16, up_for: Duration) -> Option<u16> {
        match self {
            LinkCount::Doubling { most, each } if up_for >= each && links < most => Some((links * 2).min(most)),
            LinkCount::Doubling { .. } | LinkCount::Fixed(_) | LinkCount::UpTo(_) => None,
        }
    }
}

/// Long enough for a connection's slow start over some hundred milliseconds of latency.
pub(super) const EPOCH: Duration = Duration::from_millis(1500);
/// The links are what holds the others up.
const BUSY: f64 = 0.7;
/// More than noise.
const GAIN: f64 = 1.1;
const LONGEST_REST: u32 = 64;

/// What to do about the number of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    Add,
    Stay,
    TakeBack,
}

/// Decides from epoch to epoch.
pub(super) struct Growth {
    most: u16,
    /// The rate before the last link was added, while it is on trial.
    trial: Option<f64>,
    rest: u32,
    penalty: u32,
}

impl Growth {
    pub(super) fn new(count: LinkCount) -> Self {
        let most = match count {
            LinkCount::Fixed(_) | LinkCount::Doubling { .. } => 0,
            LinkCount::UpTo(most) => most,
        };
        Growth { most, trial: None, rest: 0, penalty: 2 }
    }

    /// At the end of an epoch: `rate` in bytes a second, `utilisation` of the links from 0 to 1.
    pub(super) fn observe(&mut self, links: u16, rate: f64, utilisation: f64) -> Advice {
        if let Some(before) = self.trial.take()
            && rate < before * GAIN
        {
            self.rest = self.penalty;
            self.penalty = (self.penalty * 2).min(LONGEST_REST);
            return Advice::TakeBack;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return Advice::Stay;
        }
        if links < self.most && utilisation > BUSY {
            self.trial = Some(rate);
            return Advice::Add;
        }
        Advice::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a network of which `rate(n)` is the rate over n connections; how many there are in each epoch.
    fn run(busy: f64, rate: impl Fn(u16) -> f64) -> Vec<u16> {
        let count = LinkCount::UpTo(8);
        let (mut growth, mut links) = (Growth::new(count), count.first());
        let mut epoch = || {
            match growth.observe(links, rate(links), busy) {
                Advice::Add => links += 1,
                Advice::Stay => {}
                Advice::TakeBack => links -= 1,
            }
            links
        };
        (0..100).map(|_| epoch()).collect()
    }

    #[test]
    fn links_are_added_while_they_help() {
        assert_eq!(run(1.0, |links| 1e6 * f64::from(links)).last(), Some(&8));
        assert_eq!(run(0.3, |links| 1e6 * f64::from(links)).last(), Some(&2), "others are slower than the links");
        let five_help = run(1.0, |links| 1e6 * f64::from(links.min(5)));
        assert!(five_help.iter().all(|links| *links <= 6));
        let with_five = five_help.iter().filter(|links| **links == 5).count();
        assert!(with_five > 80, "five links in {with_five} of 100 epochs, the sixth being tried in the others");
    }

    #[test]
    fn what_is_to_double_doubles_in_its_time() {
        let count = LinkCount::Doubling { most: 8, each: Duration::from_secs(1) };
        let due = |links, tenths: u64| count.due(links, Duration::from_millis(tenths * 100));
        assert_eq!(
            [due(1, 9), due(1, 10), due(2, 11), due(4, 10), due(8, 99)],
            [None, Some(2), Some(4), Some(8), None]
        );
        assert_eq!(LinkCount::Fixed(3).due(3, Duration::MAX), None);
        assert_eq!((count.first(), count.most()), (1, 8));
        assert_eq!(Growth::new(count).observe(1, 1e6, 1.0), Advice::Stay);
    }

    #[test]
    fn a_number_that_the_user_gave_stays() {
        let mut growth = Growth::new(LinkCount::Fixed(3));
        assert!((0..20).all(|_| growth.observe(3, 1e6, 1.0) == Advice::Stay));
    }
}
