//! The map of a thin volume: of a device in an active pool, or from a saved copy of a pool's metadata.
//!
//! In: a [`ThinVolume`], or a file and a device id. Out: the map, and what the user should be told. On the caller's
//! thread; the pool's metadata snapshot is held from just before to just after its blocks are read. The map is that
//! of the moment the snapshot is taken: what is written to the volume later is not in it, so the volume must stand
//! still, as a snapshot does, from before this until it has been read.

use std::path::Path;

use super::{Extent, MapBuilder, MapSource, UsedMap};
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{
    DeviceDetails, LIVE_ROOT, Mapped, Metadata, MetadataSnapshot, Run, Superblock, ThinVolume, device_details,
    mapped_runs,
};

/// A map, and what happened on the way to it.
#[derive(Debug)]
pub struct ThinMap {
    /// The map.
    pub map: UsedMap,
    /// Of a snapshot that nobody has written to since it was taken, how many chunks it has mapped. With the snapshot's
    /// own name, that tells one state of it from another: data that is written is mapped anew, as all of a snapshot is
    /// shared, and what is discarded leaves fewer.
    pub untouched: Option<u64>,
    /// What was cleaned up, or what the map does not tell: a sentence each, for the user.
    pub notices: Vec<String>,
}

/// Reads the map of a thin device.
///
/// With an external origin nothing of the volume is known to be a hole: where the device has no mapping, the
/// origin is read. Everything counts as data then, and a notice says so.
pub fn from_thin_device(volume: &ThinVolume, reservations: &Reservations, stop: &Stop) -> Result<ThinMap> {
    if let Some(origin) = &volume.external_origin {
        let notice =
            format!("what the volume does not hold itself is read from its external origin {origin}: no map");
        return Ok(ThinMap { map: UsedMap::everything(volume.size), untouched: None, notices: vec![notice] });
    }
    let ((map, mapped, details), notices) =
        from_metadata_snapshot(volume, reservations, stop, |metadata, superblock| {
            let (map, mapped) = read(metadata, superblock, volume.device, stop)?;
            Ok((map.finish(volume.size), mapped, device_details(metadata, superblock, volume.device)?))
        })?;
    Ok(ThinMap { map, untouched: untouched(mapped, details), notices })
}

/// By what it is seen that somebody has written to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The device's id in its pool.
    pub device: u32,
    /// The pool's time when it was made, as of the snapshot of another device.
    pub creation_time: u32,
    /// What it has mapped.
    pub mapped: Mapped,
    /// The pool's time when a snapshot of it was last taken: what is written later is mapped at this time or later.
    pub snapshot_time: u32,
}

/// Reads the stamp of an active device.
pub fn stamp_of_thin_device(volume: &ThinVolume, reservations: &Reservations, stop: &Stop) -> Result<Stamp> {
    let (stamp, _) = from_metadata_snapshot(volume, reservations, stop, |metadata, superblock| {
        let mapped = mapped_runs(metadata, superblock, volume.device, stop, |_| Ok(()))?;
        let details = device_details(metadata, superblock, volume.device)?;
        let DeviceDetails { creation_time, snapshot_time, .. } = details;
        Ok(Stamp { device: volume.device, creation_time, mapped, snapshot_time })
    })?;
    Ok(stamp)
}

/// See [`ThinMap::untouched`].
pub(super) fn untouched(mapped: Mapped, details: DeviceDetails) -> Option<u64> {
    // A device that is no snapshot has mapped all of its chunks since it was made.
    mapped.newest.is_none_or(|newest| newest < details.creation_time).then_some(mapped.chunks)
}

/// Reads something from a metadata snapshot of the volume's pool, which is held meanwhile; and what the user should be
/// told.
pub(super) fn from_metadata_snapshot<T>(
    volume: &ThinVolume,
    reservations: &Reservations,
    stop: &Stop,
    read: impl FnOnce(&Metadata, &Superblock) -> Result<T>,
) -> Result<(T, Vec<String>)> {
    let snapshot = MetadataSnapshot::take(&volume.pool, reservations, stop)?;
    let mut notices = snapshot.notices().to_vec();
    let metadata = Metadata::open(&volume.pool.metadata_path()?)?;
    let superblock = metadata.superblock(snapshot.held_root())?;
    if superblock.chunk_bytes() != volume.pool.chunk_bytes {
        let why = format!(
            "its chunks are of {} bytes, the pool's of {}",
            superblock.chunk_bytes(),
            volume.pool.chunk_bytes
        );
        return Err(Error::guard("cannot read thin metadata", metadata.path().display(), why));
    }
    if superblock.needs_check {
        notices.push(format!("pool {} is marked as in need of thin_check", volume.pool.name));
    }
    let found = read(&metadata, &superblock)?;
    snapshot.release()?;
    Ok((found, notices))
}

/// Reads the map of the device with this id from a plain copy of a pool's metadata, made while the pool was not in
/// use.
///
/// The metadata does not say how large a volume is. Without `size`, in bytes, the map ends where the last mapped
/// chunk does, so it can be shorter than the volume, and longer by part of a chunk.
pub fn from_metadata_file(path: &Path, device: u32, size: Option<u64>, stop: &Stop) -> Result<UsedMap> {
    let metadata = Metadata::open(path)?;
    let superblock = metadata.superblock(LIVE_ROOT)?;
    let (map, _) = read(&metadata, &superblock, device, stop)?;
    let size = size.unwrap_or(map.end());
    Ok(map.finish(size))
}

pub(super) fn read(
    metadata: &Metadata,
    superblock: &Superblock,
    device: u32,
    stop: &Stop,
) -> Result<(MapBuilder, Mapped)> {
    let mut map = MapBuilder::new(MapSource::Thin);
    let mapped = mapped_runs(metadata, superblock, device, stop, |run: Run| {
        let extent = chunks(metadata, superblock, device, run)?;
        map.push(extent.offset, extent.length)
    })?;
    Ok((map, mapped))
}

/// Where a run of a device's chunks lies on its volume.
pub(super) fn chunks(metadata: &Metadata, superblock: &Superblock, device: u32, run: Run) -> Result<Extent> {
    let chunk = superblock.chunk_bytes();
    match (run.begin.checked_mul(chunk), run.length.checked_mul(chunk)) {
        (Some(offset), Some(length)) if offset.checked_add(length).is_some() => Ok(Extent { offset, length }),
        _ => Err(beyond_any_volume(metadata, device, run)),
    }
}

fn beyond_any_volume(metadata: &Metadata, device: u32, run: Run) -> Error {
    let why = format!("device {device} has chunk {} mapped, which is beyond the end of any volume", run.begin);
    Error::guard("cannot read thin metadata", metadata.path().display(), why)
}
