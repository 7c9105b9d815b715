//! Files under names that only lvpipe makes files of: `NAME.partial`, `NAME.lvpipe-journal`.
//!
//! Such a file lies in whatever directory the target is in. So what is taken for lvpipe's own is a regular file of
//! this user's, without another name; symbolic links are not followed, and nothing is changed before it is locked.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::guards;
use crate::error::{Error, Result};

/// One such name.
pub(crate) struct OwnName<'a> {
    /// The name.
    pub(crate) path: &'a Path,
    /// The target's, for messages.
    pub(crate) target: &'a str,
    /// The permissions of a file that is made, before the umask.
    pub(crate) mode: u32,
    /// What to do about somebody else's file.
    pub(crate) way_out: &'static str,
}

impl OwnName<'_> {
    /// Opens the file, made if there is none. Nothing is changed yet.
    ///
    /// # Errors
    /// A guard's, when it is not a file that lvpipe made; else the system's.
    pub(crate) fn open(&self) -> Result<File> {
        let mut open = OpenOptions::new();
        open.create_new(true).mode(self.mode);
        match self.open_with(open) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // What was there a moment ago may be gone: renamed or removed at the end of its transfer.
                self.open_existing()?.ok_or_else(|| self.just_ended())
            }
            made => made.map_err(|e| guards::cannot_open_file(self.target, &e)),
        }
    }

    /// Opens the file; `None` if there is none. Nothing is changed yet.
    ///
    /// # Errors
    /// As [`OwnName::open`].
    pub(crate) fn open_existing(&self) -> Result<Option<File>> {
        let opened = fs::symlink_metadata(self.path).map_err(|e| self.failed(&e)).and_then(|metadata| {
            // Before it is opened: opening a device may do something already.
            self.refuse_other_kinds(&metadata)?;
            self.open_with(OpenOptions::new()).map_err(|e| self.failed(&e))
        });
        match opened {
            Err(Failed::Missing) => Ok(None),
            Err(Failed::For(error)) => Err(error),
            Ok(file) => Ok(Some(file)),
        }
    }

    fn open_with(&self, mut options: OpenOptions) -> io::Result<File> {
        // Without O_NONBLOCK a FIFO might be waited for.
        options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(self.path)
    }

    fn failed(&self, error: &io::Error) -> Failed {
        match error.kind() {
            io::ErrorKind::NotFound => Failed::Missing,
            _ => Failed::For(guards::cannot_open_file(self.target, error)),
        }
    }

    /// Locks the file that was just opened, for this process alone; how long it is.
    ///
    /// # Errors
    /// A guard's, when another transfer has it, or when it is not a file that lvpipe made.
    pub(crate) fn claim(&self, file: &File) -> Result<u64> {
        guards::lock_file(&self.path.display().to_string(), file)?;
        // Between opening and locking, the transfer that had it may have ended: then this is its finished file, under
        // its own name by now, or one that is removed. Touching it would be the end of somebody's copy.
        if !is_at(file, self.path) {
            return Err(self.just_ended());
        }
        let metadata = file.metadata().map_err(|e| guards::cannot_open_file(self.target, &e))?;
        self.refuse_other_kinds(&metadata)?;
        Ok(metadata.len())
    }

    /// Refuses what this program never makes under this name, whatever it holds.
    fn refuse_other_kinds(&self, metadata: &Metadata) -> Result<()> {
        let why = if metadata.is_symlink() {
            "it is a symbolic link"
        } else if !metadata.is_file() {
            "it is not a regular file"
        } else if metadata.nlink() > 1 {
            "it has another name as well (a hard link)"
        } else if metadata.uid() != nix::unistd::geteuid().as_raw() {
            "it is another user's"
        } else {
            return Ok(());
        };
        Err(self.refused(why))
    }

    /// The refusal of somebody else's file.
    pub(crate) fn refused(&self, why: &str) -> Error {
        Error::guard("target refused", self.path.display(), why).way_out(self.way_out)
    }

    fn just_ended(&self) -> Error {
        Error::guard("target refused", self.target, "another transfer to it has just ended")
    }
}

/// Why a file was not opened.
enum Failed {
    Missing,
    For(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::For(error)
    }
}

/// Whether the open file is the one that has this name.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(open), Ok(named)) if same(&open, &named))
}

/// Puts on stable storage under which names files are in the directory of this one.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
