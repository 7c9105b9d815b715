//! A new file until it is whole: `NAME.partial`, which becomes `NAME` when it is verified and on stable storage.
//!
//! A transfer that was killed leaves its `.partial` file behind, and the next one takes it. Somebody else's file of
//! that name is not touched: what is taken is a regular file of this user's, without another name, that carries the
//! mark set at its creation (an extended attribute, xattr(7)) or is empty. On a file system without extended
//! attributes what is left behind has no mark: there the user removes it.

use std::ffi::{CStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::guards;
use crate::error::{Error, Result, Status};

/// The attribute that marks a file as an unfinished transfer's.
const MARK: &CStr = c"user.lvpipe.partial";

/// The names of a file that is not whole yet.
pub(super) struct PartialFile {
    partial: PathBuf,
    path: PathBuf,
    renamed: AtomicBool,
}

impl PartialFile {
    /// Makes `path.partial`, or takes the one that a killed transfer has left, and locks it. It is empty.
    ///
    /// # Errors
    /// A guard's, when there is a file of that name which is not a killed transfer's; else the system's.
    pub(super) fn create(path: &Path, name: &str) -> Result<(Self, File)> {
        let partial = PathBuf::from([path.as_os_str(), ".partial".as_ref()].into_iter().collect::<OsString>());
        let file = open(&partial, name)?;
        claim(&file, &partial, name)?;
        Ok((PartialFile { partial, path: path.into(), renamed: AtomicBool::new(false) }, file))
    }

    /// Gives the file, which is on stable storage, its name; the name too is on stable storage then.
    ///
    /// # Errors
    /// A guard's, when a file of that name has appeared; else the system's.
    pub(super) fn rename(&self, file: &File, name: &str) -> Result<()> {
        if !is_at(file, &self.partial) {
            let why = "somebody moved or removed it during the transfer: what was received is not there";
            return Err(Error::new(Status::Io, "cannot rename target", self.partial.display(), why));
        }
        mark::remove(file);
        rename_new(&self.partial, &self.path, name)?;
        self.renamed.store(true, Ordering::SeqCst);
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| Error::io("cannot sync target", name, &e))
    }

    /// Removes the file unless it has its name: what is left of a failed transfer.
    pub(super) fn abandon(&self, file: &File) {
        if !self.renamed.load(Ordering::SeqCst) && is_at(file, &self.partial) {
            // If even this fails, the next transfer to this name takes it.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Opens the file, made if there is none. No symbolic link is followed, and nothing is changed yet.
fn open(partial: &Path, name: &str) -> Result<File> {
    let open = |new| {
        // Without O_NONBLOCK a FIFO might be waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        OpenOptions::new().read(true).write(true).create_new(new).custom_flags(flags).open(partial)
    };
    // What was there a moment ago may be gone: renamed or removed at the end of its transfer.
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => just_ended(name),
        _ => guards::cannot_open_file(name, &e),
    };
    match open(true) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            // Before it is opened: opening a device may do something already.
            refuse_other_kinds(partial, &fs::symlink_metadata(partial).map_err(failed)?)?;
            open(false).map_err(failed)
        }
        made => made.map_err(|e| guards::cannot_open_file(name, &e)),
    }
}

/// Locks a `.partial` file that was just opened, and empties it: what a killed transfer left is of no use.
fn claim(file: &File, partial: &Path, name: &str) -> Result<()> {
    guards::lock_file(&partial.display().to_string(), file)?;
    // Between opening and locking, the transfer that had it may have ended: then this is its finished file, under
    // its own name by now, or one that is removed. Touching it would be the end of somebody's copy.
    if !is_at(file, partial) {
        return Err(just_ended(name));
    }
    let failed = |e: io::Error| guards::cannot_open_file(name, &e);
    let metadata = file.metadata().map_err(failed)?;
    refuse_other_kinds(partial, &metadata)?;
    // An empty one may be this very transfer's, or that of one which was killed before it could mark it.
    if metadata.len() > 0 && !mark::is_on(file) {
        return Err(refused(partial, "it is not what an unfinished transfer left"));
    }
    // Only now, with the lock, is it nobody's.
    file.set_len(0).map_err(failed)?;
    mark::set(file);
    Ok(())
}

/// Refuses what this program never makes under this name, whatever it holds.
fn refuse_other_kinds(partial: &Path, metadata: &Metadata) -> Result<()> {
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
    Err(refused(partial, why))
}

fn refused(partial: &Path, why: &str) -> Error {
    Error::guard("target refused", partial.display(), why)
        .way_out("a new file has this name until it is whole: move it away, or remove it if nobody needs it")
}

fn just_ended(name: &str) -> Error {
    Error::guard("target refused", name, "another transfer to it has just ended")
}

/// Whether the open file is the one that has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(open), Ok(named)) if same(&open, &named))
}

/// Renames, unless somebody made a file of that name in the meantime.
fn rename_new(partial: &Path, path: &Path, name: &str) -> Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    match renameat2(AT_FDCWD, partial, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        Err(nix::errno::Errno::EEXIST) => Err(Error::new(
            Status::Io,
            "cannot rename target",
            name,
            "a file of that name appeared during the transfer",
        )),
        // A file system without RENAME_NOREPLACE.
        Err(nix::errno::Errno::EINVAL) => {
            fs::rename(partial, path).map_err(|e| Error::io("cannot rename target", name, &e))
        }
        Err(e) => Err(Error::io("cannot rename target", name, &e.into())),
    }
}

/// The mark. It is best effort: a file that could not be marked is refused later on, not taken by mistake.
mod mark {
    use super::{AsRawFd, File, MARK};

    pub(super) fn set(file: &File) {
        // SAFETY: the descriptor is open, the name ends in a NUL, and a value of no bytes is not read.
        unsafe { libc::fsetxattr(file.as_raw_fd(), MARK.as_ptr(), std::ptr::null(), 0, 0) };
    }

    pub(super) fn is_on(file: &File) -> bool {
        // SAFETY: the descriptor is open, the name ends in a NUL, and of size 0 nothing is written.
        unsafe { libc::fgetxattr(file.as_raw_fd(), MARK.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
    }

    pub(super) fn remove(file: &File) {
        // SAFETY: the descriptor is open, and the name ends in a NUL.
        unsafe { libc::fremovexattr(file.as_raw_fd(), MARK.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn a_partial_file_that_has_become_a_whole_one_is_not_touched() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (partial, whole) = (directory.path().join("copy.partial"), directory.path().join("copy"));
        fs::write(&partial, "whole").expect("written");
        let file = OpenOptions::new().write(true).open(&partial).expect("opened");
        mark::set(&file);
        fs::rename(&partial, &whole).expect("the other transfer is done");
        // And a third one has begun.
        fs::write(&partial, "begun").expect("written");
        let error = claim(&file, &partial, "copy").expect_err("it is another's");
        assert_eq!(error.status(), Status::Guard);
        assert_eq!(fs::read(&whole).expect("it is there"), b"whole");
        assert_eq!(fs::read(&partial).expect("it is there"), b"begun");
    }

    #[test]
    fn what_replaced_the_partial_file_is_not_removed() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("copy");
        let (names, file) = PartialFile::create(&path, "copy").expect("there is no such file");
        fs::remove_file(&names.partial).expect("removed");
        fs::write(&names.partial, "somebody's").expect("written");
        names.abandon(&file);
        assert_eq!(fs::read(&names.partial).expect("it is there"), b"somebody's");
    }
}
