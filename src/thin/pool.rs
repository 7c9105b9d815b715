//! From a device to its pool, and to the pool's metadata device.
//!
//! In: the path or number of a block device. Out: a [`ThinVolume`] and its [`Pool`], asked of `dmsetup` by device
//! number. LVM shows a pool as `vg-pool`, but that may be a mere stand-in for the hidden `vg-pool-tpool`: the thin
//! device's own table names the real one. Nothing is held and nothing is changed here.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::dmsetup::{DeviceNumber, Dmsetup};
use super::table::{PoolStatus, PoolTable, ThinTable};
use crate::error::{Error, Result};

/// A thin device: its place in its pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinVolume {
    /// Its own number.
    pub number: DeviceNumber,
    /// Its size in bytes.
    pub size: u64,
    /// Its id in the pool.
    pub device: u32,
    /// The device that is read where nothing is mapped. With one, what is unmapped is no hole.
    pub external_origin: Option<String>,
    /// The pool.
    pub pool: Pool,
}

/// A thin pool that is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its device-mapper name, such as `vg-pool-tpool`.
    pub name: String,
    /// Data chunk in bytes, 64 KiB to 1 GiB.
    pub chunk_bytes: u64,
    /// Whether what a write leaves of a new chunk reads as zeros.
    pub zeroes_new_chunks: bool,
    metadata: String,
    dmsetup: Dmsetup,
}

impl ThinVolume {
    /// The thin device at this path (`/dev/vg/lv`, `/dev/dm-3`, ...); `None` if it is anything else.
    pub fn at(path: &Path, dmsetup: &Dmsetup) -> Result<Option<Self>> {
        let found = std::fs::metadata(path).map_err(|why| Error::io("cannot open", path.display(), &why))?;
        let number = DeviceNumber::from_rdev(found.rdev());
        if !found.file_type().is_block_device() || !in_sysfs(number).join("dm").exists() {
            return Ok(None);
        }
        Self::of_number(number, dmsetup)
    }

    /// The thin device at this path, which is known to be a snapshot of this one: of its pool nothing is asked again.
    ///
    /// # Errors
    /// A guard's for what is no thin device; dmsetup's words.
    pub fn snapshot_at(&self, path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|why| Error::io("cannot open", path.display(), &why))?;
        let number = DeviceNumber::from_rdev(found.rdev());
        let [major, minor] = number.arguments();
        let table = self.pool.dmsetup.run(&["table", &major, &minor])?;
        let table = ThinTable::parse(&table).map_err(|why| odd(number, why))?;
        let table = table.ok_or_else(|| odd(path.display(), "it is no thin device".into()))?;
        let size = table.sectors.checked_mul(512).ok_or_else(|| odd(number, "its size overflows".into()))?;
        let pool = self.pool.clone();
        Ok(ThinVolume { number, size, device: table.device, external_origin: table.external_origin, pool })
    }

    /// The thin device with this number, which is a device-mapper device; `None` if it is of another kind.
    pub fn of_number(number: DeviceNumber, dmsetup: &Dmsetup) -> Result<Option<Self>> {
        let [major, minor] = number.arguments();
        let table = dmsetup.run(&["table", &major, &minor])?;
        let Some(table) = ThinTable::parse(&table).map_err(|why| odd(number, why))? else { return Ok(None) };
        let size = table.sectors.checked_mul(512).ok_or_else(|| odd(number, "its size overflows".into()))?;
        let pool = Pool::of_number(table.pool, dmsetup)?;
        Ok(Some(ThinVolume { number, size, device: table.device, external_origin: table.external_origin, pool }))
    }
}

impl Pool {
    fn of_number(number: DeviceNumber, dmsetup: &Dmsetup) -> Result<Self> {
        let [major, minor] = number.arguments();
        let table = dmsetup.run(&["table", &major, &minor])?;
        let table = PoolTable::parse(&table).map_err(|why| odd(number, why))?;
        let name = dmsetup.run(&["info", "-c", "--noheadings", "-o", "name", &major, &minor])?;
        let chunk_bytes = u64::from(table.chunk_sectors) * 512;
        let zeroes_new_chunks = table.zeroes_new_chunks;
        Ok(Pool { name, chunk_bytes, zeroes_new_chunks, metadata: table.metadata, dmsetup: dmsetup.clone() })
    }

    /// How the pool is right now.
    pub fn status(&self) -> Result<PoolStatus> {
        status(&self.dmsetup, &self.name)
    }

    /// The same without `dmsetup`'s usual request that the pool commit its metadata first, which costs the pool a
    /// flush: for who asks often. The mode is right at any time, the counts may be those of the last commit.
    pub fn glance(&self) -> Result<PoolStatus> {
        let status = self.dmsetup.run(&["status", "--noflush", &self.name])?;
        PoolStatus::parse(&status).map_err(|why| odd(&self.name, why))
    }

    /// The metadata device's path. A table can name a device by path too; the kernel prints numbers.
    pub fn metadata_path(&self) -> Result<PathBuf> {
        if self.metadata.starts_with('/') {
            return Ok(PathBuf::from(&self.metadata));
        }
        let number: DeviceNumber = self.metadata.parse().map_err(|why| odd(&self.name, why))?;
        // Not /dev/block/M:N: that link is udev's, the node itself is the kernel's.
        let uevent = in_sysfs(number).join("uevent");
        let text = std::fs::read_to_string(&uevent)
            .map_err(|why| Error::io("cannot find the pool's metadata device", uevent.display(), &why))?;
        let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        name.map(|name| Path::new("/dev").join(name))
            .ok_or_else(|| odd(&self.name, format!("its metadata device {number} has no name")))
    }

    pub(super) fn dmsetup(&self) -> &Dmsetup {
        &self.dmsetup
    }
}

/// How the pool of this device-mapper name is right now.
pub(super) fn status(dmsetup: &Dmsetup, pool: &str) -> Result<PoolStatus> {
    PoolStatus::parse(&dmsetup.run(&["status", pool])?).map_err(|why| odd(pool, why))
}

/// Sends a message to the pool of this device-mapper name.
pub(super) fn message(dmsetup: &Dmsetup, pool: &str, text: &str) -> Result<()> {
    dmsetup.run(&["message", pool, "0", text]).map(|_| ())
}

fn in_sysfs(number: DeviceNumber) -> PathBuf {
    Path::new("/sys/dev/block").join(number.to_string())
}

fn odd(device: impl std::fmt::Display, why: String) -> Error {
    Error::guard("cannot use thin device", device, why)
}
