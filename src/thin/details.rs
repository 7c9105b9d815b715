//! The devices of a pool and the facts about each.
//!
//! In: a superblock. Out: [`DeviceDetails`], of one device by its id, or of all in order. On disk, 24 bytes: u64
//! mapped chunks, u64 transaction id, u32 creation time, u32 snapshot time (`struct disk_device_details` in the
//! kernel's `dm-thin-metadata.c`).

use super::error::{Checked, ThinError};
use super::metadata::Metadata;
use super::superblock::Superblock;
use super::{lookup, walk};
use crate::error::Result;
use crate::stop::Stop;

const SIZE: usize = 24;

/// How many ids a message lists at the most.
const MOST_LISTED: usize = 10;

/// What the pool knows of one thin device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDetails {
    /// How many chunks are mapped, those shared with snapshots included.
    pub mapped_chunks: u64,
    /// The pool's transaction id when the device was made.
    pub transaction_id: u64,
    /// The pool's time when the device was made.
    pub creation_time: u32,
    /// The pool's time when it was last a snapshot's origin, or was made one itself.
    pub snapshot_time: u32,
}

impl DeviceDetails {
    fn unpack(bytes: [u8; SIZE]) -> Self {
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
        DeviceDetails {
            mapped_chunks: long(0),
            transaction_id: long(8),
            creation_time: short(16),
            snapshot_time: short(20),
        }
    }
}

/// The facts about the device with this id. Fails if the pool has none.
pub fn device_details(metadata: &Metadata, superblock: &Superblock, device: u32) -> Result<DeviceDetails> {
    find(metadata, superblock, device).map_err(|why| why.on(metadata.path()))
}

/// All devices of the pool with their ids, in order. Takes 32 bytes for each.
pub fn devices(metadata: &Metadata, superblock: &Superblock, stop: &Stop) -> Result<Vec<(u32, DeviceDetails)>> {
    list(metadata, superblock, stop).map_err(|why| why.on(metadata.path()))
}

pub(super) fn find(metadata: &Metadata, superblock: &Superblock, device: u32) -> Checked<DeviceDetails> {
    match lookup::value(metadata, superblock.details_root, u64::from(device))? {
        Some(bytes) => Ok(DeviceDetails::unpack(bytes)),
        None => Err(no_device(device, &list(metadata, superblock, &Stop::new())?)),
    }
}

fn list(metadata: &Metadata, superblock: &Superblock, stop: &Stop) -> Checked<Vec<(u32, DeviceDetails)>> {
    let mut all = Vec::new();
    walk::leaves(metadata, superblock.details_root, SIZE, stop, &mut |leaf| {
        for (entry, id) in leaf.keys().enumerate() {
            // Ids have 24 bits.
            let id = u32::try_from(id)
                .map_err(|_| ThinError::damaged(leaf.number(), format!("no device has the id {id}")))?;
            all.push((id, DeviceDetails::unpack(leaf.value(entry))));
        }
        Ok(())
    })?;
    Ok(all)
}

fn no_device(device: u32, all: &[(u32, DeviceDetails)]) -> ThinError {
    let mut there: Vec<_> = all.iter().take(MOST_LISTED).map(|(id, _)| id.to_string()).collect();
    if all.len() > MOST_LISTED {
        there.push(format!("... ({} in all)", all.len()));
    }
    let there = if all.is_empty() { "it has none".into() } else { format!("it has {}", there.join(", ")) };
    ThinError::NoDevice { device, there }
}
