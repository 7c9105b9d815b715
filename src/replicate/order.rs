//! What the far side of a replica is asked and told, and what it answers.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::volume::{State, TargetKind};

/// One order. All but [`Order::Receive`] are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Look what is there, and change nothing: [`Found`].
    Look {
        /// Where.
        target: TargetName,
    },
    /// Take back what was written to the target: give it what this snapshot of it holds. What the user should know.
    PutBack {
        /// Which target.
        target: TargetName,
        /// Which snapshot.
        to: Moment,
    },
    /// A transfer is to come: make the target if there is none, make it larger if it is this source's copy and too
    /// small, and note whose copy it is to be.
    Prepare {
        /// Which target.
        target: TargetName,
        /// The source.
        source: String,
        /// Bytes of the volume that is to come.
        size: u64,
        /// Whether all of it is to come, to a target that holds nothing but an earlier copy, or nothing at all: if the
        /// transfer breaks off, nobody need be asked before all of it is sent again.
        becomes_copy: bool,
    },
    /// A transfer follows: receive it. Its end is the answer.
    Receive {
        /// Into which target, which is there, or is a file to be made.
        target: TargetName,
        /// Whether it goes on with one that ended early.
        resume: bool,
    },
    /// Note that the target holds this state of its source, and keep a snapshot of it if it is a thin volume: [`Keep`].
    Keep {
        /// Which target.
        target: TargetName,
        /// The source.
        source: String,
        /// What it must hold.
        state: State,
        /// The moment of that state.
        moment: Moment,
    },
    /// Remove all kept snapshots of the target but so many, the newest: a sentence for each that cannot be.
    Prune {
        /// Which target.
        target: TargetName,
        /// How many stay, one at least.
        keep: u32,
    },
}

/// A target by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetName {
    /// `vg/lv`, or a path; or `VG/POOL:NAME`.
    pub name: String,
    /// Whether it is `VG/POOL:NAME`, a thin volume that is to be made if there is none.
    pub create: bool,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The target, if there is one.
    pub target: Option<There>,
    /// A transfer that was begun, if some of it is there and it can be gone on with.
    pub begun: Option<Begun>,
    /// What was cleaned up, or else is to be known.
    pub notices: Vec<String>,
}

/// A transfer that broke off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The UUID of the snapshot that was sent.
    pub snapshot: String,
    /// What it was since, of a delta.
    pub base: Option<String>,
    /// In parts of so many bytes.
    pub part_size: u64,
    /// With this digest.
    pub digest: String,
}

/// A target that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct There {
    /// What it is.
    pub kind: TargetKind,
    /// In bytes.
    pub size: u64,
    /// Nothing was ever written to it, as far as that can be seen.
    pub is_empty: bool,
    /// What the last transfer has left.
    pub holds: Holds,
    /// Whether nobody has written to it since, where that is known.
    pub is_as_it_was: Option<bool>,
    /// Whose copy it is.
    pub copy_of: Option<CopyOf>,
    /// Its snapshots, the oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// What the last transfer to a target has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holds {
    /// Nothing is known of it.
    Unknown,
    /// This state of its source.
    At(State),
    /// A part of a delta.
    Between {
        /// Since this.
        base: State,
        /// To this.
        state: State,
    },
}

/// A snapshot of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The moment in its name.
    pub moment: Moment,
    /// Which state of the source it holds.
    pub state: State,
}

/// Whose copy a target is, as of the last run of `replicate` that came to its end there; kept with the target.
///
/// Valid only as long as the target still holds that state: something else may have been received since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOf {
    /// The source's UUID.
    pub source: String,
    /// What it held then; `None` from before a copy in full to its end.
    pub state: Option<State>,
}

impl std::fmt::Display for CopyOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.source)?;
        self.state.as_ref().map_or(Ok(()), |state| write!(f, "/{state}"))
    }
}

impl std::str::FromStr for CopyOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (source, state) = text.split_once('/').map_or((text, None), |(source, state)| (source, Some(state)));
        // A UUID looks as a state does, without its count.
        source.parse::<State>()?;
        Ok(CopyOf { source: source.into(), state: state.map(str::parse).transpose()? })
    }
}

/// What became of a state that is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// There is a snapshot of it.
    InSnapshot,
    /// The target is no thin volume: there is the newest state alone.
    NewestOnly,
}

impl There {
    /// Whether it is nothing but a copy of this source, or a part of one: then nothing of anybody's is lost with it.
    pub fn is_copy_of(&self, source: &str) -> bool {
        let Some(copy_of) = self.copy_of.as_ref().filter(|copy_of| copy_of.source == source) else { return false };
        match (&copy_of.state, &self.holds) {
            (None, Holds::Unknown) => true,
            // It did not come to the copy in full.
            (None, Holds::At(_)) => self.is_as_it_was == Some(true),
            (Some(was), Holds::At(state)) => was == state && self.is_as_it_was != Some(false),
            (Some(was), Holds::Between { base, .. }) => was == base,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_copy_it_is_is_read_as_it_was_written() {
        for (text, source, state) in [("u-1", "u-1", None), ("u-1/s-2:7", "u-1", Some("s-2:7"))] {
            let state = state.map(|state| state.parse().expect("a state"));
            let copy_of = CopyOf { source: source.into(), state };
            assert_eq!((copy_of.to_string().as_str(), text.parse()), (text, Ok(copy_of)));
        }
        for text in ["", "/", "u/", "u b", "/s:1", "u/s/t"] {
            assert!(text.parse::<CopyOf>().is_err(), "{text}");
        }
    }
}
