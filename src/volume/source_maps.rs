//! Which maps a source has: its used map, or with a base what changed since.
//!
//! In: what is to be read, and the user's choice. Out: [`Maps`]. On the caller's thread, while the volume stands still.

use std::path::Path;

use super::lvm::{LogicalVolume, Lvm};
use super::open_source::Since;
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{Dmsetup, ThinVolume};
use crate::usedmap::{self, BaseDevice, Delta, ReadOnly, UsedMap};

/// The maps of a source.
pub(super) struct Maps {
    /// What holds data; with a base, what was written since.
    pub(super) map: UsedMap,
    /// With a base, what was discarded since.
    pub(super) discarded: Option<UsedMap>,
    /// See [`usedmap::ThinMap::untouched`].
    pub(super) untouched: Option<u64>,
    /// The base's.
    pub(super) base_untouched: Option<u64>,
    /// What the user should know.
    pub(super) notices: Vec<String>,
}

impl From<UsedMap> for Maps {
    fn from(map: UsedMap) -> Self {
        Maps { map, discarded: None, untouched: None, base_untouched: None, notices: Vec::new() }
    }
}

impl From<Delta> for Maps {
    fn from(delta: Delta) -> Self {
        Maps { discarded: Some(delta.discarded), ..Maps::from(delta.written) }
    }
}

/// A base that was found.
pub(super) struct Base {
    pub(super) volume: LogicalVolume,
    /// Whether nobody can have written to the volume that is compared with it.
    pub(super) new_was_made_read_only: bool,
}

/// From a saved copy of a pool's metadata.
pub(super) fn saved(file: &Path, device: u32, since: Option<&Since>, size: u64, stop: &Stop) -> Result<Maps> {
    match since {
        None => usedmap::from_metadata_file(file, device, Some(size), stop).map(Maps::from),
        Some(Since::Device(base)) => {
            usedmap::delta_from_metadata_file(file, *base, device, Some(size), stop).map(Maps::from)
        }
        Some(Since::Volume(base)) => Err(Error::usage(
            "cannot tell what changed",
            base.display(),
            "in a saved copy of the metadata devices have ids",
        )
        .way_out("--since-thin-id ID")),
    }
}

/// Of a device as `dmsetup` and the pool's metadata tell it.
pub(super) fn of_device(path: &Path, size: u64, base: Option<&Base>, stop: &Stop) -> Result<Maps> {
    let thin = ThinVolume::at(path, &Dmsetup::default())?;
    let (Some(thin), Some(base)) = (&thin, base) else {
        let Some(thin) = thin else { return Ok(UsedMap::everything(size).into()) };
        let found = usedmap::from_thin_device(&thin, &Reservations::open(), stop)?;
        return Ok(Maps { untouched: found.untouched, notices: found.notices, ..found.map.into() });
    };
    let device = base.volume.thin_id.ok_or_else(|| not_thin(&base.volume))?;
    let device = BaseDevice { device, size: Some(base.volume.size) };
    let read_only = ReadOnly { base: base.volume.was_made_read_only(), new: base.new_was_made_read_only };
    let found = usedmap::delta_of_thin_device(thin, device, read_only, &Reservations::open(), stop)?;
    let (untouched, base_untouched) = (found.new_untouched, found.base_untouched);
    Ok(Maps { untouched, base_untouched, notices: found.notices, ..found.delta.into() })
}

/// The base of a thin volume, by name.
///
/// # Errors
/// A usage error for what is no thin volume of the same pool.
pub(super) fn base_of(lvm: &Lvm, volume: &LogicalVolume, base: &std::ffi::OsStr) -> Result<LogicalVolume> {
    let wrong = |why: String| Error::usage("cannot tell what changed", volume.full_name(), why);
    let found = base.to_str().map_or(Ok(None), |name| lvm.resolve(name))?;
    let found = found.ok_or_else(|| wrong(format!("the base {} is no logical volume", base.display())))?;
    if !volume.is_thin() {
        return Err(wrong("it is no thin volume, so nothing tells what was written to it".into()));
    }
    if !found.is_thin() {
        return Err(not_thin(&found));
    }
    if (&found.vg, &found.pool) != (&volume.vg, &volume.pool) {
        return Err(wrong(format!("the base {} is in another pool", found.full_name())));
    }
    Ok(found)
}

/// After the maps were read: refuses what they tell if the base's device may have been another's by then. LVM gives the
/// id of one that was removed to the next that is made.
pub(super) fn check_base(lvm: &Lvm, base: &LogicalVolume) -> Result<()> {
    if lvm.has_its_device(base)? {
        return Ok(());
    }
    let why = "it was removed, or got another device, just now";
    Err(Error::guard("cannot tell what changed", base.full_name(), why).way_out("run it again with another base"))
}

fn not_thin(base: &LogicalVolume) -> Error {
    Error::usage("cannot tell what changed", base.full_name(), "the base is no thin volume")
}
