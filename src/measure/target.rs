//! Where the target is or would be: how fast it takes data.

use std::ffi::OsStr;
use std::time::Duration;

use super::figures::Target;
use super::machine::transfer;
use crate::engine::trial::{Sample, Writing, write};
use crate::error::Result;
use crate::stop::Stop;
use crate::volume::{Expected, Scratch, scratch_for};
use crate::wire::PartSize;

/// More is not written, however fast it goes.
const MOST: u64 = 4 << 30;

/// Finds a place to write to beside the target of this name, once that is found fit for what is expected.
///
/// # Errors
/// What `recv` would say of such a target.
pub fn find(name: &OsStr, expected: Expected<'_>, stop: &Stop) -> Result<Scratch> {
    scratch_for(name, MOST, expected, stop)
}

/// Writes the sample for so long to the place that was found, and removes it; and what the user should know.
///
/// # Errors
/// What cannot be written; what ended the run. Nothing is left in any case.
pub fn measure(
    scratch: Scratch,
    sample: &Sample,
    part_size: PartSize,
    time: Duration,
    stop: &Stop,
) -> Result<(Target, Vec<String>)> {
    let mut scratch = match scratch {
        Scratch::Ready(scratch) => scratch,
        Scratch::None { why, pool } => {
            return Ok((Target { what: format!("not measured: {why}"), written: None, pool }, Vec::new()));
        }
    };
    let writing = Writing { part_size, most: scratch.room, time };
    let written = write(&*scratch.target, sample, writing, stop);
    let (what, pool) = (std::mem::take(&mut scratch.what), scratch.pool.take());
    let mut notices = std::mem::take(&mut scratch.notices);
    // Whatever became of it.
    notices.extend(scratch.remove());
    Ok((Target { what, written: transfer(&written?), pool }, notices))
}
