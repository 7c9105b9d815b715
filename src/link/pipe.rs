//! Stdin and stdout as links.
//!
//! A pipe is enlarged to what the system allows: with 64 KiB of it, the two sides wake each other for every
//! sixteenth of a part, which on a virtual machine costs more than the copying.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, fcntl};

use crate::error::{Error, Result};

/// Frames from stdin.
///
/// # Errors
/// A usage error when stdin is a terminal.
pub fn stdin() -> Result<File> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Error::usage("no stream to receive", "stdin", "it is a terminal")
            .way_out("lvpipe send SOURCE | lvpipe recv TARGET, or lvpipe recv TARGET < BACKUP.lvp"));
    }
    own(stdin.as_fd(), "cannot read stream", "stdin")
}

/// Frames to stdout.
pub struct StdoutLink(File);

/// Frames to stdout.
///
/// # Errors
/// A usage error when stdout is a terminal.
pub fn stdout() -> Result<StdoutLink> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(Error::usage("nowhere to send to", "stdout", "it is a terminal")
            .way_out("lvpipe send SOURCE | lvpipe recv TARGET, or lvpipe send SOURCE > BACKUP.lvp"));
    }
    Ok(StdoutLink(own(stdout.as_fd(), "cannot write stream", "stdout")?))
}

impl StdoutLink {
    /// The file behind it, for comparing it with the source.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Write for StdoutLink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bytes)
    }

    /// A backup file is put on stable storage; a pipe has nothing to flush.
    fn flush(&mut self) -> io::Result<()> {
        match self.0.sync_all() {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP)) => Ok(()),
            other => other,
        }
    }
}

/// A pipe's end as a file of ours, the pipe enlarged.
fn own(fd: BorrowedFd<'_>, what: &str, name: &str) -> Result<File> {
    let file = File::from(fd.try_clone_to_owned().map_err(|e| Error::io(what, name, &e))?);
    enlarge(&file);
    Ok(file)
}

/// Sets a pipe to its largest size. What is no pipe stays as it is, and so does a pipe of a user who has used up
/// what pipe(7) grants: it works as well, only slower.
pub fn enlarge(pipe: &File) {
    let largest = fs::read_to_string("/proc/sys/fs/pipe-max-size").ok().and_then(|size| size.trim().parse().ok());
    let mut size: i32 = largest.unwrap_or(1 << 20);
    let now = fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap_or(i32::MAX);
    while size > now && fcntl(pipe, FcntlArg::F_SETPIPE_SZ(size)).is_err() {
        size /= 2;
    }
}
