//! Which LV a name stands for, if any.
//!
//! In: `vg/lv`, `/dev/vg/lv`, `/dev/mapper/...`, `/dev/dm-N`, or any other path. Out: the LV, active or not; nothing
//! where the name is that of a file, of another device, or of a file yet to be made. Nothing is changed.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path};

use nix::sys::stat;
use nix::unistd::geteuid;

use super::{LogicalVolume, Lvm, PACKAGE};
use crate::error::{Error, Result, Status};

impl Lvm {
    /// The LV that `name` stands for; `None` where it is no LV, which is for the caller to open as a path.
    ///
    /// # Errors
    /// When LVM cannot be asked; and for `vg/lv` where there is neither an LV nor a file of this name nor a
    /// directory that a file of this name could be made in.
    pub fn resolve(&self, name: &str) -> Result<Option<LogicalVolume>> {
        let path = Path::new(name);
        match fs::metadata(path) {
            Ok(found) if found.file_type().is_block_device() => self.of_device(found.rdev()),
            Ok(_) => Ok(None),
            Err(_) if path.is_absolute() => self.of_missing_node(path),
            Err(_) => self.of_full_name(name),
        }
    }

    fn of_device(&self, number: u64) -> Result<Option<LogicalVolume>> {
        let (major, minor) = (stat::major(number), stat::minor(number));
        // No such file: no device-mapper device, so no LV.
        let uuid = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/dm/uuid")).unwrap_or_default();
        match lv_uuid(uuid.trim_end()) {
            Some(uuid) => self.find_by_uuid(&uuid),
            None => Ok(None),
        }
    }

    /// An LV that is not active has no node: `/dev/vg/lv` and `/dev/mapper/vg-lv` are names all the same.
    fn of_missing_node(&self, path: &Path) -> Result<Option<LogicalVolume>> {
        let Ok(below) = path.strip_prefix("/dev") else { return Ok(None) };
        if !self.is_installed() {
            return Ok(None);
        }
        match names(below).as_deref() {
            Some(["mapper", _]) => self.find_by_path(path),
            Some([vg, lv]) => self.find(vg, lv),
            _ => Ok(None),
        }
    }

    fn of_full_name(&self, name: &str) -> Result<Option<LogicalVolume>> {
        let names = names(Path::new(name));
        let Some([vg, lv]) = names.as_deref() else { return Ok(None) };
        let could_be_a_file = Path::new(vg).is_dir();
        if could_be_a_file && !(self.is_installed() && geteuid().is_root()) {
            // LVM would not tell, and its volumes could not be used.
            return Ok(None);
        }
        if !self.is_installed() {
            let error = Error::new(Status::Io, "cannot look for a logical volume", name, "LVM is not installed");
            return Err(error.way_out(format!("apt install {PACKAGE}, or name a file whose directory exists")));
        }
        match self.find(vg, lv)? {
            None if !could_be_a_file => {
                let why = "there is neither a logical volume nor a file of this name";
                Err(Error::new(Status::Io, "no such volume", name, why).way_out("lvs lists the logical volumes"))
            }
            found => Ok(found),
        }
    }
}

/// The names between the slashes, if they are such as LVM allows (lvm(8), VALID NAMES) and nothing else.
fn names(path: &Path) -> Option<Vec<&str>> {
    path.components()
        .map(|component| match component {
            Component::Normal(name) => name.to_str().filter(|name| is_valid(name)),
            _ => None,
        })
        .collect()
}

/// Whether LVM would allow an LV or a group to have this name.
pub(super) fn is_valid(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte);
    !name.is_empty() && name.len() <= 127 && !name.starts_with('-') && name.bytes().all(allowed)
}

/// The LV's own id in the id of its device: `LVM-`, 32 letters for the group, 32 for the LV. Devices with something
/// after that are layers below an LV and not the LV itself.
pub(super) fn lv_uuid(device: &str) -> Option<String> {
    let ids = device.strip_prefix("LVM-").filter(|ids| ids.len() == 64 && ids.is_ascii())?;
    let (mut rest, mut groups) = (&ids[32..], Vec::new());
    for length in [6, 4, 4, 4, 4, 4, 6] {
        let (group, more) = rest.split_at(length);
        groups.push(group);
        rest = more;
    }
    Some(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_device_holds_the_id_of_its_lv() {
        let device = "LVM-fCKqDcizZMoRi33Nh6bOhLjf6h4diQuqngZuTGwV9eSh2veiJPlHtppuETdwqbPT";
        assert_eq!(lv_uuid(device).as_deref(), Some("ngZuTG-wV9e-Sh2v-eiJP-lHtp-puET-dwqbPT"));
        for other in [&format!("{device}-tpool"), "CRYPT-LUKS2-0123", "LVM-short", ""] {
            assert_eq!(lv_uuid(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_lvm_allows_is_a_name() {
        for name in ["vg", "a-b", "vm1.lvpipe-0123abcd", "_x", "A+b"] {
            assert!(is_valid(name), "{name}");
        }
        let long = "x".repeat(128);
        for name in ["", "-x", "a b", "a\"b", "ä", &long] {
            assert!(!is_valid(name), "{name}");
        }
    }
}
