//! What a name stands for as a target, for those who look before they send: nothing is opened for writing, and nothing
//! is changed, but that an LV which is not active is made active for the moment.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::lineage::{Place, stamp};
use super::lvm::{Activation, LogicalVolume, Lvm};
use super::open_source::clean_up;
use super::{JournalPlace, NewVolume, STREAM, Standing, find_journal, guards};
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;

/// What kind of volume can be a target again and again: it is kept with it what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// A thin LV.
    Thin,
    /// Another LV.
    Plain,
    /// An image file.
    File,
}

/// A target that is there.
#[derive(Debug)]
pub struct FoundTarget {
    /// What it is.
    pub kind: TargetKind,
    /// In bytes.
    pub size: u64,
    /// Nothing was ever written to it, as far as that can be seen.
    pub is_empty: bool,
    /// What it held when the last transfer to it ended.
    pub standing: Option<Standing>,
    /// Whether nobody has written to it since, where that is known.
    pub is_as_it_was: Option<bool>,
    /// Of an LV, what LVM says of it.
    pub volume: Option<LogicalVolume>,
    /// What was cleaned up, or else is to be known.
    pub notices: Vec<String>,
}

/// Looks for a target of this name; with `new`, for the LV that is to be made if it is not there. Then the place of its
/// journal, which may be there without it: a new file is only named when it is whole.
///
/// # Errors
/// A guard's for what cannot be one; LVM's, when it cannot be asked; or the system's.
pub fn find_target(
    name: &OsStr,
    new: Option<&NewVolume>,
    stop: &Stop,
) -> Result<(Option<FoundTarget>, Option<JournalPlace>)> {
    let lvm = Lvm::default();
    let refused = |why: &str| Error::guard("target refused", name.display(), why);
    if name == STREAM {
        return Err(refused("a pipe keeps nothing that a later delta could be applied to"));
    }
    let volume = match (new, name.to_str()) {
        (Some(new), _) => lvm.find(new.vg(), new.name())?,
        (None, Some(name)) => lvm.resolve(name)?,
        // LVM's names are ASCII; a file's may be anything.
        (None, None) => None,
    };
    if let Some(volume) = volume {
        let journal = JournalPlace::of_lv(&volume);
        let notices = clean_up(&lvm, &Reservations::open(), stop)?;
        let found = found_lv(&lvm, volume, stop)?;
        return Ok((Some(FoundTarget { notices: [notices, found.notices].concat(), ..found }), Some(journal)));
    }
    if new.is_some() {
        return Ok((None, None));
    }
    let (path, shown) = (Path::new(name), &*name.to_string_lossy());
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {
            Ok((Some(found_file(path, shown, stop)?), Some(JournalPlace::beside(path, shown, &found))))
        }
        Ok(found) if found.is_dir() => Err(refused("it is a directory")),
        Ok(_) => Err(refused("of such a device it is not kept what it holds").way_out("make it a logical volume")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((None, find_journal(name)?)),
        Err(e) => Err(guards::cannot_open_file(shown, &e)),
    }
}

/// Looks at an LV, of which LVM has just told this.
///
/// # Errors
/// As [`find_target`].
pub fn found_lv(lvm: &Lvm, volume: LogicalVolume, stop: &Stop) -> Result<FoundTarget> {
    let name = volume.full_name();
    if volume.is_thin_pool() {
        return Err(Error::guard("target refused", &name, "it is a thin pool, not a volume in it"));
    }
    let activation = Activation::of(lvm, &volume, &Reservations::open())?;
    let is_thin = volume.is_thin();
    // No tree is read where nothing is to be compared with it.
    let is_empty = is_thin && volume.holds().is_none() && stamp(&volume, stop)?.mapped.chunks == 0;
    let place = Place::Lv(lvm.clone(), Box::new(volume.clone()));
    let (standing, is_as_it_was) = standing(&place, &name, stop)?;
    let notices = activation.map_or(Ok(None), Activation::end)?.into_iter().collect();
    Ok(FoundTarget {
        kind: if is_thin { TargetKind::Thin } else { TargetKind::Plain },
        size: volume.size,
        is_empty,
        standing,
        is_as_it_was,
        volume: Some(volume),
        notices,
    })
}

fn found_file(path: &Path, name: &str, stop: &Stop) -> Result<FoundTarget> {
    let cannot_open = |e: io::Error| guards::cannot_open_file(name, &e);
    let file = File::open(path).map_err(cannot_open)?;
    let metadata = file.metadata().map_err(cannot_open)?;
    let place = Place::File(file);
    let (standing, is_as_it_was) = standing(&place, name, stop)?;
    Ok(FoundTarget {
        kind: TargetKind::File,
        size: metadata.len(),
        is_empty: metadata.blocks() == 0,
        standing,
        is_as_it_was,
        volume: None,
        notices: Vec::new(),
    })
}

fn standing(place: &Place, name: &str, stop: &Stop) -> Result<(Option<Standing>, Option<bool>)> {
    let standing = place.standing(name)?;
    let is_as_it_was = match &standing {
        Some(Standing::At { mark, .. }) => place.is_as_marked(*mark, name, stop)?,
        _ => None,
    };
    Ok((standing, is_as_it_was))
}
