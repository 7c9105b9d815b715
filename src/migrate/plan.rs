//! When to stop copying and switch.
//!
//! In: what each round has carried and how long that took, and what has been written since. Out: another round, or the
//! switch. Pure; asked once a round.
//!
//! # The rule
//!
//! A round takes what its bytes take at the rate of the first round, which carries most, and what any round takes
//! whatever it carries: the snapshot, the pool's metadata, the last sync on the other side. The second is what the
//! latest round took beyond its bytes, so it is not known before there has been a second round, and nothing is
//! switched before that. With both, the time of a next round is expected:
//!
//! ```text
//! expected = bytes written since the last snapshot / rate + what the latest round took besides
//! ```
//!
//! - Where that is within the limit, the switch is next: for so long the volume stands still, and for what the
//!   user's own commands take.
//! - Where rounds stop becoming shorter, no further one would help: when [`TRIES`] in a row have not brought the
//!   expected time a tenth below the shortest before, the switch is next too, and it is said that it takes longer.
//! - Unless the user has said that it may not: then it is given up. Once paused, the [course](super::Course) holds this
//!   limit by the clock.
//!
//! Each round but [`TRIES`] in a row shortens the expected time by a tenth, so that there is an end to them.

use std::time::Duration;

/// So many rounds in a row that do not help are enough.
pub const TRIES: u32 = 2;

/// By how much a round has to shorten the expected time to count as help.
const GAIN: f64 = 0.9;

/// What a round has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Bytes of the map, or of what was written.
    pub bytes: u64,
    /// From before its snapshot until the other side had it on stable storage.
    pub took: Duration,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another round.
    Round,
    /// The switch.
    Switch(Why),
    /// Nothing: it would take longer than the user allows.
    GiveUp,
}

/// Why the switch is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is expected to be short enough.
    ShortEnough,
    /// Further rounds would not make it shorter.
    NoLongerShrinks,
}

/// What the rounds so far tell.
#[derive(Debug, Clone)]
pub struct Plan {
    limit: Duration,
    most: Option<Duration>,
    /// Seconds a byte, from the first round that carried any.
    pace: Option<f64>,
    /// What a round takes besides its bytes, in seconds. `None` before the second.
    besides: Option<f64>,
    rounds: u32,
    /// The shortest time that was expected of a next round, in seconds.
    best: Option<f64>,
    /// How many rounds there have been since that did not help.
    tried: u32,
}

impl Plan {
    /// Switch when that is expected to take no longer than `limit`; or, where it cannot be brought down to that, when
    /// it takes no longer than `most`, if that is given.
    pub fn new(limit: Duration, most: Option<Duration>) -> Self {
        Plan { limit, most, pace: None, besides: None, rounds: 0, best: None, tried: 0 }
    }

    /// How long it may take at the most, if the user has said.
    pub fn most(&self) -> Option<Duration> {
        self.most
    }

    /// Counts a round.
    pub fn carried(&mut self, round: Carried) {
        self.rounds += 1;
        let took = round.took.as_secs_f64();
        if self.rounds > 1 {
            self.besides = Some((took - self.carrying(round.bytes)).max(0.0));
        }
        if self.pace.is_none() && round.bytes > 0 {
            self.pace = Some(took / round.bytes as f64);
        }
    }

    /// How long a round is expected to take that carries so many bytes.
    pub fn expected(&self, bytes: u64) -> Duration {
        Duration::try_from_secs_f64(self.seconds(bytes)).unwrap_or(Duration::MAX)
    }

    /// What comes next, where so many bytes have been written since the last round's snapshot.
    pub fn next(&mut self, bytes: u64) -> Next {
        let expected = self.seconds(bytes);
        if self.besides.is_none() {
            return Next::Round;
        }
        if expected <= self.limit.as_secs_f64() {
            return Next::Switch(Why::ShortEnough);
        }
        let helps = self.best.is_none_or(|best| expected < best * GAIN);
        self.tried = if helps { 0 } else { self.tried + 1 };
        self.best = Some(self.best.map_or(expected, |best| best.min(expected)));
        if self.tried < TRIES {
            return Next::Round;
        }
        match self.most {
            Some(most) if expected > most.as_secs_f64() => Next::GiveUp,
            _ => Next::Switch(Why::NoLongerShrinks),
        }
    }

