//! The directory of the registry: `/run/lvpipe`, for root alone.
//!
//! In: the environment, or a path. Out: files opened in it, errors that say the way out. What stands in it makes
//! the next run release and remove things, so a directory that others can write to is refused.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const DEFAULT: &str = "/run/lvpipe";
const WAY_OUT: &str = "run lvpipe as root, or name a directory that all its runs share in LVPIPE_RUN_DIR";

/// Where the registry lies. Made when the first file is.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// `LVPIPE_RUN_DIR`, or `/run/lvpipe`.
    pub(super) fn of_this_host() -> Self {
        let named = std::env::var_os("LVPIPE_RUN_DIR").filter(|name| !name.is_empty());
        Directory { path: named.map_or_else(|| PathBuf::from(DEFAULT), PathBuf::from) }
    }

    pub(super) fn at(path: &Path) -> Self {
        Directory { path: path.to_path_buf() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory if there is none, for its owner alone, and checks that it is.
    pub(super) fn make(&self) -> Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => {}
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(self.unusable(&why)),
        }
        let found = std::fs::metadata(&self.path).map_err(|why| self.unusable(&why))?;
        self.check_owner(&found)
    }

    /// Others must not be able to plant records that make root remove things.
    pub(super) fn check_owner(&self, found: &std::fs::Metadata) -> Result<()> {
        let us = nix::unistd::geteuid().as_raw();
        let reason = if found.uid() != us {
            format!("it belongs to user {}, not to user {us} who runs lvpipe", found.uid())
        } else if found.mode() & 0o022 != 0 {
            "others than its owner can write to it".to_string()
        } else {
            return Ok(());
        };
        Err(Error::guard("cannot use the directory of reservations", self.path.display(), reason)
            .way_out(format!("chmod 700 {0}; chown {us} {0}", self.path.display())))
    }

    /// Opens a file of the directory for reading and writing, making it if there is none.
    pub(super) fn open_file(&self, name: &str) -> Result<File> {
        self.make()?;
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.path.join(name))
            .map_err(|why| self.unusable(&why))
    }

    pub(super) fn unusable(&self, why: &io::Error) -> Error {
        Error::io("cannot record what lvpipe holds", self.path.display(), why).way_out(WAY_OUT)
    }
}
