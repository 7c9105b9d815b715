//! A new file until it is whole: `NAME.partial`, which becomes `NAME` when it is verified and on stable storage.
//!
//! A transfer that was killed leaves its `.partial` file behind, as does one that failed and can be gone on with.
//! The next one takes it: it is emptied when that begins anew, and stays as it is when that goes on. Somebody else's
//! file of that name is not touched: what is taken is a regular file of this user's, without another name, that
//! carries the mark set at its creation (an extended attribute, xattr(7)), or has a journal beside it, or is empty.
//! On a file system without extended attributes what is left behind without a journal has no mark: there the user
//! removes it.

use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::own_name::{OwnName, is_at, sync_directory_of};
use crate::error::{Error, Result, Status};

/// The attribute that marks a file as an unfinished transfer's.
const MARK: &CStr = c"user.lvpipe.partial";

/// The names of a file that is not whole yet.
pub(super) struct PartialFile {
    partial: PathBuf,
    path: PathBuf,
    /// Left alone at the end: it has its name, or is of use to a later transfer.
    stays: AtomicBool,
}

/// Where a new file is until it is whole.
pub(super) fn partial_path(path: &Path) -> PathBuf {
    PathBuf::from([path.as_os_str(), ".partial".as_ref()].into_iter().collect::<OsString>())
}

impl PartialFile {
    /// Makes `path.partial`, or takes the one that an earlier transfer has left, and locks it. What it holds is still
    /// there. `has_journal`: whether there is a journal of an unfinished transfer to `path`.
    ///
    /// # Errors
    /// A guard's, when there is a file of that name which is not an unfinished transfer's; else the system's.
    pub(super) fn create(path: &Path, name: &str, has_journal: bool) -> Result<(Self, File)> {
        let partial = partial_path(path);
        let file = own_name(&partial, name).open()?;
        let length = claim(&file, &partial, name, has_journal)?;
        // Looked for again, with the lock: another transfer to it may have ended since there was no such file.
        if path.exists() {
            if length == 0 && is_at(&file, &partial) {
                // If this fails, the next transfer to this name takes it.
                let _ = fs::remove_file(&partial);
            }
            return Err(Error::guard("target refused", name, "another transfer to it has just ended"));
        }
        // Until it is emptied, what it holds may be what somebody wants to go on with.
        Ok((PartialFile { partial, path: path.into(), stays: AtomicBool::new(length > 0) }, file))
    }

    /// Empties the file, for a transfer that begins anew.
    pub(super) fn empty(&self, file: &File) -> io::Result<()> {
        file.set_len(0)?;
        self.stays.store(false, Ordering::SeqCst);
        mark::set(file);
        Ok(())
    }

    /// What is in it is of use to a later transfer.
    pub(super) fn keep(&self) {
        self.stays.store(true, Ordering::SeqCst);
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
        self.keep();
        sync_directory_of(&self.path).map_err(|e| Error::io("cannot sync target", name, &e))
    }

    /// Removes the file unless it has its name or is of use: what is left of a failed transfer.
    pub(super) fn abandon(&self, file: &File) {
        if !self.stays.load(Ordering::SeqCst) && is_at(file, &self.partial) {
            // If even this fails, the next transfer to this name takes it.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn own_name<'a>(partial: &'a Path, name: &'a str) -> OwnName<'a> {
    OwnName {
        path: partial,
        target: name,
        mode: 0o666,
        way_out: "a new file has this name until it is whole: move it away, or remove it if nobody needs it",
    }
}

/// Locks a `.partial` file that was just opened; how long it is.
fn claim(file: &File, partial: &Path, name: &str, has_journal: bool) -> Result<u64> {
    let own = own_name(partial, name);
    // An empty one may be this very transfer's, or that of one which was killed before it could mark it.
    let length = own.claim(file)?;
    if length > 0 && !has_journal && !mark::is_on(file) {
        return Err(own.refused("it is not what an unfinished transfer left"));
    }
    // Only now, with the lock, is it nobody's.
    mark::set(file);
    Ok(length)
}

/// Renames, unless somebody made a file of that name in the meantime.
fn rename_new(partial: &Path, path: &Path, name: &str) -> Result<()> {
    match rename_unless_there(partial, path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Error::new(
            Status::Io,
            "cannot rename target",
            name,
            "a file of that name appeared during the transfer",
        )),
        // A file system without RENAME_NOREPLACE.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            fs::rename(partial, path).map_err(|e| Error::io("cannot rename target", name, &e))
        }
        Err(e) => Err(Error::io("cannot rename target", name, &e)),
    }
}

/// renameat2(2) with RENAME_NOREPLACE. Not every C library has a function for it.
fn rename_unless_there(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (CString::new(from.as_os_str().as_bytes())?, CString::new(to.as_os_str().as_bytes())?);
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_NOREPLACE);
    // SAFETY: both names end in a NUL and live until the call returns, which only reads them.
    let result = unsafe { libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
    use std::fs::OpenOptions;

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
        let error = claim(&file, &partial, "copy", false).expect_err("it is another's");
        assert_eq!(error.status(), Status::Guard);
        assert_eq!(fs::read(&whole).expect("it is there"), b"whole");
        assert_eq!(fs::read(&partial).expect("it is there"), b"begun");
    }

    /// On a file system without extended attributes there is no mark.
    #[test]
    fn without_a_mark_a_journal_tells_whose_it_is() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (path, partial) = (directory.path().join("copy"), directory.path().join("copy.partial"));
        fs::write(&partial, "half").expect("written");
        let error = PartialFile::create(&path, "copy", false).err().expect("it may be anybody's");
        assert!(error.to_string().contains("it is not what an unfinished transfer left"), "{error}");
        let (names, file) = PartialFile::create(&path, "copy", true).expect("it is ours");
        names.abandon(&file);
        assert_eq!(fs::read(&partial).expect("it is there"), b"half", "nobody has begun anew");
        names.empty(&file).expect("emptied");
        names.abandon(&file);
        assert!(!partial.exists());
    }

    #[test]
    fn what_replaced_the_partial_file_is_not_removed() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("copy");
        let (names, file) = PartialFile::create(&path, "copy", false).expect("there is no such file");
        fs::remove_file(&names.partial).expect("removed");
        fs::write(&names.partial, "somebody's").expect("written");
        names.abandon(&file);
        assert_eq!(fs::read(&names.partial).expect("it is there"), b"somebody's");
    }
}
