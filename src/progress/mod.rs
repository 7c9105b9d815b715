//! What the admin sees: bar, plain lines, JSON, and the one-line summary.
//!
//! - [`Figures`] come in: counters that the engine's threads add to, and the time they spend in each [`Stage`].
//! - [`Reporter`] runs one thread that looks at them a few times a second and writes to standard error; standard
//!   output carries the stream. Its memory is bounded: half a minute of snapshots, one a second.
//! - Nothing here can fail the transfer: what cannot be written is not written.

mod figures;

pub use figures::{Busy, Figures, Role, Snapshot, Stage, StageFigures};
