//! LVM: what a name stands for, and the LVs that exist or are active only for a run.
//!
//! In: a volume's name as typed. Out: a [`LogicalVolume`] with all that is asked about it, or guards: a temporary
//! snapshot ([`TemporarySnapshot`]), an LV made active ([`Activation`]), an LV made for a target ([`CreatedLv`]).
//! Each guard is on record ([`crate::reserve`]) before LVM is asked for anything, and undoes its work when dropped;
//! what SIGKILL or a power cut leaves is found and removed by the next run ([`cleanup_stale`]).
//!
//! All of it is done by LVM's own commands, on the caller's thread, seconds at most; a command is never interrupted
//! half-way. Their reports are read as JSON and hold one volume, or the few that bear lvpipe's tag.

mod activation;
mod created;
mod held;
mod holds;
mod kept;
mod marks;
mod report;
mod resolve;
mod snapshot;
mod staged;
mod stale;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::command;
use crate::error::Result;

pub use activation::Activation;
pub(super) use created::check_new;
pub use created::{CreatedLv, HandedOverLv};
pub use holds::holds_tag;
pub use kept::Kept;
pub use report::LogicalVolume;
pub use snapshot::TemporarySnapshot;
pub use staged::StagedLv;
pub use stale::cleanup_stale;

/// Debian's package of LVM.
const PACKAGE: &str = "lvm2";

/// LVM's commands.
#[derive(Debug, Clone, Default)]
pub struct Lvm {
    /// Where they are; in `PATH` when not given.
    directory: Option<PathBuf>,
}

impl Lvm {
    /// The commands of this directory instead of those in `PATH`.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Lvm { directory: Some(directory.into()) }
    }

    /// Whether there is LVM on this machine.
    pub fn is_installed(&self) -> bool {
        command::is_installed(&self.program("lvs"))
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Result<String> {
        command::run(&self.program(command), PACKAGE, arguments)
    }

    fn program(&self, name: &str) -> OsString {
        self.directory.as_deref().unwrap_or(Path::new("")).join(name).into_os_string()
    }
}
