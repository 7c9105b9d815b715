//! What a far side is told to do, as JSON. Both sides must be of one version of the wire format, which the greeting
//! before the first order has checked.

use serde::{Deserialize, Serialize};

use super::About;
use crate::measure::far::Wanted;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A transfer follows: receive it as `lvpipe recv` does. Its end is the answer.
    Receive {
        /// A volume's name, or a path.
        target: String,
        /// Whether the target is `VG/POOL:NAME`, a thin volume to be made.
        create: bool,
    },
    /// Say whether a target could be migrated to: what the user should know. Nothing is changed.
    Consider {
        /// A volume's name, or a path.
        target: String,
        /// Whether the target is `VG/POOL:NAME`, a thin volume to be made.
        create: bool,
        /// The source's size in bytes.
        size: u64,
        /// Who reads the source, see [`identity`](crate::volume::identity).
        identity: Option<String>,
    },
    /// A transfer follows that is a round of a migration: the first opens the target and brings all of the volume, each
    /// later one brings what was written since. Its end is the answer. The target stays open.
    Round {
        /// A volume's name, or a path.
        target: String,
        /// Whether the target is `VG/POOL:NAME`, a thin volume to be made.
        create: bool,
    },
    /// The last round is near: do for the switch what can be done before.
    Ready,
    /// All rounds have come: the target is to be used. With a command it is this that uses it, and the target is only
    /// switched to if that ends well. What was made for a target that is not switched to goes.
    Switch {
        /// The command, for sh(1).
        done: Option<String>,
        /// What the command is told.
        about: About,
    },
    /// One of a replica's.
    Replica(crate::replicate::order::Order),
    /// Measure your processors, and where a target is or would be. The answer is
    /// [`FarFigures`](crate::measure::figures::FarFigures).
    Measure(Wanted),
    /// A transfer follows: take it, and throw away what it brings. Its end is the answer.
    Swallow,
    /// There are no more: let go of what is held. The answer says that this is done.
    End,
}

/// What is answered to [`Order::Switch`]. An answer that does not come may have been either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switched {
    /// The target is in use, or may be taken into use.
    Yes,
    /// It is not: the command failed, or the target could not be kept.
    No {
        /// The exit status of that failure.
        status: u8,
        /// Its message.
        reason: String,
    },
    /// The command failed, but somebody has the target in use: it may have done so before it failed.
    InUse {
        /// The command's failure, and who.
        reason: String,
    },
}
