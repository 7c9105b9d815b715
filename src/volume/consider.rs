//! Whether a volume of some size could be received here, for those who only ask: past the guards, and no further.
//!
//! In: a target's name. Out: what the user should know, or a guard's refusal. Nothing is written, made or made active;
//! so what can only be seen of a device that is there is not seen of an LV that is not active. What lvpipes that were
//! killed have left is cleaned up, as by any run.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::lvm::{LogicalVolume, Lvm, check_new};
use super::open_source::clean_up;
use super::open_target::{refuse_new_device, refuse_own_source};
use super::{BlockTarget, Discards, Expected, FileTarget, NewVolume, guards};
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;

/// Looks at a target for all of a volume of `size` bytes, which is read by who `identity` says
/// ([`identity`](super::identity)).
///
/// # Errors
/// A guard's, as [`open_target`](super::open_target()) would give it; or the system's.
pub fn consider_target(name: &str, size: u64, identity: Option<&str>, stop: &Stop) -> Result<Vec<String>> {
    let expected = Expected { size: Some(size), source: identity, ..Expected::default() };
    let lvm = Lvm::default();
    if let Some(volume) = lvm.resolve(name)? {
        let mut notices = clean_up(&lvm, &Reservations::open(), stop)?;
        notices.extend(consider_lv(&volume, expected, stop)?);
        return Ok(notices);
    }
    let path = Path::new(name);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            refuse_new_device(path, name)?;
            guards::refuse_if_dangling(name, path)?;
            return consider_new_file(path, name);
        }
        Err(e) => return Err(guards::cannot_open_file(name, &e)),
    };
    refuse_own_source(name, expected, &metadata)?;
    if metadata.is_file() {
        FileTarget::open(path, name)?;
        return Ok(vec![format!("{name} is there: what it holds would be overwritten")]);
    }
    if metadata.is_dir() {
        return Err(Error::guard("target refused", name, "it is a directory")
            .way_out(format!("name the file in it: {}/NAME", name.trim_end_matches('/'))));
    }
    consider_device(path, name, size, stop)
}

/// Looks whether a thin LV could be made.
///
/// # Errors
/// A guard's, as [`create_target`](super::create_target) would give it.
pub fn consider_new(new: &NewVolume, stop: &Stop) -> Result<Vec<String>> {
    let lvm = Lvm::default();
    let mut notices = clean_up(&lvm, &Reservations::open(), stop)?;
    check_new(&lvm, new.vg(), new.pool(), new.name())?;
    notices.push(format!("{}/{} would be made, in pool {}", new.vg(), new.name(), new.pool()));
    Ok(notices)
}

fn consider_lv(volume: &LogicalVolume, expected: Expected<'_>, stop: &Stop) -> Result<Vec<String>> {
    let (name, size) = (volume.full_name(), expected.size.unwrap_or(0));
    if volume.is_thin_pool() {
        return Err(Error::guard("target refused", &name, "it is a thin pool, not a volume in it")
            .way_out(format!("to make a volume in it: --create and {name}:NAME")));
    }
    if volume.is_read_only() {
        return Err(guards::read_only(&name));
    }
    guards::refuse_if_smaller(&name, volume.size, size)?;
    if !volume.is_active() {
        return Ok(vec![format!("{name} would be made active, and what it holds be overwritten")]);
    }
    let metadata = fs::metadata(&volume.path).map_err(|e| Error::io("cannot open target", &name, &e))?;
    refuse_own_source(&name, expected, &metadata)?;
    consider_device(&volume.path, &name, size, stop)
}

fn consider_device(path: &Path, name: &str, size: u64, stop: &Stop) -> Result<Vec<String>> {
    let device = BlockTarget::open(path, name, Discards::Unknown, stop)?;
    guards::refuse_if_smaller(name, device.size(), size)?;
    Ok(vec![format!("what {name} holds would be overwritten")])
}

fn consider_new_file(path: &Path, name: &str) -> Result<Vec<String>> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(parent, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|e| guards::cannot_open_file(name, &e.into()))?;
    Ok(vec![format!("{} would be made", OsStr::new(name).display())])
}
