//! Where the journal of a transfer to a target lies, and which target it is of.
//!
//! Beside a file, as `NAME.lvpipe-journal`, whether the file is there already or is `NAME.partial` until it is whole.
//! For devices under `/var/lib/lvpipe`, or what the environment's `LVPIPE_STATE_DIR` says, named after the device: a
//! device's name is not a place for files, and the journal must outlive the boot.
//!
//! Names are given again: to another LV, another disk, another file. So a place knows its target's identity as well,
//! which is written into the journal and compared: an LV's UUID, a disk's own id, a file's inode.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::lvm::{LogicalVolume, Lvm};
use super::partial_file::partial_path;
use super::{STREAM, guards};
use crate::error::{Error, Result};
use crate::file_name;

const STATE_DIRECTORY: &str = "/var/lib/lvpipe";
const SUFFIX: &str = ".lvpipe-journal";

/// Where a target's journal lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPlace {
    path: PathBuf,
    name: String,
    identity: String,
    /// Whether its directory is lvpipe's own, to be made if there is none.
    in_state_directory: bool,
}

impl JournalPlace {
    /// The journal's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The target's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells the target from another one that gets its name later on.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What to tell after a transfer that failed, once the journal is closed: how it can be gone on with. `None` where
    /// there is no journal, because nothing was recorded.
    pub fn left_behind(&self) -> Option<String> {
        fs::symlink_metadata(&self.path).ok()?;
        let partial = self.path.with_extension("partial");
        let (is_new, journal) = (!self.in_state_directory && partial.exists(), self.path.display());
        Some(match is_new {
            true => format!(
                "what has arrived is in {}: go on with --resume, or remove it and {journal}",
                partial.display()
            ),
            false => format!("what has arrived is in {}: go on with --resume, or remove {journal}", self.name),
        })
    }

    /// Beside a file, of which `metadata` is: under its name or under that of a file that is not whole.
    pub(super) fn beside(path: &Path, name: &str, metadata: &Metadata) -> Self {
        JournalPlace {
            path: path_beside(path),
            name: name.into(),
            identity: format!("file {}", metadata.ino()),
            in_state_directory: false,
        }
    }

    /// Whether a journal lies beside this file.
    pub(super) fn is_beside(path: &Path) -> bool {
        fs::symlink_metadata(path_beside(path)).is_ok_and(|found| found.is_file())
    }

    pub(super) fn of_lv(volume: &LogicalVolume) -> Self {
        // A name of a group or an LV has no slash.
        Self::in_state_directory("lv", volume.full_name().as_bytes(), &volume.full_name(), &volume.uuid)
    }

    pub(super) fn of_device(path: &Path, name: &str, metadata: &Metadata) -> Self {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let number = format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev()));
        let identity = device_id(&Path::new("/sys/dev/block").join(number));
        Self::in_state_directory("device", path.as_os_str().as_bytes(), name, &identity)
    }

    fn in_state_directory(kind: &str, target: &[u8], name: &str, identity: &str) -> Self {
        let named = std::env::var_os("LVPIPE_STATE_DIR").filter(|name| !name.is_empty());
        let directory = named.map_or_else(|| PathBuf::from(STATE_DIRECTORY), PathBuf::from);
        JournalPlace {
            path: directory.join(format!("{kind}-{}{SUFFIX}", file_name::encoded(target))),
            name: name.into(),
            identity: format!("{kind} {identity}"),
            in_state_directory: true,
        }
    }

    /// Makes the directory, if it is lvpipe's own; refuses one that others can write to: what lies there makes a
    /// later run trust what a device holds.
    ///
    /// # Errors
    /// A guard's, or the system's.
    pub(crate) fn make_directory(&self) -> Result<()> {
        let Some(directory) = self.path.parent().filter(|_| self.in_state_directory) else { return Ok(()) };
        let failed = |e: io::Error| {
            Error::io("cannot use the directory of journals", directory.display(), &e)
                .way_out("run lvpipe as root, or name a directory of your own in LVPIPE_STATE_DIR")
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let found = fs::metadata(directory).map_err(failed)?;
        let us = nix::unistd::geteuid().as_raw();
        if found.uid() == us && found.mode() & 0o022 == 0 {
            return Ok(());
        }
        let why = "it belongs to another user, or others than its owner can write to it";
        Err(Error::guard("cannot use the directory of journals", directory.display(), why)
            .way_out(format!("chmod 700 {0}; chown {us} {0}", directory.display())))
    }
}

