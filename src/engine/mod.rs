//! Moving parts from a source over links to a target.
//!
//! Sending ([`send`]): the planner walks the used map along the grid; for each part with data it takes a buffer
//! from the [memory] budget and a place in the [ordered] queue, and hands both to a reader; the reader fills the
//! buffer and hands it to the workers, which look for zeros, digest and compress ([encode]) and fill the place; the
//! link takes the places in order and writes their frames.
//!
//! Receiving ([`recv`]): the link reads frames into buffers of the budget, the workers check, decompress and digest
//! ([decode]), the writers take what is decoded in order and write it.
//!
//! Every queue is bounded by the number of buffers: who is slow stops those before. Nothing can wait in a circle:
//! a buffer is taken before its place in the queue, places are filled by workers that wait for nothing, and the
//! place at the head of the queue always has its buffer already.
//!
//! Every thread ends when its channel does, or when the run's [`Stop`](crate::stop::Stop) is set; the [crew] waits
//! for them. Threads that may be blocked in a pipe's read or write for ever hold nothing outside the process, so
//! that a run that is ended need not wait for them.

mod adapt;
mod crew;
mod decode;
mod encode;
mod held;
mod link_writer;
mod memory;
mod ordered;
mod rate;
mod reading;
pub mod recv;
pub mod send;
mod sequence;
pub mod spread;
mod tally;
pub mod walk;
mod zeros;

pub use adapt::Compress;
pub use held::HeldAtTarget;
pub use memory::{Work, Workshop};
pub use rate::Rate;
pub use tally::Received;
