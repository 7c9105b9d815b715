//! An image file as a target: sparse, and under its name only when it is whole.
//!
//! A new file is written as `NAME.partial` and renamed when it is verified and on stable storage; if the transfer
//! fails it is removed. A file that exists is written in place, for it may be somebody's disk with links to it.
//!
//! Several threads write it at once, and none of them waits for the disk before much is on its way there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};

use super::partial_file::PartialFile;
use super::write_behind::WriteBehind;
use super::{Target, guards};
use crate::error::{Error, Result};

/// A regular file.
pub struct FileTarget {
    file: File,
    name: String,
    place: Place,
    behind: WriteBehind,
}

/// Where the file is until it is whole.
enum Place {
    /// Under its name already: written in place.
    Existing {
        /// Punching holes was refused once: zeros are written.
        cannot_punch: AtomicBool,
    },
    /// Beside its name.
    Partial(PartialFile),
}

impl FileTarget {
    /// Opens `path` for writing, or `path.partial` where there is no such file.
    ///
    /// # Errors
    /// A guard's, when somebody else uses the file; else the system's.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let target = |file, place| FileTarget { file, name: name.into(), place, behind: WriteBehind::default() };
        if path.exists() {
            let file = open_existing(path, name)?;
            return Ok(target(file, Place::Existing { cannot_punch: AtomicBool::new(false) }));
        }
        let (partial, file) = PartialFile::create(path, name)?;
        Ok(target(file, Place::Partial(partial)))
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

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..piece as usize], offset + done)?;
            self.behind.wrote(&self.file, offset + done, piece)?;
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
            .and_then(|()| self.behind.wrote(&self.file, offset, data.len() as u64))
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
        match &self.place {
            Place::Existing { .. } => Ok(()),
            Place::Partial(partial) => partial.rename(&self.file, &self.name),
        }
    }
}

impl Drop for FileTarget {
    fn drop(&mut self) {
        if let Place::Partial(partial) = &self.place {
            partial.abandon(&self.file);
        }
    }
}

/// Opens a file that is there, for this process alone.
fn open_existing(path: &Path, name: &str) -> Result<File> {
    let failed = |e: io::Error| guards::cannot_open_file(name, &e);
    guards::refuse_if_write_protected(name, &path.metadata().map_err(failed)?)?;
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    guards::refuse_if_loop(name, &metadata)?;
    guards::refuse_if_open(name, &metadata)?;
    guards::lock_file(name, &file)?;
    Ok(file)
}