/// Finds the place for a target of this name, without opening it; `None` where there is nothing that could have a
/// journal.
///
/// # Errors
/// LVM's, when it cannot be asked; or the system's.
pub fn find_journal(name: &OsStr) -> Result<Option<JournalPlace>> {
    if name == STREAM {
        return Ok(None);
    }
    if let Some(name) = name.to_str()
        && let Some(volume) = Lvm::default().resolve(name)?
    {
        return Ok(Some(JournalPlace::of_lv(&volume)));
    }
    let (path, name) = (Path::new(name), &*name.to_string_lossy());
    let found = fs::metadata(path).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => fs::symlink_metadata(partial_path(path)),
        _ => Err(e),
    });
    match found {
        Ok(found) if found.is_file() => Ok(Some(JournalPlace::beside(path, name, &found))),
        Ok(found) if found.file_type().is_block_device() => Ok(Some(JournalPlace::of_device(path, name, &found))),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(guards::cannot_open_file(name, &e)),
    }
}

fn path_beside(path: &Path) -> PathBuf {
    // However it is named, by whichever link: one file has one journal.
    let mut path = fs::canonicalize(path).unwrap_or_else(|_| path.into()).into_os_string();
    path.push(SUFFIX);
    path.into()
}

/// What the system knows a device by that stays when it is rebooted or plugged elsewhere; its size where there is
/// nothing else.
fn device_id(sys: &Path) -> String {
    let read = |file: &str| fs::read_to_string(sys.join(file)).ok().map(|text| text.trim().to_string());
    let size = read("size").unwrap_or_default();
    if let Some(partition) = read("partition") {
        // The kernel's own links lead from a number to the partition's directory in its disk's.
        let disk = fs::canonicalize(sys).ok().and_then(|own| own.parent().map(device_id)).unwrap_or_default();
        return format!("{disk} partition {partition} at {} {size}", read("start").unwrap_or_default());
    }
    // Of device-mapper, of NVMe, of SCSI, of virtio, of a loop device.
    let own = ["dm/uuid", "wwid", "device/wwid", "serial", "loop/backing_file"];
    let own = own.into_iter().filter_map(read).find(|id| !id.is_empty());
    format!("{} {size}", own.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_the_place_that_it_has_under_its_name() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("disk.img");
        let name = path.as_os_str();
        assert_eq!(find_journal(name).expect("nothing is wrong"), None);
        fs::write(partial_path(&path), "x").expect("written");
        let partial = find_journal(name).expect("nothing is wrong").expect("it is there");
        assert_eq!(partial.path(), scratch.path().join("disk.img.lvpipe-journal"));
        fs::rename(partial_path(&path), &path).expect("renamed");
        assert_eq!(find_journal(name).expect("nothing is wrong"), Some(partial.clone()));
        // Another file of that name, while the first is there: its inode is another.
        fs::rename(&path, scratch.path().join("moved")).expect("renamed");
        fs::write(&path, "y").expect("written");
        let other = find_journal(name).expect("nothing is wrong").expect("it is there");
        assert_eq!(other.path(), partial.path());
        assert_ne!(other.identity(), partial.identity());
    }

    #[test]
    fn a_link_to_a_file_has_the_files_place() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let (path, link) = (scratch.path().join("file"), scratch.path().join("link"));
        fs::write(&path, "x").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        let places = [&path, &link].map(|name| find_journal(name.as_os_str()).expect("fine").expect("there"));
        assert_eq!(places[0].path(), places[1].path());
        assert_eq!(places[0].identity(), places[1].identity());
    }

    #[test]
    fn what_is_no_volume_has_no_place() {
        for name in ["-", "/dev/null", "/", "/no/such/file"] {
            assert_eq!(find_journal(name.as_ref()).expect("nothing is wrong"), None, "{name}");
        }
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let place = |directory: &str| JournalPlace {
            path: scratch.path().join(directory).join("lv-a"),
            name: "a/b".into(),
            identity: "lv".into(),
            in_state_directory: true,
        };
        place("new/one").make_directory().expect("it is made");
        assert_eq!(fs::metadata(scratch.path().join("new")).expect("made").mode() & 0o777, 0o700);
        fs::set_permissions(scratch.path().join("new/one"), PermissionsExt::from_mode(0o777)).expect("changed");
        let error = place("new/one").make_directory().expect_err("it is everybody's");
        assert_eq!(error.status(), crate::error::Status::Guard);
    }
}
