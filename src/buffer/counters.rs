//! What has been moved so far, in bytes: written by the threads that move, read by status line and watchdog.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The counts of one run.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes read from the input.
    pub read: AtomicU64,
    /// Whether the reader is done.
    pub read_done: AtomicBool,
    /// Odd while the machine of `-a` is given its time; counts up at both ends of each such wait. By two when a peer
    /// still takes what was written long ago: that is no stall either.
    pub rests: AtomicU64,
    /// Bytes written, per output in the order of the command line.
    pub written: Vec<Written>,
}

/// The count of one output.
#[derive(Debug, Default)]
pub struct Written {
    /// Bytes written.
    pub bytes: AtomicU64,
    /// Whether it failed: then it no longer counts.
    pub failed: AtomicBool,
}

impl Written {
    /// It fails now; false if it had failed before, and that was said.
    pub fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::SeqCst)
    }
}

impl Counters {
    /// For so many outputs.
    pub fn new(outputs: usize) -> Self {
        Counters { written: (0..outputs).map(|_| Written::default()).collect(), ..Counters::default() }
    }

    /// Bytes written to the main output, the last of the command line.
    pub fn main_written(&self) -> u64 {
        self.written.last().map_or(0, |written| written.bytes.load(Ordering::Relaxed))
    }

    /// Bytes written to all outputs together.
    pub fn all_written(&self) -> u64 {
        self.written.iter().map(|written| written.bytes.load(Ordering::Relaxed)).sum()
    }

    /// How many outputs have not failed.
    pub fn alive(&self) -> usize {
        self.written.iter().filter(|written| !written.failed.load(Ordering::Relaxed)).count()
    }
}
