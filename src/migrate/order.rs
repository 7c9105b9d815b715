//! What a far side is told to do, as JSON. Both sides must be of one version of the wire format, which the greeting
//! before the first order has checked.

use serde::{Deserialize, Serialize};

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
    /// Measure your processors, and where a target is or would be. The answer is
    /// [`FarFigures`](crate::measure::figures::FarFigures).
    Measure(Wanted),
    /// A transfer follows: take it, and throw away what it brings. Its end is the answer.
    Swallow,
    /// There are no more: let go of what is held. The answer says that this is done.
    End,
}
