//! Where the bytes go: standard output, files and devices, connections.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::connection;
use super::descriptor::{self, Handle, Kind, examine};
use super::log::Log;

/// How a file of `-o` is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// `-f`: an existing file is emptied.
    pub overwrite: bool,
    /// `--append`: an existing file is continued.
    pub append: bool,
    /// `--truncate`: emptied when opened; alone it does not allow an existing file.
    pub truncate: bool,
    /// `-c`: each write is on stable storage when it returns.
    pub sync: bool,
    /// Tries to write past the page cache.
    pub direct: bool,
}

/// An open output.
#[derive(Debug)]
pub struct Output {
    name: String,
    path: Option<(PathBuf, OpenMode)>,
    handle: Handle,
    kind: Kind,
    native_block: u64,
    direct: bool,
}

impl Output {
    /// Standard output.
    pub fn stdout(fd: BorrowedFd<'static>) -> Self {
        Self::new("<stdout>".into(), None, Handle::Inherited(fd))
    }

    /// A connection that was made to `name`.
    pub fn connection(name: String, fd: OwnedFd) -> Self {
        Self::new(name, None, Handle::Owned(fd))
    }

    /// Opens a file or device. `input` must not be the same file: it would be gone before it is read.
    pub fn open(path: &Path, mode: OpenMode, input: BorrowedFd<'_>, log: &Log) -> io::Result<Self> {
        if is_same_file(path, input) {
            return Err(io::Error::other("it is the input"));
        }
        Self::open_volume(path, mode, mode, log)
    }

    /// Opens the path again for another medium, which is written from its beginning.
    pub fn reopen(&mut self, log: &Log) -> io::Result<()> {
        if let Some((path, mode)) = &self.path {
            let fresh = OpenMode { overwrite: true, ..*mode };
            *self = Self::open_volume(path, fresh, *mode, log)?;
        }
        Ok(())
    }

    fn open_volume(path: &Path, how: OpenMode, mode: OpenMode, log: &Log) -> io::Result<Self> {
        let file = open_file(path, how)?;
        let name = path.display().to_string();
        let mut output = Self::new(name, Some((path.into(), mode)), Handle::Owned(file.into()));
        let worth_it = matches!(output.kind, Kind::File(_) | Kind::Device);
        if mode.direct && worth_it {
            output.direct = output.handle.try_direct();
            let done = if output.direct { "enabled" } else { "could not enable" };
            log.info(&format!("{done} O_DIRECT on {}", output.name));
        }
        Ok(output)
    }

    fn new(name: String, path: Option<(PathBuf, OpenMode)>, handle: Handle) -> Self {
        let (kind, native_block) = examine(handle.as_fd()).unwrap_or((Kind::Other, 1));
        Output { name, path, handle, kind, native_block, direct: false }
    }

    /// Closes the medium: before somebody takes it out.
    pub fn close(&mut self) -> io::Result<()> {
        self.handle = Handle::Owned(OpenOptions::new().write(true).open("/dev/null")?.into());
        self.direct = false;
        Ok(())
    }

    /// `write(2)`; waits also where others have made the descriptor non-blocking, and as long as a peer moves.
    pub fn write(&self, data: &[u8]) -> Result<usize, Errno> {
        match &self.handle {
            Handle::Inherited(fd) => descriptor::write_shared(*fd, data),
            Handle::Owned(fd) if self.kind == Kind::Socket => connection::write(fd.as_fd(), data),
            Handle::Owned(fd) => descriptor::write(fd.as_fd(), data),
        }
    }

    /// All is written: a connection is seen to its end. `moved` is called while the peer still takes something.
    pub fn finish(&self, moved: impl Fn()) -> Result<(), Errno> {
        match &self.handle {
            _ if self.kind != Kind::Socket => Ok(()),
            // Others may go on writing there: its end is not known here.
            Handle::Inherited(fd) => connection::error(*fd).map_or(Ok(()), Err),
            Handle::Owned(fd) => connection::finish(fd.as_fd(), moved),
        }
    }

    /// Whether direct I/O was in the way, and no longer is: the write may be tried again.
    pub fn end_direct(&mut self, log: &Log) -> bool {
        let ended = std::mem::take(&mut self.direct) && self.handle.end_direct();
        if ended {
            log.info(&format!("disabled O_DIRECT on {}", self.name));
        }
        ended
    }

    /// Puts what was written on stable storage. What cannot be synced (pipes, sockets, tapes) is none the worse.
    pub fn sync(&self, log: &Log) -> Result<(), Errno> {
        match nix::unistd::fsync(self.handle.as_fd()) {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EROFS | Errno::ENOTTY | Errno::ENOTSUP) => {
                log.info(&format!("syncing unsupported on {}: omitted.", self.name));
                Ok(())
            }
            result => result,
        }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of `-o`, if it was named by one: only such an output has volumes.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref().map(|(path, _)| path.as_path())
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The device's own block size, bytes.
    pub fn native_block(&self) -> u64 {
        self.native_block
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// With the flags of mbuffer. It follows a symbolic link wherever it takes an existing file: with `-f`, `--append` and
/// below /dev. Otherwise a link is something that exists already, wherever it leads.
fn open_file(path: &Path, mode: OpenMode) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut flags = libc::O_NOCTTY;
    // Devices exist before they are written, and are no more truncated than a tape is.
    let device = path.starts_with("/dev");
    options.write(true).truncate(mode.truncate || (mode.overwrite && !device));
    if device || mode.overwrite || mode.append {
        options.create(true);
    } else {
        options.create_new(true);
    }
    if mode.append {
        // By its flag: the standard library does not let a file be emptied and then appended to.
        flags |= libc::O_APPEND;
    }
    if mode.sync {
        flags |= libc::O_SYNC;
    }
    options.custom_flags(flags).open(path)
}

/// Whether `path` is the regular file or block device that `input` reads.
fn is_same_file(path: &Path, input: BorrowedFd<'_>) -> bool {
    let Ok(there) = std::fs::metadata(path) else { return false };
    let Ok(here) = nix::sys::stat::fstat(input) else { return false };
    let format = here.st_mode & libc::S_IFMT;
    match format {
        libc::S_IFREG => (there.dev(), there.ino()) == (here.st_dev, here.st_ino),
        libc::S_IFBLK => there.mode() & libc::S_IFMT == format && there.rdev() == here.st_rdev,
        _ => false,
    }
}
