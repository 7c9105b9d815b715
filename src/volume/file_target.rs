//! An image file as a target: sparse, and under its name only when it is whole.
//!
//! A new file is written as `NAME.partial` and renamed when it is verified and on stable storage; if the transfer
//! fails it is removed, unless it can be gone on with. A file that exists is written in place, for it may be
//! somebody's disk with links to it.
//!
//! Several threads write it at once, and none of them waits for the disk before much is on its way there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};

use super::partial_file::PartialFile;
use super::write_behind::WriteBehind;
use super::{JournalPlace, Target, guards, resident};
use crate::error::{Error, Result};
use crate::usedmap::Extent;

/// A regular file.
pub struct FileTarget {
    file: File,
    name: String,
    /// Until it is whole it is beside its name; a file that was there is written where it is.
    partial: Option<PartialFile>,
    behind: WriteBehind,
    /// Nothing was in it before: what is not written is a hole.
    is_new: AtomicBool,
    /// Punching holes was refused once: zeros are written.
    cannot_punch: AtomicBool,
}

impl FileTarget {
    /// Opens `path` for writing, or `path.partial` where there is no such file.
    ///
    /// # Errors
    /// A guard's, when somebody else uses the file; else the system's.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let (partial, file) = if path.exists() {
            (None, open_existing(path, name)?)
        } else {
            let (partial, file) = PartialFile::create(path, name, JournalPlace::is_beside(path))?;
            (Some(partial), file)
        };
        let (behind, cannot_punch) = (WriteBehind::default(), AtomicBool::new(false));
        Ok(FileTarget { file, name: name.into(), partial, behind, is_new: AtomicBool::new(false), cannot_punch })
    }

    /// A file without a name in this directory: it is gone when it is closed, however the run ends.
    ///
    /// # Errors
    /// The system's.
    pub fn unnamed(directory: &Path, name: &str) -> Result<Self> {
        let file = open_unnamed(directory).map_err(|e| guards::cannot_open_file(name, &e))?;
        Ok(FileTarget {
            file,
            name: name.into(),
            partial: None,
            behind: WriteBehind::default(),
            is_new: AtomicBool::new(true),
            cannot_punch: AtomicBool::new(false),
        })
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

    /// All of the file at once: from then on nothing extends it, and every range can be punched.
    fn set_size(&self, size: Option<u64>) -> Result<()> {
        let Some(size) = size else { return Ok(()) };
        self.file.set_len(size).map_err(|e| self.failed("cannot set target's size", size, &e))
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..piece as usize], offset + done)?;
            self.behind.wrote(&self.file, Extent { offset: offset + done, length: piece }, piece)?;
            done += piece;
        }
        Ok(())
    }
}

impl Target for FileTarget {
    fn begin(&self, size: Option<u64>) -> Result<()> {
        if let Some(partial) = &self.partial {
            partial.empty(&self.file).map_err(|e| self.failed("cannot empty target", 0, &e))?;
            self.is_new.store(true, Ordering::Relaxed);
        }
        self.set_size(size)
    }

    fn resume(&self, size: Option<u64>) -> Result<()> {
        resident::prepare(&self.file);
        self.set_size(size)
    }

    fn begin_delta(&self, size: Option<u64>) -> Result<()> {
        self.is_new.store(false, Ordering::Relaxed);
        self.set_size(size)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_all_at(data, offset).map_err(|e| self.failed("cannot write target", offset, &e))
    }

    fn written(&self, range: Extent, bytes: u64) -> Result<()> {
        self.behind
            .wrote(&self.file, range, bytes)
            .map_err(|e| self.failed("cannot write target", range.offset, &e))
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        if self.is_new.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.cannot_punch.load(Ordering::Relaxed) {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            match fallocate(&self.file, flags, offset as i64, length as i64) {
                Ok(()) => return Ok(()),
                Err(nix::errno::Errno::EOPNOTSUPP) => self.cannot_punch.store(true, Ordering::Relaxed),
                Err(e) => return Err(self.failed("cannot punch hole into target", offset, &e.into())),
            }
        }
        self.write_zeros(offset, length).map_err(|e| self.failed("cannot write zeros to target", offset, &e))
    }

    fn finish(&self, size: u64) -> Result<()> {
        self.settle(size)?;
        match &self.partial {
            None => Ok(()),
            Some(partial) => partial.rename(&self.file, &self.name),
        }
    }

    fn settle(&self, size: u64) -> Result<()> {
        let failed = |e: io::Error| Error::io("cannot sync target", &self.name, &e);
        self.file.set_len(size).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // The size and where the bytes lie are among what fdatasync(2) puts there.
        self.file.sync_data().map_err(|e| Error::io("cannot sync target", &self.name, &e))
    }

    fn read_back(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut reader = resident::Reader::until(&self.file, offset + into.len() as u64);
        let mut done = 0;
        while done < into.len() {
            let at = offset + done as u64;
            match reader.read_at(&mut into[done..], at) {
                Ok(0) => return Err(self.failed("cannot read target", at, &io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => done += length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("cannot read target", at, &e)),
            }
        }
        Ok(())
    }

    fn keep_unfinished(&self) {
        if let Some(partial) = &self.partial {
            partial.keep();
        }
    }
}

impl Drop for FileTarget {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            partial.abandon(&self.file);
        }
    }
}

/// open(2), O_TMPFILE; where the file system has no such files, one that has a name for a moment.
fn open_unnamed(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.custom_flags(libc::O_TMPFILE).mode(0o600).open(directory) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {
            let random = getrandom::u64().map_err(io::Error::other)?;
            let path = directory.join(format!(".lvpipe-scratch-{random:016x}"));
            let file = options.custom_flags(0).create_new(true).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        }
        opened => opened,
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
