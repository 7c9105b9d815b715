//! What changed on a volume since its base, and where that is read from: two thin devices of one pool.
//!
//! In: a thin device and its base, or a saved copy of their pool's metadata and two ids. Out: a [`Delta`], two maps of
//! the new volume. On the caller's thread; the pool's metadata snapshot is held while it is read. What is written to
//! either device later is not in it: the new one must stand still until it has been read, as a snapshot does. The
//! base is not read at all, but for its tree.

use std::path::Path;

use super::thin_source::{self, chunks, from_metadata_snapshot, untouched};
use super::{Extent, MapBuilder, MapSource, UsedMap};
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{Change, LIVE_ROOT, Metadata, Superblock, ThinVolume, changed_runs, device_details, mapped_runs};

/// What changed on a volume since its base. What is in neither map is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// What may hold other data than the base.
    pub written: UsedMap,
    /// What reads as zeros, and may not in the base. Nothing of it is in `written`.
    pub discarded: UsedMap,
}

/// A device in the pool, as it is known to whoever asks for a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseDevice {
    /// Its id in the pool.
    pub device: u32,
    /// Its size in bytes: what the new volume has beyond that is no part of the base, whatever the pool had mapped
    /// there. Unknown for devices in a saved copy of the metadata.
    pub size: Option<u64>,
}

/// A delta, and what else was seen.
#[derive(Debug)]
pub struct ThinDelta {
    /// The delta.
    pub delta: Delta,
    /// Of the base, see [`ThinMap::untouched`](super::ThinMap::untouched).
    pub base_untouched: Option<u64>,
    /// Of the new device.
    pub new_untouched: Option<u64>,
    /// What the user should be told, a sentence each.
    pub notices: Vec<String>,
}

/// Which of two devices are known to be as they were made, because they were made so that nobody can write to them. Of
/// the others all of the tree is read to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOnly {
    /// The base.
    pub base: bool,
    /// The new device.
    pub new: bool,
}

/// Reads what differs between an active thin device and its base, which need not be active.
///
/// # Errors
/// A guard's for a device with an external origin: what it has not mapped is not zeros. Else as for one device's map.
pub fn delta_of_thin_device(
    new: &ThinVolume,
    base: BaseDevice,
    read_only: ReadOnly,
    reservations: &Reservations,
    stop: &Stop,
) -> Result<ThinDelta> {
    if let Some(origin) = &new.external_origin {
        let why = format!("what it does not hold itself is read from its external origin {origin}");
        return Err(Error::guard("cannot tell what changed", format!("thin device {}", new.device), why)
            .way_out("send all of it, without --since"));
    }
    let (found, notices) = from_metadata_snapshot(new, reservations, stop, |metadata, superblock| {
        let untouched = |device, read_only| -> Result<Option<u64>> {
            let details = device_details(metadata, superblock, device)?;
            if read_only {
                return Ok(Some(details.mapped_chunks));
            }
            Ok(untouched(mapped_runs(metadata, superblock, device, stop, |_| Ok(()))?, details))
        };
        let delta = read(metadata, superblock, base, new.device, Some(new.size), stop)?;
        Ok((delta, untouched(base.device, read_only.base)?, untouched(new.device, read_only.new)?))
    })?;
    let (delta, base_untouched, new_untouched) = found;
    Ok(ThinDelta { delta, base_untouched, new_untouched, notices })
}

/// Reads what differs between two devices from a plain copy of their pool's metadata. Without `size`, in bytes, the
/// volume ends where the last difference does.
pub fn delta_from_metadata_file(path: &Path, base: u32, new: u32, size: Option<u64>, stop: &Stop) -> Result<Delta> {
    let metadata = Metadata::open(path)?;
    let superblock = metadata.superblock(LIVE_ROOT)?;
    read(&metadata, &superblock, BaseDevice { device: base, size: None }, new, size, stop)
}

fn read(
    metadata: &Metadata,
    superblock: &Superblock,
    base: BaseDevice,
    new: u32,
    size: Option<u64>,
    stop: &Stop,
) -> Result<Delta> {
    let (mut written, mut discarded) = (MapBuilder::new(MapSource::Thin), MapBuilder::new(MapSource::Thin));
    changed_runs(metadata, superblock, base.device, new, stop, |change, run| {
        let extent = chunks(metadata, superblock, new, run)?;
        let map = if change == Change::Written { &mut written } else { &mut discarded };
        map.push(extent.offset, extent.length)
    })?;
    let size = size.unwrap_or(written.end().max(discarded.end()));
    let delta = Delta { written: written.finish(size), discarded: discarded.finish(size) };
    match base.size.filter(|base| *base < size) {
        None => Ok(delta),
        Some(end) => {
            let (mapped, _) = thin_source::read(metadata, superblock, new, stop)?;
            grown(delta, Extent::between(end, size), &mapped.finish(size))
        }
    }
}

/// Adds all of what the volume has grown by: what is mapped there in the new one is written, the rest discarded. The
/// base's tree does not count, for it may have chunks beyond the end that nobody could read when it was sent.
fn grown(delta: Delta, more: Extent, mapped: &UsedMap) -> Result<Delta> {
    let map = |extents: Vec<Extent>| -> Result<UsedMap> {
        let mut map = MapBuilder::new(MapSource::Thin);
        extents.iter().try_for_each(|extent| map.push(extent.offset, extent.length))?;
        Ok(map.finish(mapped.size()))
    };
    let written = delta.written.union(&map(mapped.overlapping(more).collect())?)?;
    let discarded = delta.discarded.union(&map(vec![more])?)?.subtract(&written)?;
    Ok(Delta { written, discarded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(size: u64, extents: &[(u64, u64)]) -> UsedMap {
        let mut map = MapBuilder::new(MapSource::Thin);
        extents.iter().for_each(|&(offset, length)| map.push(offset, length).expect("in order"));
        map.finish(size)
    }

    #[test]
    fn what_a_volume_has_grown_by_is_all_in_its_delta() {
        let delta = Delta { written: map(100, &[(0, 10)]), discarded: map(100, &[(20, 10)]) };
        // Shared chunks at 40 and 60 to 80; the base ended at 70.
        let mapped = map(100, &[(0, 10), (40, 10), (60, 20)]);
        let grown = grown(delta, Extent::between(70, 100), &mapped).expect("in order");
        assert_eq!(grown.written, map(100, &[(0, 10), (70, 10)]));
        assert_eq!(grown.discarded, map(100, &[(20, 10), (80, 20)]));
    }
}
