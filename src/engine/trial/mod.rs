//! One stage of a transfer by itself, as fast as it goes: for measuring what each of them could carry.
//!
//! What works here are the engine's own pieces, by as many threads as a transfer has: reads of parts with data in as
//! many threads as a sender's ([`read()`]), encoding and decoding as the workers do it ([`Workbench`]), writes as the
//! target's writers make them ([`write()`]). No stage waits for another, so what comes out is its own speed.
//!
//! In: a source, a [`Sample`] of it, or a target; and how long it may take, which is looked at before each part. Out:
//! bytes and time. The threads are joined before a trial returns. Memory: the buffers of the sample, and one or two a
//! thread. The first error ends the trial, as does what ends the run.

mod code;
mod read;
mod sample;
mod write;

pub use code::{Coded, Workbench};
pub use read::{Reading, read};
pub use sample::Sample;
pub use write::{Writing, write};

use std::time::Duration;

/// What a stage has moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// In bytes.
    pub bytes: u64,
    /// In this time.
    pub time: Duration,
    /// With so much of the processors' time, all threads of this process together.
    pub processors: Duration,
}

impl Moved {
    /// Bytes a second; `None` where nothing was moved, or in no time.
    pub fn rate(&self) -> Option<f64> {
        let seconds = self.time.as_secs_f64();
        (self.bytes > 0 && seconds > 0.0).then(|| self.bytes as f64 / seconds)
    }

    /// Seconds of one processor for each byte.
    pub fn processor_seconds_a_byte(&self) -> f64 {
        if self.bytes == 0 { 0.0 } else { self.processors.as_secs_f64() / self.bytes as f64 }
    }
}

/// How much of the processors' time this process has had: clock_gettime(2), CLOCK_PROCESS_CPUTIME_ID.
pub fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let whole = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    if told == 0 { Duration::new(whole, nanoseconds) } else { Duration::ZERO }
}
