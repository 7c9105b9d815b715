//! What the admin sees: bar, plain lines, JSON, and the one-line summary.
//!
//! - [`Figures`] come in: counters that the engine's threads add to, and the time they spend in each [`Stage`].
//! - [`Reporter`] runs one thread that looks at them a few times a second and writes to standard error; standard
//!   output carries the stream. Its memory is bounded: half a minute of snapshots, one a second.
//! - [`Console`] is how anybody else prints while a bar may be on the terminal.
//! - Nothing here can fail the transfer: what cannot be written is not written.
//!
//! ```
//! use lvpipe::progress::{Figures, Outcome, ProgressKind, Reporter, Role, Stage};
//!
//! let figures = Figures::new(Role::Send);
//! figures.threads(Stage::Source, 1);
//! let reporter = Reporter::start(figures.clone(), ProgressKind::Auto, false, true);
//! {
//!     let _busy = figures.busy(Stage::Source);
//!     figures.add_read(1 << 20);
//! }
//! reporter.finish(Outcome::Done("sha256 verified".into()));
//! ```

mod console;
mod figures;
mod json;
mod pace;
mod reporter;
mod stage;
mod step_line;
mod terminal;
mod text;

pub use console::Console;
pub use figures::{Busy, Figures, Role, Snapshot};
pub use json::JSON_FIELDS;
pub use reporter::{Outcome, ProgressKind, Reporter};
pub use stage::{Stage, StageFigures};
pub use step_line::StepLine;
