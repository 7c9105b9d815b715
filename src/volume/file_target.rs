//! An image file as a target: sparse, and under its name only when it is whole.
//!
//! A new file is written as `NAME.partial` and renamed when it is verified and on stable storage; if the transfer
//! fails it is removed. A file that exists is written in place, for it may be somebody's disk with links to it.
//!
//! What is written is handed to the disk at once (sync_file_range(2)) and dropped from the page cache once it is
//! there: the cache stays as it was, and the sync at the end has little left to do.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};

use super::{Target, guards};
use crate::error::{Error, Result, Status};

/// How much may be on its way to the disk before a writer waits for the oldest of it.
const WRITE_BEHIND: u64 = 64 << 20;

/// A regular file.
pub struct FileTarget {
    file: File,
    name: String,
    place: Place,
    written: Mutex<WriteBehind>,
}

/// Where the file is until it is whole.
enum Place {
    /// Under its name already: written in place.
    Existing {
        /// Punching holes was refused once: zeros are written.
        cannot_punch: AtomicBool,
    },
    /// Beside its name.
    Partial { partial: PathBuf, path: PathBuf, renamed: AtomicBool },
}

#[derive(Default)]
struct WriteBehind {
    ranges: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl FileTarget {
    /// Opens `path` for writing, or `path.partial` where there is no such file.
    ///
    /// # Errors
    /// A guard's, when somebody else uses the file; else the system's.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let failed = |e: &io::Error| guards::cannot_open("cannot open target", name, e);
        let target = |file, place| FileTarget { file, name: name.into(), place, written: Mutex::default() };
        if path.exists() {
            let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| failed(&e))?;
            let metadata = file.metadata().map_err(|e| failed(&e))?;
            guards::refuse_if_loop(name, &metadata)?;
            guards::refuse_if_open(name, &metadata)?;
            guards::lock_file(name, &file)?;
            return Ok(target(file, Place::Existing { cannot_punch: AtomicBool::new(false) }));
        }
        let partial = PathBuf::from([path.as_os_str(), ".partial".as_ref()].into_iter().collect::<OsString>());
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial);
        let file = open.map_err(|e| failed(&e))?;
        claim(&file, &partial, name)?;
        Ok(target(file, Place::Partial { partial, path: path.into(), renamed: AtomicBool::new(false) }))
    }

    /// The open file, for comparing it with the source.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn failed(&self, what: &str, offset: u64, error: &io::Error) -> Error {
        let on = format!("{} at offset {offset}", self.name);
        if error.raw_os_error() == Some(libc::EFBIG) {
            return Error::io(what, on, error).way_out("the file system cannot hold files of this size");
        }
        Error::io(what, on, error)
    }

    /// Starts the disk on this range, and waits for older ones when too much is under way.
    fn write_behind(&self, offset: u64, length: u64) -> io::Result<()> {
        sync_range(&self.file, offset, length, libc::SYNC_FILE_RANGE_WRITE)?;
        let mut due = Vec::new();
        {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.ranges.push_back((offset, length));
            written.bytes += length;
            while written.bytes > WRITE_BEHIND
                && let Some(range) = written.ranges.pop_front()
            {
                written.bytes -= range.1;
                due.push(range);
            }
        }
        due.into_iter().try_for_each(|(offset, length)| self.drop_behind(offset, length))
    }

    fn drop_behind(&self, offset: u64, length: u64) -> io::Result<()> {
        const ALL: libc::c_uint =
            libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        sync_range(&self.file, offset, length, ALL)?;
        let range = (offset as i64, length as i64);
        let _ = posix_fadvise(&self.file, range.0, range.1, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        Ok(())
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..piece as usize], offset + done)?;
            self.write_behind(offset + done, piece)?;
            done += piece;
        }
        Ok(())
    }
}

