//! A target that is given to somebody else to use, before it is known whether they take it: a virtual machine is about
//! to be started on it.
//!
//! In: what is held for a target that is whole and closed. Out: [`HandedOver`]. From then on nothing removes the target
//! by itself, not when this process is killed nor when the next run cleans up: it may be in use by then.
//! [`HandedOver::take_back`] is for when it is known that nobody took it. On the caller's thread; what is done while
//! somebody waits for it takes no LVM command.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::lvm::{HandedOverLv, LogicalVolume, Lvm};
use super::{HeldForTarget, guards};
use crate::error::{Error, Result};

impl HeldForTarget {
    /// To be called before [`HeldForTarget::hand_over`], while nobody waits: what takes LVM some time.
    ///
    /// # Errors
    /// LVM's words.
    pub fn prepare_hand_over(&self) -> Result<()> {
        self.created.as_ref().map_or(Ok(()), |created| created.unmark())
    }

    /// Gives the target away. It is not kept what it holds, for that is about to change.
    ///
    /// # Errors
    /// Where it cannot be recorded; then what was made for it is undone.
    pub fn hand_over(self) -> Result<HandedOver> {
        let new_lv = self.created.map(|created| created.hand_over()).transpose()?;
        if let Some(activation) = self.activation {
            activation.stay()?;
        }
        Ok(HandedOver { new_lv, new_file: self.new_file })
    }
}

/// A target that is somebody else's.
#[derive(Debug)]
pub struct HandedOver {
    new_lv: Option<HandedOverLv>,
    new_file: Option<NewFile>,
}

/// A file that was made, and its name when it is whole. Not held open: it carries a lock that whoever uses it next may
/// ask for.
#[derive(Debug)]
pub(super) struct NewFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl NewFile {
    pub(super) fn of(path: &Path, file: &Metadata) -> Self {
        NewFile { path: path.into(), device: file.dev(), inode: file.ino() }
    }

    /// Removes it; another file of its name is somebody's.
    fn remove(self) -> Result<()> {
        let failed = |e| Error::io("cannot remove", self.path.display(), &e);
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => {
                fs::remove_file(&self.path).map_err(failed)
            }
            _ => Ok(()),
        }
    }
}

/// Who has a target open that was handed over, as far as that can be seen; where nothing can be seen, that is said as
/// if somebody had.
pub fn who_uses(name: &str) -> Option<String> {
    let volume = match Lvm::default().resolve(name) {
        Ok(volume) => volume,
        Err(why) => return Some(why.to_string()),
    };
    let path = volume.as_ref().map_or(Path::new(name), |volume| &volume.path);
    let writer = fs::metadata(path).ok().and_then(|found| guards::who_writes(&found));
    writer.or_else(|| volume.filter(LogicalVolume::is_open).map(|_| "its device is open".into()))
}

impl HandedOver {
    /// Nobody took it: removes what was made for it; what could not be.
    pub fn take_back(self) -> Option<String> {
        let file = self.new_file.map_or(Ok(()), NewFile::remove);
        let lv = self.new_lv.map_or(Ok(()), HandedOverLv::remove);
        file.and(lv).err().map(|why| why.to_string())
    }

    /// Somebody took it: what is left of lvpipe on it goes; what could not be removed.
    pub fn tidy(self) -> Option<String> {
        self.new_lv.and_then(|lv| lv.tidy().err()).map(|why| why.to_string())
    }
}
