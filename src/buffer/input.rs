//! Where the bytes come from: standard input, a file or device, a connection.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::descriptor::{Handle, Kind, examine};
use super::log::Log;
use super::{Fatal, reason};

/// An open input.
#[derive(Debug)]
pub struct Input {
    name: String,
    path: Option<PathBuf>,
    handle: Handle,
    kind: Kind,
    native_block: u64,
    direct: bool,
    allow_direct: bool,
}

impl Input {
    /// Standard input.
    pub fn stdin(fd: BorrowedFd<'static>) -> Self {
        Self::new("<stdin>".into(), None, Handle::Inherited(fd))
    }

    /// Standard input that was closed: each read fails, as it does there.
    pub fn closed() -> Result<Self, Fatal> {
        let unreadable = OpenOptions::new().write(true).open("/dev/null");
        let unreadable =
            unreadable.map_err(|error| Fatal::new(format!("could not open /dev/null: {}", reason(&error))))?;
        Ok(Self::new("<stdin>".into(), None, Handle::Owned(unreadable.into())))
    }

    /// A connection that was accepted from `name`.
    pub fn connection(name: String, fd: OwnedFd) -> Self {
        Self::new(name, None, Handle::Owned(fd))
    }

    /// Opens a file or device; `allow_direct` tries to read past the page cache.
    pub fn open(path: &Path, allow_direct: bool, log: &Log) -> Result<Self, Fatal> {
        let failed =
            |error| Fatal::new(format!("could not open input file '{}': {}", path.display(), reason(&error)));
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOCTTY).open(path).map_err(failed)?;
        let name = path.display().to_string();
        let mut input = Self::new(name, Some(path.into()), Handle::Owned(file.into()));
        input.allow_direct = allow_direct;
        input.try_direct(log);
        Ok(input)
    }

    fn new(name: String, path: Option<PathBuf>, handle: Handle) -> Self {
        let (kind, native_block) = examine(handle.as_fd()).unwrap_or((Kind::Other, 1));
        Input { name, path, handle, kind, native_block, direct: false, allow_direct: false }
    }

    /// Closes the medium: before somebody takes it out.
    pub fn close(&mut self) -> std::io::Result<()> {
        self.handle = Handle::Owned(OpenOptions::new().read(true).open("/dev/null")?.into());
        self.direct = false;
        Ok(())
    }

    /// Opens the path again: there is another medium behind it now.
    pub fn reopen(&mut self, log: &Log) -> Result<(), Fatal> {
        if let Some(path) = &self.path {
            *self = Self::open(path, self.allow_direct, log)?;
        }
        Ok(())
    }

    fn try_direct(&mut self, log: &Log) {
        let worth_it = matches!(self.kind, Kind::File(_) | Kind::Device);
        if self.allow_direct && worth_it {
            self.direct = self.handle.try_direct();
            let done = if self.direct { "enabled" } else { "could not enable" };
            log.info(&format!("{done} O_DIRECT on {}", self.name));
        }
    }

    /// `read(2)`: at least one byte, or 0 at the end.
    pub fn read(&self, space: &mut [u8]) -> Result<usize, Errno> {
        self.handle.read(space)
    }

    /// Whether direct I/O was in the way, and no longer is: the read may be tried again.
    pub fn end_direct(&mut self, log: &Log) -> bool {
        let ended = std::mem::take(&mut self.direct) && self.handle.end_direct();
        if ended {
            log.info(&format!("disabled O_DIRECT on {}", self.name));
        }
        ended
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was named by `-i`: only such an input has volumes.
    pub fn has_volumes(&self) -> bool {
        self.path.is_some()
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

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}
