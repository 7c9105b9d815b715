//! Moving parts from a source over links to a target.
//!
//! Sending ([`send`]): the planner walks the used map along the grid; for each part with data it takes a buffer
//! from the [memory] budget and a place in the [ordered] queue, and hands both to a reader; the reader fills the
//! buffer and hands it to the workers, which look for zeros, digest and compress ([encode]) and fill the place; the
//! link takes the places in order and writes their frames.
//!
//! Receiving: each link's thread reads frames into buffers of the budget ([frame_reader]), enters them in the
//! [ledger] and hands them to the [intake]: workers check, decompress and digest ([decode]), the [sorter] puts them
//! in order where the target wants that, the writers write them ([target_writer]), and what is written is recorded
//! and answered ([accounts], [answers]). [`recv`] does so for one pipe, [`collect`](mod@collect) for many links that come and go;
//! [`gather`](mod@gather) asks for the parts itself, and has workers put them together from pieces.
//!
//! # No deadlock
//!
//! Every queue is bounded by the number of buffers: who is slow stops those before. Nothing can wait in a circle.
//!
//! Sending: a buffer is taken before its place in the queue, places are filled by workers that wait for nothing, and
//! the place at the head of the queue always has its buffer already.
//!
//! Receiving: workers wait for nothing but a scratch buffer that another of them is about to give back, and writers
//! for nothing but the target. What else waits is a link's thread: for a buffer, before it reads a payload, or for
//! its frame's [seat](sorter::Seat). A target that takes its parts in any order always has something to write then,
//! as whoever has a buffer or a seat and is not itself such a thread is on its way to it; a link that is stalled
//! amid a payload has one buffer, and the links together at most half of them ([`collect`](mod@collect) takes no
//! more links than that). A target that wants order must not wait for a part that cannot find room:
//! - from a pipe, frames come in order, so that all that has room is before what waits;
//! - over several links the sender keeps to a window: no frame is on its way that is as many as `window` frames
//!   behind the first that it has not seen answered. The frames that have room are therefore among the `window` first unwritten ones, each
//!   there once, for a copy of one that came already is dropped. With `window` = buffers − links, a link's thread
//!   never waits for a buffer, whatever the others hold; and it never waits for a seat. So the next part in order
//!   gets through on any link that works, though all the others be stalled amid later parts, or amid the same one.
//!   (A link that was hung up may still have its buffer for a moment; it is on its way out.)
//!
//! Gathering: whoever asks for parts is handed no more frames than a window that begins at the first that is not
//! written. For a target that wants order the window is the number of buffers, which is that of seats: each frame in
//! it has at most one of both, so that nobody ever waits for either, and the first one needs nothing but a connection
//! that works. If its own stalls, it is given up in time, and the next one to ask is handed that part first.
//!
//! Every thread ends when its channel does, or when the run's [`Stop`](crate::stop::Stop) is set; the [crew] waits
//! for them. Threads that may be blocked in a pipe's read or write for ever hold nothing outside the process, so
//! that a run that is ended need not wait for them.

mod accounts;
mod adapt;
mod answers;
pub mod collect;
mod crew;
mod decode;
mod encode;
mod frame_reader;
pub mod gather;
mod held;
mod held_at_target;
mod intake;
mod ledger;
mod lineage;
mod link_writer;
mod memory;
mod ordered;
mod pulse;
mod rate;
mod reading;
mod record;
pub mod recv;
pub mod send;
mod sequence;
mod sorter;
pub mod spread;
mod tally;
mod target_writer;
pub mod trial;
pub mod walk;
mod zeros;

pub use adapt::{Adapt, Compress, LADDER, Load, settle};
pub use held_at_target::HeldAtTarget;
pub use lineage::lineage;
pub use memory::{Work, Workshop};
pub use rate::Rate;
pub use record::{Holds, Record};
pub use tally::Received;
