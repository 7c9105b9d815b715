//! What a thin device has mapped, as runs of virtual chunks.
//!
//! In: a superblock and a device's id. Out: [`Run`]s in order to the caller's closure, none touching the next; where
//! the chunks lie in the pool makes no difference. Nothing is kept but the run at hand. The number of mappings is
//! compared with the device's details at the end: an error then means that what was handed out is not to be used.

use super::block_time::BlockTime;
use super::error::{Checked, ThinError};
use super::metadata::Metadata;
use super::superblock::Superblock;
use super::{details, lookup, walk};
use crate::error::Result;
use crate::stop::Stop;

/// The size of a mapping's value, see [`super::block_time`].
pub(super) const VALUE_SIZE: usize = 8;

/// Mapped chunks that follow each other on the virtual device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first chunk.
    pub begin: u64,
    /// How many chunks, at least 1.
    pub length: u64,
}

/// What a device has mapped, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// How many chunks.
    pub chunks: u64,
    /// The pool's time when the last of them was mapped; `None` where nothing is.
    ///
    /// A chunk that is shared with a snapshot is mapped anew when it is written, so a device has no mapping of the time
    /// when it was made a snapshot, or had one taken, or later, unless it has been written to since.
    pub newest: Option<u32>,
}

/// Hands all runs of one device to `take`, by rising chunks. Fails if the device is not there, if anything on the
/// way is damaged, if `take` fails, or if the run is stopped.
pub fn mapped_runs(
    metadata: &Metadata,
    superblock: &Superblock,
    device: u32,
    stop: &Stop,
    mut take: impl FnMut(Run) -> Result<()>,
) -> Result<Mapped> {
    read(metadata, superblock, device, stop, &mut take).map_err(|why| why.on(metadata.path()))
}

fn read(
    metadata: &Metadata,
    superblock: &Superblock,
    device: u32,
    stop: &Stop,
    take: &mut dyn FnMut(Run) -> Result<()>,
) -> Checked<Mapped> {
    let expected = details::find(metadata, superblock, device)?.mapped_chunks;
    let root = root_of(metadata, superblock, device)?;
    let mut merge = Merge { run: None, found: 0 };
    let mut newest = None;
    walk::leaves(metadata, root, VALUE_SIZE, stop, &mut |leaf| {
        for (entry, chunk) in leaf.keys().enumerate() {
            newest = newest.max(Some(BlockTime::unpack(u64::from_le_bytes(leaf.value(entry))).time));
            merge.add(chunk, take)?;
        }
        Ok(())
    })?;
    if let Some(last) = merge.run {
        take(last)?;
    }
    match merge.found {
        found if found == expected => Ok(Mapped { chunks: found, newest }),
        found => Err(ThinError::Count { root, device, expected, found }),
    }
}

/// The root of the device's own tree.
pub(super) fn root_of(metadata: &Metadata, superblock: &Superblock, device: u32) -> Checked<u64> {
    match lookup::value(metadata, superblock.mappings_root, u64::from(device))? {
        Some(root) => Ok(u64::from_le_bytes(root)),
        None => Err(ThinError::damaged(
            superblock.mappings_root,
            format!("it is the root of all mappings, but has none of device {device}"),
        )),
    }
}

/// Chunks that come one by one, made into runs.
struct Merge {
    run: Option<Run>,
    found: u64,
}

impl Merge {
    fn add(&mut self, chunk: u64, take: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        self.found += 1;
        match &mut self.run {
            // Chunks rise, so this is no subtraction below 0.
            Some(run) if chunk - run.begin == run.length => run.length += 1,
            run => {
                if let Some(done) = run.replace(Run { begin: chunk, length: 1 }) {
                    take(done)?;
                }
            }
        }
        Ok(())
    }
}
