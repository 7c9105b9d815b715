//! Whether a delta may be applied to a target, by what is kept with the target. Pure.

use super::State;
use super::standing::{Mark, Standing};

/// It may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admitted {
    /// If nobody has written to the target since.
    After {
        /// What it holds: the delta's base, or what the delta brings, to which it may be applied once more.
        held: State,
        /// How to see whether somebody has.
        mark: Mark,
    },
    /// A part of it has been applied: the rest is, or all of it again.
    OverPart,
}

/// It may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing is kept with it.
    Unknown,
    /// It holds another state.
    Holds(State),
    /// It holds a part of another delta.
    Between {
        /// Since this.
        base: State,
        /// To this.
        state: State,
    },
}

/// Judges a delta since `base` that brings a state, by what is told of the target; `device` is its own now, if it is thin.
pub(super) fn judge(
    told: Option<Standing>,
    device: Option<u32>,
    base: &State,
    brings: Option<&State>,
) -> Result<Admitted, Refused> {
    let broke_off = matches!(told, Some(Standing::Between { .. }));
    match told.map(|told| told.settled(device)) {
        None => Err(Refused::Unknown),
        Some(Standing::At { state: held, mark }) if held == *base => Ok(Admitted::After { held, mark }),
        // Killed when all of it was there, whoever sent it does not know: to apply it again changes nothing.
        Some(Standing::At { state: held, mark }) if broke_off && Some(&held) == brings => {
            Ok(Admitted::After { held, mark })
        }
        Some(Standing::At { state, .. }) => Err(Refused::Holds(state)),
        Some(Standing::Between { base: from, state, .. }) if from == *base && Some(&state) == brings => {
            Ok(Admitted::OverPart)
        }
        Some(Standing::Between { base, state, .. }) => Err(Refused::Between { base, state }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::standing::Apart;
    use super::*;

    /// The device of a target before a delta, and after it.
    const DEVICES: [Option<u32>; 2] = [Some(4), Some(6)];

    fn state(text: &str) -> State {
        text.parse().expect("a state")
    }

    fn thin(device: u32) -> Mark {
        Mark::Thin { time: 9, chunks: 12, device: Some(device) }
    }

    fn after(held: &str, mark: Mark) -> Result<Admitted, Refused> {
        Ok(Admitted::After { held: state(held), mark })
    }

    /// Of a target of which this is told, and a delta since one state to another.
    fn judged(told: &Standing, device: Option<u32>, base: &str, brings: &str) -> Result<Admitted, Refused> {
        judge(Some(told.clone()), device, &state(base), Some(&state(brings)))
    }

    #[test]
    fn a_delta_is_applied_only_to_its_base() {
        let at = Standing::At { state: state("s1:1"), mark: thin(4) };
        assert_eq!(judged(&at, Some(4), "s1:1", "s2:2"), after("s1:1", thin(4)));
        assert_eq!(judged(&at, Some(4), "s2:2", "s3:3"), Err(Refused::Holds(state("s1:1"))));
        assert_eq!(judged(&at, Some(4), "s0:0", "s1:1"), Err(Refused::Holds(state("s1:1"))), "it has it");
        assert_eq!(judge(None, Some(4), &state("s1:1"), None), Err(Refused::Unknown));
    }

    #[test]
    fn a_target_that_was_to_get_a_snapshots_place_holds_one_or_the_other_and_each_has_its_mark() {
        let apart = Some(Apart { was: thin(4), becomes: thin(6), device: 6 });
        let told = Standing::Between { base: state("s1:1"), state: state("s2:2"), apart };
        let [before, since] = DEVICES;
        assert_eq!(judged(&told, before, "s1:1", "s2:2"), after("s1:1", thin(4)), "it had not got it");
        assert_eq!(judged(&told, since, "s1:1", "s2:2"), after("s2:2", thin(6)), "it had");
        // Another delta.
        assert_eq!(judged(&told, before, "s1:1", "s3:3"), after("s1:1", thin(4)));
        assert_eq!(judged(&told, since, "s1:1", "s3:3"), Err(Refused::Holds(state("s2:2"))));
        assert_eq!(judged(&told, before, "s2:2", "s3:3"), Err(Refused::Holds(state("s1:1"))));
        assert_eq!(judged(&told, since, "s2:2", "s3:3"), after("s2:2", thin(6)));
    }

    #[test]
    fn a_target_that_is_written_in_place_gets_only_what_it_has_a_part_of() {
        let told = Standing::Between { base: state("s1:1"), state: state("s2:2"), apart: None };
        let refused = Err(Refused::Between { base: state("s1:1"), state: state("s2:2") });
        assert_eq!(judged(&told, None, "s1:1", "s2:2"), Ok(Admitted::OverPart));
        assert_eq!(judged(&told, None, "s2:2", "s3:3"), refused);
        assert_eq!(judged(&told, None, "s1:1", "s3:3"), refused);
    }
}
