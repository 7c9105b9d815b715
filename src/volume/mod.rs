//! Volumes: what is read and what is written, and the guards before a write.
//!
//! A [`Source`] gives bytes at an offset; a [`Target`] takes data and holes at an offset and makes them last. Both
//! are chosen once, by name, in [`open_source()`] and [`open_target()`]; from there on nobody asks what kind they are.
//! Several threads use a source or a target at once, each on a range of its own.

mod block;
mod block_source;
mod block_target;
mod consider;
mod exec_target;
mod fifo;
mod file_source;
mod file_target;
mod found_target;
mod guards;
mod handed_over;
mod held_state;
pub mod identity;
mod journal_place;
mod lineage;
pub mod lvm;
mod null_target;
mod open_source;
mod open_target;
pub(crate) mod own_name;
mod partial_file;
mod pool_watch;
mod resident;
mod round_target;
mod rounds;
mod scratch;
mod source_maps;
mod standing;
mod state;
mod stream;
mod verdict;
mod write_behind;
mod xattr;

pub use block_source::BlockSource;
pub use block_target::{BlockTarget, Discards};
pub use consider::{consider_new, consider_target};
pub use exec_target::{CommandGuard, ExecOutput, ExecTarget};
pub use fifo::open_to_read;
pub use file_source::FileSource;
pub use file_target::FileTarget;
pub use found_target::{FoundTarget, TargetKind, find_target, found_lv};
pub use handed_over::{HandedOver, who_uses};
pub use held_state::held_state;
pub use journal_place::{JournalPlace, find_journal};
pub use lineage::Arrival;
pub use null_target::NullTarget;
pub use open_source::{HeldForSource, MapChoice, OpenSource, Origin, Since, SourceOptions, What, open_source};
pub use open_target::{Expected, HeldForTarget, NewVolume, OpenTarget, create_target, exec_target, open_target};
pub use round_target::RoundTarget;
pub use rounds::{Pending, Round, Rounds};
pub use scratch::{Scratch, ScratchTarget, scratch_for};
pub use standing::{Mark, Standing};
pub use state::State;
pub use stream::{StreamTarget, stdin_stream};

use crate::error::{Error, Result, Status};
use crate::usedmap::Extent;

/// The name of stdin as a source and of stdout as a target.
const STREAM: &str = "-";

/// Reads and writes start at multiples of this and have lengths that are, but for the volume's last bytes: direct
/// I/O wants it, and no file system or device has larger blocks in practice.
pub const ALIGN: u64 = 4096;

/// An offset on a volume, and what is to be filled from there.
pub type Piece<'a> = (u64, &'a mut [u8]);

/// A volume that is read, at any offset and by several threads at once.
pub trait Source: Send + Sync {
    /// In bytes. It does not change while the source is open.
    fn size(&self) -> u64;

    /// Fills `into` from `offset`. The offset is a multiple of [`ALIGN`], the length too but at the volume's end;
    /// `into` starts at a multiple of it.
    ///
    /// # Errors
    /// Names the offset of the first byte that could not be read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;

    /// Fills pieces of memory, each from its offset: what of a part is data. They are in order and do not overlap, and
    /// for each holds what is said of [`Source::read_at`].
    ///
    /// # Errors
    /// As [`Source::read_at`].
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        pieces.iter_mut().try_for_each(|(offset, into)| self.read_at(*offset, into))
    }

    /// Called after the last read: whether what was read is one state of the volume, as far as that can be told.
    ///
    /// # Errors
    /// When the volume has been written to since it was opened.
    fn unchanged(&self) -> Result<()> {
        Ok(())
    }
}

/// A volume that is written.
pub trait Target: Send + Sync {
    /// Whether everything must come in order of offset, from one thread: a pipe.
    fn in_order(&self) -> bool {
        false
    }

    /// Called once before the first write. `size` is the volume's, unknown for a byte stream. What the target held
    /// before is of no use from here on.
    ///
    /// # Errors
    /// When the target cannot take so much.
    fn begin(&self, size: Option<u64>) -> Result<()>;

    /// Called instead of [`Target::begin`], to apply a delta: all that is not written or made a hole keeps what the
    /// target holds. Called once, and once more after each [`Target::settle`].
    ///
    /// # Errors
    /// As [`Target::begin`]; and for a target that holds nothing.
    fn begin_delta(&self, _size: Option<u64>) -> Result<()> {
        Err(Error::guard(
            "target refused",
            "delta",
            "a pipe or a command holds no base that it could be applied to",
        )
        .way_out("send all of it, without --since"))
    }

    /// Writes data. Offset and address are multiples of [`ALIGN`], the length too but at the volume's end.
    ///
    /// # Errors
    /// Names the offset.
    fn write(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Called after the writes to a range, a part, that came to so many bytes: they may go to the disk now.
    ///
    /// # Errors
    /// Names the offset.
    fn written(&self, _range: Extent, _bytes: u64) -> Result<()> {
        Ok(())
    }

    /// Makes a range read as zeros.
    ///
    /// # Errors
    /// Names the offset.
    fn hole(&self, offset: u64, length: u64) -> Result<()>;

    /// Called once after the last write of a whole and verified volume of this size: puts everything on stable
    /// storage and, for a new file, under its name.
    ///
    /// # Errors
    /// When that fails; then nothing may be said to be done.
    fn finish(&self, size: u64) -> Result<()>;

    /// Called once instead of [`Target::finish`], where [`Target::begin_delta`] comes next: puts everything on stable
    /// storage, as that does, but leaves a new file without its name, for there is more to come.
    ///
    /// # Errors
    /// As [`Target::finish`].
    fn settle(&self, size: u64) -> Result<()> {
        self.finish(size)
    }

    /// Puts on stable storage all that [`Target::write`] and [`Target::hole`] had returned for when this was called.
    /// Called from one thread at a time, while others write.
    ///
    /// # Errors
    /// When that fails: then nobody knows what of it is there, and the transfer cannot go on. The system tells of
    /// such a failure once; a later call may well succeed.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// Called once instead of [`Target::begin`], to go on with an earlier transfer whose data the target holds.
    ///
    /// Data that is there need not be written again, but every hole goes through [`Target::hole`] again: those
    /// between the parts, and those in parts that are there. What had to be remembered of them, as the share of a
    /// thin pool's chunk that data may still map, was lost with the earlier run.
    ///
    /// # Errors
    /// As [`Target::begin`].
    fn resume(&self, size: Option<u64>) -> Result<()> {
        self.begin(size)
    }

    /// Reads what the target holds, whichever way it was written. `into` is best aligned to [`ALIGN`], as what is
    /// written; with another address it is copied.
    ///
    /// # Errors
    /// Names the offset; a target that cannot be read says so.
    fn read_back(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let what = format_args!("{} bytes at offset {offset}", into.len());
        Err(Error::new(Status::Io, "cannot read target", what, "what is written to it cannot be read again"))
    }

    /// From now on what is written is of use to a later transfer: if this one fails, it is to stay.
    fn keep_unfinished(&self) {}
}
