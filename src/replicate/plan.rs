//! What a run does first, from what is there on both sides. Pure.
//!
//! The rule is that nothing is lost that nobody else has. A target that holds a state of the source of which this side
//! has the snapshot gets the delta since. One that has nothing in common with this side gets all of the volume, if it is
//! empty, or was a copy of this very source and nothing else; what it was else, it stays, unless the user says `--full`.
//! One that was written to is put back to the last state that it received, if the user says `--rollback`.

use std::collections::HashSet;

use super::order::{Begun, Found, Holds, There};
use crate::error::{Error, Result};
use crate::moment::Moment;
use crate::volume::{State, TargetKind};

/// What is known on this side, and wished for.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// The source's UUID.
    pub source: &'a str,
    /// The UUIDs of the snapshots that are there to send deltas since.
    pub snapshots: &'a HashSet<String>,
    /// All of the volume is sent, whatever the target holds.
    pub full: bool,
    /// What was written to the target is taken back.
    pub rollback: bool,
}

/// What a run does first. Snapshots are named by their UUIDs. Unless it is all or the delta of a new snapshot, the delta
/// to a new one follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// All of a new snapshot.
    Full,
    /// The rest of a copy in full of this snapshot, which broke off.
    Rest {
        /// The snapshot.
        snapshot: String,
    },
    /// The delta that broke off, once more.
    Again {
        /// Since this snapshot.
        base: String,
        /// To this one.
        snapshot: String,
    },
    /// A delta to a new snapshot.
    Delta {
        /// Since this one.
        base: String,
    },
    /// The target is put back to an earlier state, and gets the delta since that.
    PutBack {
        /// The target's snapshot.
        to: Moment,
        /// The source's, of the same state.
        base: String,
    },
}

impl First {
    /// Whether this snapshot of the source is needed for it; by UUID.
    pub fn needs(&self, uuid: &str) -> bool {
        match self {
            First::Full => false,
            First::Rest { snapshot: needed }
            | First::Delta { base: needed }
            | First::PutBack { base: needed, .. } => needed == uuid,
            First::Again { base, snapshot } => base == uuid || snapshot == uuid,
        }
    }
}

/// Decides; and what the user should know of it.
///
/// # Errors
/// A guard's, with a reason of its own for each case, where something would be lost.
pub fn first(found: &Found, target: &str, here: Here<'_>) -> Result<(First, Option<String>)> {
    let plan = Plan { found, target, here };
    match &found.target {
        None => Ok((plan.full(), None)),
        Some(_) if here.full => Ok((First::Full, Some(format!("all of it is sent, over what {target} holds")))),
        Some(there) => match &there.holds {
            Holds::Unknown => plan.over_unknown(there),
            Holds::At(state) => plan.after(there, state),
            Holds::Between { base, state } => plan.after_between(there, base, state),
        },
    }
}

struct Plan<'a> {
    found: &'a Found,
    target: &'a str,
    here: Here<'a>,
}

