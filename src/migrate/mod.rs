//! Transfers that belong together: the rounds of a live migration, the next delta of a replica, the measurements of a
//! benchmark.
//!
//! The sender starts one far side for all of them and gives it [orders](Order), one after the other.
//!
//! A live migration moves a volume while it is written: rounds of deltas until little is left ([`plan`] says when), a
//! pause for that, and on with the copy.

mod commands;
mod course;
mod fields;
mod order;
mod pause;
pub mod plan;
mod relay;
mod running;

pub use commands::{About, Output, Task};
pub use course::{Audience, Carrying, Course, Downtime, Places, RoundReport};
pub use fields::JSON_FIELDS;
pub use order::{Order, Switched};
pub use pause::{Pause, Paused};