    fn seconds(&self, bytes: u64) -> f64 {
        self.carrying(bytes) + self.besides.unwrap_or(0.0)
    }

    fn carrying(&self, bytes: u64) -> f64 {
        bytes as f64 * self.pace.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A link and a writer: rounds until something else comes; what, and after how many.
    fn run(mut plan: Plan, first: u64, rate: f64, besides: f64, writes: impl Fn(u32) -> f64) -> (Next, u32) {
        let mut bytes = first;
        for round in 1..10_000 {
            let took = besides + bytes as f64 / rate;
            plan.carried(Carried { bytes, took: seconds(took) });
            bytes = (writes(round) * took) as u64;
            match plan.next(bytes) {
                Next::Round => {}
                next => return (next, round),
            }
        }
        panic!("no end");
    }

    #[test]
    fn a_writer_slower_than_the_link_is_caught_up_with() {
        let plan = Plan::new(seconds(1.0), None);
        let (next, rounds) = run(plan, 10_000 * MIB, 100e6, 0.2, |_| 10e6);
        assert_eq!(next, Next::Switch(Why::ShortEnough));
        assert_eq!(rounds, 3, "105 s, 10.7 s, 1.3 s, and the last 0.3 s");
    }

    #[test]
    fn nothing_is_switched_before_a_round_has_told_what_one_takes_at_least() {
        let mut plan = Plan::new(seconds(1.0), None);
        plan.carried(Carried { bytes: 100 * MIB, took: seconds(10.0) });
        assert_eq!(plan.next(0), Next::Round);
        plan.carried(Carried { bytes: 0, took: seconds(0.4) });
        assert_eq!(plan.next(0), Next::Switch(Why::ShortEnough));
        assert_eq!(plan.expected(0), seconds(0.4));
        assert_eq!(plan.expected(10 * MIB), seconds(1.4));
    }

    #[test]
    fn an_empty_volume_is_switched_too() {
        let (next, rounds) = run(Plan::new(seconds(1.0), None), 0, 100e6, 0.2, |_| 0.0);
        assert_eq!((next, rounds), (Next::Switch(Why::ShortEnough), 2));
    }

    #[test]
    fn a_writer_as_fast_as_the_link_is_not_waited_for() {
        let fast = |_| 100e6;
        let (next, rounds) = run(Plan::new(seconds(1.0), None), 1000 * MIB, 100e6, 0.2, fast);
        assert_eq!(next, Next::Switch(Why::NoLongerShrinks));
        assert!(rounds <= 2 + TRIES, "{rounds}");
        let (next, _) = run(Plan::new(seconds(1.0), Some(seconds(5.0))), 1000 * MIB, 100e6, 0.2, fast);
        assert_eq!(next, Next::GiveUp);
    }

    #[test]
    fn what_a_round_takes_at_least_may_be_more_than_the_limit() {
        let plan = Plan::new(seconds(0.1), Some(seconds(5.0)));
        let (next, _) = run(plan, 1000 * MIB, 100e6, 0.5, |_| 1e6);
        assert_eq!(next, Next::Switch(Why::NoLongerShrinks));
    }

    #[test]
    fn a_burst_is_waited_out() {
        let plan = Plan::new(seconds(1.0), None);
        let (next, rounds) = run(plan, 1000 * MIB, 100e6, 0.2, |round| if round == 2 { 200e6 } else { 5e6 });
        assert_eq!(next, Next::Switch(Why::ShortEnough));
        assert_eq!(rounds, 3);
    }

    proptest! {
        #[test]
        fn there_is_always_an_end(
            first in 0u64..1 << 50, rate in 1e3f64..1e10, besides in 0f64..10.0, share in 0f64..3.0, limit in 0.001f64..10.0,
        ) {
            let (_, rounds) = run(Plan::new(seconds(limit), None), first, rate, besides, |_| share * rate);
            prop_assert!(rounds < 2000);
        }
    }
}
