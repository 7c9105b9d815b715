//! What lvpipe holds outside its process, written down so that even the next run can let it go.
//!
//! In: what is about to be taken ([`Held`]): a pool's metadata snapshot, a temporary LV, an LV made active. Out: a
//! line in a file of this process under `/run/lvpipe` ([`Reservations::record`]), on disk before the thing is
//! taken, and struck out after it was let go ([`Record::clear`]). The file is locked while its process lives; after
//! SIGKILL the lock is gone and the lines are left, and the next run finds them ([`Reservations::stale`]), cleans
//! up and says how. `/run` does not survive a reboot. A metadata snapshot does, and so does a temporary LV: whoever
//! makes an LV marks it in LVM too.
//!
//! This room knows neither LVM nor device-mapper: it records, and the caller cleans up. Any thread may record; one
//! lock orders the lines. A file holds a few lines and is emptied when nothing is held any more. What cannot be
//! recorded must not be taken: [`Reservations::record`] fails before anything is held.

mod directory;
mod file;
mod lock;
mod stale;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::stop::Stop;
use directory::Directory;
use file::OwnFile;

pub use lock::{PoolLock, TaskLock};
pub use stale::StaleRecord;

/// A thing outside the process that somebody has to let go of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Held {
    /// A pool's metadata snapshot, taken by `dmsetup message POOL 0 reserve_metadata_snap`.
    MetadataSnapshot {
        /// The pool's device-mapper name.
        pool: String,
        /// The metadata block of the snapshot's superblock; unknown until the snapshot has been taken.
        held_root: Option<u64>,
    },
    /// An LV that lvpipe created and is to remove: a temporary snapshot, or a target that is not whole yet.
    TemporaryLv {
        /// The volume group's name.
        vg: String,
        /// The LV's name in it.
        lv: String,
        /// The LVM tag that only this LV bears. A name can be another LV's by the time it is to be removed.
        tag: String,
    },
    /// An LV that lvpipe made active and is to deactivate.
    ActivatedLv {
        /// The volume group's name.
        vg: String,
        /// The LV's name in it.
        lv: String,
        /// LVM's id of it. The name can be another LV's by the time it is to be deactivated.
        uuid: String,
    },
}

/// What this process holds, and the way to what dead ones left. Cheap to clone; clones share one file.
#[derive(Debug, Clone)]
pub struct Reservations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: Directory,
    /// Made when the first thing is recorded: a run that holds nothing needs no right to write to `/run`.
    file: Mutex<Option<OwnFile>>,
}

impl Reservations {
    /// The registry of this host: `/run/lvpipe`, or what the environment's `LVPIPE_RUN_DIR` says. Touches nothing
    /// yet.
    pub fn open() -> Self {
        Self::in_directory(Directory::of_this_host())
    }

    /// A registry in a directory of its own; lvpipes with different directories do not see each other.
    pub fn open_in(directory: &Path) -> Self {
        Self::in_directory(Directory::at(directory))
    }

    fn in_directory(directory: Directory) -> Self {
        Reservations { shared: Arc::new(Shared { directory, file: Mutex::new(None) }) }
    }

    /// Writes down what is about to be taken. On return the line is on stable storage: take it now.
    ///
    /// Fails where the directory cannot be written, as for users who are not root; then nothing may be taken.
    pub fn record(&self, held: Held) -> Result<Record> {
        let mut file = self.shared.lock();
        let file = match &mut *file {
            Some(file) => file,
            none => none.insert(OwnFile::create(&self.shared.directory)?),
        };
        let id = file.take(&held)?;
        Ok(Record { id, held, shared: self.shared.clone() })
    }

    /// What dead processes left behind. Each is locked against other runs until it is dropped, so that only one
    /// cleans up; clear it afterwards. Empty where there is no registry or it is not for this user to read.
    pub fn stale(&self) -> Result<Vec<StaleRecord>> {
        stale::find(&self.shared.directory)
    }

    /// Waits until no other lvpipe works with the metadata snapshot of this pool. Fails after `patience`, or when
    /// the run ends.
    pub fn lock_pool(&self, pool: &str, patience: Duration, stop: &Stop) -> Result<PoolLock> {
        PoolLock::wait(&self.shared.directory, pool, patience, stop)
    }

    /// Waits until no other run of this task has this name; `None` after `patience`.
    ///
    /// # Errors
    /// Where the directory cannot be written, or when the run ends.
    pub fn lock_task(&self, task: &str, name: &str, patience: Duration, stop: &Stop) -> Result<Option<TaskLock>> {
        TaskLock::wait(&self.shared.directory, task, name, patience, stop)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<OwnFile>> {
        // Each line is written whole or not at all, so a panic elsewhere leaves nothing half-done here.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thing that this process holds, or is about to.
///
/// Dropped without [`Record::clear`], the line stays and the next run finds it: that is for when letting go failed.
#[derive(Debug)]
#[must_use = "the record is to be cleared once the thing has been let go"]
pub struct Record {
    id: u64,
    held: Held,
    shared: Arc<Shared>,
}

impl Record {
    /// What is recorded.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Replaces what is recorded, when more is known than before the thing was taken.
    pub fn update(&mut self, held: Held) -> Result<()> {
        if let Some(file) = &mut *self.shared.lock() {
            file.update(self.id, &held)?;
        }
        self.held = held;
        Ok(())
    }

    /// The thing has been let go: strikes it out.
    pub fn clear(self) -> Result<()> {
        match &mut *self.shared.lock() {
            Some(file) => file.clear(self.id),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
