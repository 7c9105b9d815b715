//! dm-thin: what a thin device has mapped, read from its pool's metadata.
//!
//! In: a device ([`ThinVolume`], asked of `dmsetup`), or a file with a saved copy of a pool's metadata. Out: the
//! mapped [`Run`]s of one device in order ([`mapped_runs`]), what differs between two ([`changed_runs`]), the facts about
//! a device ([`device_details`]) and about its pool. An active pool's metadata is read from a [`MetadataSnapshot`],
//! which is held only while it is read. All on the caller's thread, which starts a few short-lived ones to read blocks
//! ([`metadata`]). Memory is a constant few MiB however large the
//! metadata is. Every block that is used is checked, by checksum, place, order of keys and count of mappings: what
//! is damaged ends in an error that names the block, never in a map with something missing.
//!
//! The layout is that of the kernel, `drivers/md/dm-thin-metadata.c` and `drivers/md/persistent-data/`: blocks of
//! 4096 bytes, little-endian, numbered from 0. Block 0 is the superblock; a metadata snapshot is a copy of it in
//! another block, the held root. It points to a B-tree of devices' details and to a B-tree of two levels: device id
//! -> root of that device's tree; virtual chunk -> data chunk and time. Trees share blocks after a snapshot.

pub mod block_time;
pub mod delta;
pub mod details;
pub mod dmsetup;
pub mod error;
pub mod metadata;
pub mod pool;
pub mod runs;
pub mod snapshot;
pub mod superblock;
pub mod table;

mod lookup;
mod node;
mod nodes;
mod walk;

pub use delta::{Change, changed_runs};
pub use details::{DeviceDetails, device_details, devices};
pub use dmsetup::{DeviceNumber, Dmsetup};
pub use error::ThinError;
pub use metadata::Metadata;
pub use pool::{Pool, ThinVolume};
pub use runs::{Mapped, Run, mapped_runs};
pub use snapshot::{MetadataSnapshot, release_left_behind};
pub use superblock::{LIVE_ROOT, Superblock};