impl Plan<'_> {
    fn has(&self, state: &State) -> bool {
        self.here.snapshots.contains(state.volume())
    }

    /// All of the volume, or the rest of it.
    fn full(&self) -> First {
        let is_begun = |begun: &&Begun| begun.base.is_none() && self.here.snapshots.contains(&begun.snapshot);
        let begun = self.found.begun.as_ref().filter(is_begun);
        begun.map_or(First::Full, |begun| First::Rest { snapshot: begun.snapshot.clone() })
    }

    fn over_unknown(&self, there: &There) -> Result<(First, Option<String>)> {
        let first = self.full();
        if there.is_empty || there.is_copy_of(self.here.source) || first != First::Full {
            return Ok((first, None));
        }
        Err(self
            .refused(
                "it is not known what it holds: it has never had a copy of the source, or something else since",
            )
            .way_out("--full sends all of it; what it holds is lost then"))
    }

    fn after(&self, there: &There, state: &State) -> Result<(First, Option<String>)> {
        if there.is_as_it_was == Some(false) {
            return self.over_what_was_written(there, state);
        }
        if self.has(state) {
            return Ok((First::Delta { base: state.volume().into() }, None));
        }
        if let Some(put_back) = self.put_back(there) {
            let notice =
                format!("the snapshot that {} holds is gone here: it is put back to an earlier one", self.target);
            return Ok((put_back, Some(notice)));
        }
        if there.is_copy_of(self.here.source) {
            let notice = format!("no snapshot here is one that {} holds: all of it is sent", self.target);
            return Ok((First::Full, Some(notice)));
        }
        Err(self
            .refused(&format!("it holds {state}, which is no snapshot here: it may be a copy of another volume"))
            .way_out("--full sends all of it; what it holds is lost then"))
    }

    /// Somebody has used the target.
    fn over_what_was_written(&self, there: &There, state: &State) -> Result<(First, Option<String>)> {
        let refused = self.refused("somebody has written to it since the last transfer");
        let put_back = self.put_back(there);
        match put_back {
            Some(put_back) if self.here.rollback => {
                let notice = format!("what was written to {} is taken back", self.target);
                Ok((put_back, Some(notice)))
            }
            Some(_) => Err(refused.way_out("--rollback takes that back first: it is lost then")),
            None if there.kind != TargetKind::Thin && self.has(state) => {
                Err(refused.way_out("--full sends all of it; what was written to it is lost then"))
            }
            None => Err(refused.way_out(
                "there is no snapshot in common to put it back to: --full sends all of it; what was written to it is lost \
                 then",
            )),
        }
    }

    /// To the newest snapshot of the target that is one here, too.
    fn put_back(&self, there: &There) -> Option<First> {
        let common = there.snapshots.iter().rev().find(|snapshot| self.has(&snapshot.state))?;
        Some(First::PutBack { to: common.moment, base: common.state.volume().into() })
    }

    fn after_between(&self, there: &There, base: &State, state: &State) -> Result<(First, Option<String>)> {
        if self.has(base) && self.has(state) {
            let (base, snapshot) = (base.volume().into(), state.volume().into());
            return Ok((First::Again { base, snapshot }, None));
        }
        if let Some(put_back) = self.put_back(there) {
            let notice = format!("a delta to {} broke off: it is put back to an earlier state", self.target);
            return Ok((put_back, Some(notice)));
        }
        if there.is_copy_of(self.here.source) {
            let notice = format!(
                "a delta to {} broke off, of which a snapshot is gone here: all of it is sent",
                self.target
            );
            return Ok((First::Full, Some(notice)));
        }
        Err(self
            .refused(&format!(
                "a delta to it broke off between {base} and {state}, one of which is no snapshot here"
            ))
            .way_out("--full sends all of it; what it holds is lost then"))
    }

    fn refused(&self, why: &str) -> Error {
        Error::guard("target refused", self.target, why)
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::{CopyOf, Snapshot};
    use super::*;

    fn state(text: &str) -> State {
        text.parse().expect("a state")
    }

    fn at(text: &str) -> Holds {
        Holds::At(state(text))
    }

    fn between(base: &str, to: &str) -> Holds {
        Holds::Between { base: state(base), state: state(to) }
    }

    /// A thin target with snapshots s1 and s2, a copy of `vm` as of s2, and nobody has written to it.
    fn there(holds: Holds) -> There {
        let snapshot =
            |moment: &str, of: &str| Snapshot { moment: moment.parse().expect("a moment"), state: state(of) };
        There {
            kind: TargetKind::Thin,
            size: 100,
            is_empty: false,
            holds,
            is_as_it_was: Some(true),
            copy_of: Some(CopyOf { source: "vm".into(), state: Some(state("s2:5")) }),
            snapshots: vec![snapshot("20260101T000000Z", "s1:4"), snapshot("20260102T000000Z", "s2:5")],
        }
    }

    fn begun(snapshot: &str) -> Option<Begun> {
        Some(Begun { snapshot: snapshot.into(), base: None, part_size: 1 << 20, digest: "sha256".into() })
    }

    fn found(target: There) -> Found {
        Found { target: Some(target), begun: None, notices: Vec::new() }
    }

    /// With these snapshots here, and these wishes.
    fn decide(found: &Found, here: &[&str], wishes: &str) -> std::result::Result<First, String> {
        let snapshots = here.iter().map(ToString::to_string).collect();
        let (full, rollback) = (wishes.contains("full"), wishes.contains("rollback"));
        let here = Here { source: "vm", snapshots: &snapshots, full, rollback };
        first(found, "vg/copy", here).map(|(first, _)| first).map_err(|error| error.to_string())
    }

    fn delta(base: &str) -> std::result::Result<First, String> {
        Ok(First::Delta { base: base.into() })
    }

    fn put_back(to: &str, base: &str) -> std::result::Result<First, String> {
        Ok(First::PutBack { to: to.parse().expect("a moment"), base: base.into() })
    }

    #[test]
    fn a_new_target_gets_all_of_it_or_the_rest() {
        let mut nothing = Found { target: None, begun: None, notices: Vec::new() };
        assert_eq!(decide(&nothing, &[], ""), Ok(First::Full));
        nothing.begun = begun("s1");
        assert_eq!(decide(&nothing, &["s1"], ""), Ok(First::Rest { snapshot: "s1".into() }));
        assert_eq!(decide(&nothing, &["s2"], ""), Ok(First::Full), "the snapshot is gone");
        nothing.begun = begun("s1").map(|begun| Begun { base: Some("s0:3".into()), ..begun });
        assert_eq!(decide(&nothing, &["s1"], ""), Ok(First::Full), "it was a delta");
    }

    #[test]
    fn a_common_snapshot_is_the_base_of_a_delta() {
        assert_eq!(decide(&found(there(at("s2:5"))), &["s1", "s2"], ""), delta("s2"));
        // A first copy by send and recv.
        let mut by_hand = there(at("s2:5"));
        (by_hand.copy_of, by_hand.is_as_it_was) = (None, None);
        assert_eq!(decide(&found(by_hand), &["s2"], ""), delta("s2"));
    }

    #[test]
    fn what_is_not_known_is_not_overwritten() {
        let mut unknown = there(Holds::Unknown);
        unknown.copy_of = None;
        let refused = decide(&found(unknown.clone()), &["s1"], "rollback").expect_err("it may be somebody's");
        assert!(refused.starts_with("target refused: vg/copy: it is not known what it holds"), "{refused}");
        assert_eq!(decide(&found(unknown.clone()), &["s1"], "full"), Ok(First::Full));
        unknown.is_empty = true;
        assert_eq!(decide(&found(unknown.clone()), &[], ""), Ok(First::Full));
        // A copy in full that broke off.
        unknown.is_empty = false;
        unknown.copy_of = Some(CopyOf { source: "vm".into(), state: None });
        assert_eq!(decide(&found(unknown.clone()), &[], ""), Ok(First::Full));
        let mut rest = found(unknown.clone());
        rest.begun = begun("s3");
        assert_eq!(decide(&rest, &["s3"], ""), Ok(First::Rest { snapshot: "s3".into() }));
        // Another source's; and this one's, that something else was received into.
        for copy_of in [("other", None), ("vm", Some(state("s2:5")))] {
            unknown.copy_of = Some(CopyOf { source: copy_of.0.into(), state: copy_of.1 });
            decide(&found(unknown.clone()), &["s1"], "").expect_err("it is not this one's");
        }
    }

    #[test]
    fn without_the_newest_snapshot_an_older_one_is_gone_back_to_and_without_any_all_is_sent() {
        assert_eq!(decide(&found(there(at("s2:5"))), &["s1"], ""), put_back("20260101T000000Z", "s1"));
        assert_eq!(decide(&found(there(at("s2:5"))), &[], ""), Ok(First::Full));
        let others = there(at("x:1"));
        let refused =
            decide(&found(There { snapshots: Vec::new(), ..others }), &["s1"], "").expect_err("not a copy of it");
        assert!(refused.contains("it holds x:1, which is no snapshot here"), "{refused}");
    }

    #[test]
    fn what_somebody_has_written_is_kept_unless_the_user_says_so() {
        let mut written = there(at("s2:5"));
        written.is_as_it_was = Some(false);
        let refused = decide(&found(written.clone()), &["s2"], "").expect_err("it would be lost");
        assert!(refused.contains("somebody has written to it") && refused.contains("--rollback"), "{refused}");
        assert_eq!(decide(&found(written.clone()), &["s2"], "rollback"), put_back("20260102T000000Z", "s2"));
        assert_eq!(decide(&found(written.clone()), &["s1"], "rollback"), put_back("20260101T000000Z", "s1"));
        assert_eq!(decide(&found(written.clone()), &["s2"], "full"), Ok(First::Full));
        let refused = decide(&found(written.clone()), &[], "rollback").expect_err("nothing in common");
        assert!(refused.contains("there is no snapshot in common") && refused.contains("--full"), "{refused}");
        (written.kind, written.snapshots) = (TargetKind::File, Vec::new());
        let refused = decide(&found(written), &["s2"], "rollback").expect_err("a file cannot be put back");
        assert!(refused.contains("--full") && !refused.contains("in common"), "{refused}");
    }

    #[test]
    fn a_delta_that_broke_off_is_sent_again_or_gone_back_from() {
        let again = Ok(First::Again { base: "s2".into(), snapshot: "s3".into() });
        assert_eq!(decide(&found(there(between("s2:5", "s3:6"))), &["s2", "s3"], ""), again);
        assert_eq!(
            decide(&found(there(between("s2:5", "s3:6"))), &["s1", "s2"], ""),
            put_back("20260102T000000Z", "s2")
        );
        // Killed while it was put back.
        assert_eq!(
            decide(&found(there(between("put-back", "s1:4"))), &["s1"], ""),
            put_back("20260101T000000Z", "s1")
        );
        let mut plain = there(between("s2:5", "s3:6"));
        (plain.kind, plain.snapshots) = (TargetKind::Plain, Vec::new());
        assert_eq!(decide(&found(plain.clone()), &["s2"], ""), Ok(First::Full));
        plain.copy_of = None;
        decide(&found(plain), &["s2"], "").expect_err("it may be another volume's");
    }
}
