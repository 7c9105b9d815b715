//! Where the target is or would be: how fast it takes data.

use std::ffi::OsStr;
use std::time::Duration;

use super::figures::Target;
use super::machine::transfer;
use crate::engine::trial::{Sample, Writing, write};
use crate::error::Result;
use crate::stop::Stop;
use crate::volume::{Scratch, scratch_for};
use crate::wire::PartSize;

/// More is not written, however fast it goes.
const MOST: u64 = 4 << 30;

/// Writes the sample for so long to a place beside the target of this name, which is not touched; and what the user
/// should know.
///
/// # Errors
/// What `recv` would say of such a target; what cannot be written; what ended the run. Nothing is left in any case.
pub fn measure(
    name: &OsStr,
    sample: &Sample,
    part_size: PartSize,
    time: Duration,
    stop: &Stop,
) -> Result<(Target, Vec<String>)> {
    let mut scratch = match scratch_for(name, MOST, stop)? {
        Scratch::Ready(scratch) => scratch,
        Scratch::None(why) => {
            return Ok((Target { what: format!("not measured: {why}"), written: None }, Vec::new()));
        }
    };
    let writing = Writing { part_size, most: scratch.room, time };
    let written = write(&*scratch.target, sample, writing, stop);
    let (what, mut notices) = (std::mem::take(&mut scratch.what), std::mem::take(&mut scratch.notices));
    // Whatever became of it.
    notices.extend(scratch.remove());
    Ok((Target { what, written: transfer(&written?) }, notices))
}
