//! The byte buffer of mbuffer mode: between one input and any number of outputs, in memory, with a rate on each side.
//!
//! In: a [`run::Plan`] of opened inputs and outputs, made by `cli::mbuffer` from mbuffer's options. Out: the same
//! bytes at every output, in order, and mbuffer's exit status. From the ground up:
//!
//! - [`log`], [`counters`]: what is said, and what was moved.
//! - [`geometry`], [`memory`], [`ring`]: how large the buffer is, where it lies, who may touch which byte of it.
//! - [`pace`], [`rate`], [`stride`]: how fast each side may go, and in which steps.
//! - [`descriptor`], [`input`], [`output`], `connection`, [`network`]: files, pipes, devices and connections.
//! - [`question`], [`media`]: changing volumes.
//! - [`reader`], [`writer`], [`hash`]: the threads that move bytes.
//! - [`status`], `bar`, [`view`], [`takers`], [`watchdog`], `signals`, [`run`]: what is seen, what ends a run early, and the thread that waits for all.
//!
//! One thread reads, one an output writes, one a hash computes; the main thread waits for them, for signals and for
//! the clock. It alone decides when the run is over, and then returns whatever the others are waiting for: the
//! process's end is what frees a thread that sits in `read` or `write`.

mod bar;
mod connection;
pub mod counters;
pub mod descriptor;
pub mod geometry;
pub mod hash;
pub mod input;
pub mod log;
pub mod media;
pub mod memory;
pub mod network;
pub mod output;
pub mod pace;
pub mod question;
pub mod rate;
pub mod reader;
pub mod ring;
pub mod run;
mod signals;
pub mod status;
pub mod stride;
pub mod takers;
pub mod view;
pub mod watchdog;
pub mod writer;

use std::fmt;
use std::io;

use nix::errno::Errno;

/// A message that ends the run with status 1, in mbuffer's words.
///
/// In mbuffer's place messages and statuses are mbuffer's, so the program's own error type has nothing to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal(String);

impl Fatal {
    /// With this message.
    pub fn new(message: impl Into<String>) -> Self {
        Fatal(message.into())
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// The system's words for an error, as C's `strerror` has them: users' scripts look for them.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// [`reason`] for a bare error number.
fn why(error: Errno) -> String {
    reason(&io::Error::from(error))
}
