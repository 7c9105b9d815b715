//! How the time is divided among the measurements.

use std::time::Duration;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// A volume with something on it.
    pub(super) source: bool,
    /// A target here.
    pub(super) target: bool,
    /// Another machine.
    pub(super) far: bool,
    /// A target on it.
    pub(super) far_target: bool,
}

/// How long each may take; together what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) source: Duration,
    pub(super) processors: Duration,
    pub(super) target: Duration,
    pub(super) far_processors: Duration,
    pub(super) far_target: Duration,
    pub(super) link: Duration,
}

impl Plan {
    /// By weight: a link takes long to get going, and the levels are many.
    pub(super) fn divide(time: Duration, wanted: Wanted) -> Self {
        let shares = [
            (2.0, wanted.source),
            (3.5, true),
            (2.0, wanted.target),
            (1.5, wanted.far),
            (2.0, wanted.far_target),
            (4.0, wanted.far),
        ];
        let shares = shares.map(|(weight, is_wanted)| if is_wanted { weight } else { 0.0 });
        let all: f64 = shares.iter().sum();
        let [source, processors, target, far_processors, far_target, link] =
            shares.map(|weight| time.mul_f64(weight / all));
        Plan { source, processors, target, far_processors, far_target, link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_the_whole_and_what_is_not_wanted_has_none() {
        for (source, target, far, far_target) in
            [(true, true, false, false), (false, false, false, false), (true, false, true, true)]
        {
            let wanted = Wanted { source, target, far, far_target };
            let plan = Plan::divide(Duration::from_secs(10), wanted);
            let all =
                plan.source + plan.processors + plan.target + plan.far_processors + plan.far_target + plan.link;
            assert!(all.abs_diff(Duration::from_secs(10)) < Duration::from_micros(1), "{all:?}");
            assert_eq!(
                [source, target, far, far_target, far],
                [plan.source, plan.target, plan.far_processors, plan.far_target, plan.link]
                    .map(|time| !time.is_zero())
            );
        }
    }
}
