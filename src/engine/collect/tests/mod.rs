//! The receiving session against senders that the tests play themselves.

mod links;
mod order;
mod pipe;
mod resume;
mod scene;
mod sender;
mod totals;
/// Also for who gathers.
pub(in crate::engine) mod volume;