impl Target for FileTarget {
    fn begin(&self, size: Option<u64>) -> Result<()> {
        // All of the file at once: from then on nothing extends it, and every range can be punched.
        let Some(size) = size else { return Ok(()) };
        self.file.set_len(size).map_err(|e| self.failed("cannot set target's size", size, &e))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file
            .write_all_at(data, offset)
            .and_then(|()| self.write_behind(offset, data.len() as u64))
            .map_err(|e| self.failed("cannot write target", offset, &e))
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        // A new file is all holes.
        let Place::Existing { cannot_punch } = &self.place else { return Ok(()) };
        if !cannot_punch.load(Ordering::Relaxed) {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            match fallocate(&self.file, flags, offset as i64, length as i64) {
                Ok(()) => return Ok(()),
                Err(nix::errno::Errno::EOPNOTSUPP) => cannot_punch.store(true, Ordering::Relaxed),
                Err(e) => return Err(self.failed("cannot punch hole into target", offset, &e.into())),
            }
        }
        self.write_zeros(offset, length).map_err(|e| self.failed("cannot write zeros to target", offset, &e))
    }

    fn finish(&self, size: u64) -> Result<()> {
        let failed = |e: io::Error| Error::io("cannot sync target", &self.name, &e);
        self.file.set_len(size).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        if let Place::Partial { partial, path, renamed } = &self.place {
            rename_new(partial, path, &self.name)?;
            renamed.store(true, Ordering::SeqCst);
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
    }
}

/// Locks a `.partial` file that was just opened, and empties it: what a killed transfer left is of no use.
fn claim(file: &File, partial: &Path, name: &str) -> Result<()> {
    guards::lock_file(&partial.display().to_string(), file)?;
    // Between opening and locking, the transfer that had it may have ended: then this is its finished file, under
    // its own name by now, or one that is removed. Touching it would be the end of somebody's copy.
    if !is_at(file, partial) {
        return Err(Error::guard("target refused", name, "another transfer to it has just ended"));
    }
    file.set_len(0).map_err(|e| guards::cannot_open("cannot open target", name, &e))
}

/// Whether the open file is the one that has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(open), Ok(named)) if same(&open, &named))
}

/// Renames, unless somebody made a file of that name in the meantime.
fn rename_new(partial: &Path, path: &Path, name: &str) -> Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    match renameat2(AT_FDCWD, partial, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        Err(nix::errno::Errno::EEXIST) => Err(Error::new(
            Status::Guard,
            "target refused",
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

impl Drop for FileTarget {
    fn drop(&mut self) {
        if let Place::Partial { partial, renamed, .. } = &self.place
            && !renamed.load(Ordering::SeqCst)
        {
            // What is left of a failed transfer; if even this fails, the next transfer to this name takes it.
            let _ = fs::remove_file(partial);
        }
    }
}

fn sync_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: sync_file_range(2) takes a descriptor, which is open, and three numbers.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset as i64, length as i64, flags) };
    match result {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // File systems without it: the sync at the end does it all.
            e if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ESPIPE)) => Ok(()),
            e => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_file_that_has_become_a_whole_one_is_not_touched() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (partial, whole) = (directory.path().join("copy.partial"), directory.path().join("copy"));
        fs::write(&partial, "whole").expect("written");
        let file = OpenOptions::new().write(true).open(&partial).expect("opened");
        fs::rename(&partial, &whole).expect("the other transfer is done");
        // And a third one has begun.
        fs::write(&partial, "begun").expect("written");
        let error = claim(&file, &partial, "copy").expect_err("it is another's");
        assert_eq!(error.status(), Status::Guard);
        assert_eq!(fs::read(&whole).expect("it is there"), b"whole");
        assert_eq!(fs::read(&partial).expect("it is there"), b"begun");
    }

    #[test]
    fn a_partial_file_that_a_killed_transfer_left_is_emptied() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let partial = directory.path().join("copy.partial");
        fs::write(&partial, "left").expect("written");
        let file = OpenOptions::new().write(true).open(&partial).expect("opened");
        claim(&file, &partial, "copy").expect("it is nobody's");
        assert_eq!(fs::read(&partial).expect("it is there"), b"");
    }
}
