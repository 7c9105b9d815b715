//! Stdin and stdout as links: one of them one way, or both together.

use std::fs::File;
use std::io::{self, Read, Write};

use super::{HangUp, Link};
use crate::error::{Error, Result, Status};
use crate::stdio;
use crate::stop::{Interruptible, Stop};

/// Frames from stdin.
///
/// # Errors
/// A usage error when stdin is a terminal, or closed.
pub fn stdin() -> Result<File> {
    const WAY_OUT: &str = "lvpipe send SOURCE | lvpipe recv TARGET, or lvpipe recv TARGET < BACKUP.lvp";
    stdio::input("no stream to receive", WAY_OUT)
}

/// Frames to stdout.
pub struct StdoutLink(File);

/// Frames to stdout.
///
/// # Errors
/// A usage error when stdout is a terminal, or closed.
pub fn stdout() -> Result<StdoutLink> {
    const WAY_OUT: &str = "lvpipe send SOURCE | lvpipe recv TARGET, or lvpipe send SOURCE > BACKUP.lvp";
    stdio::output("nowhere to send to", WAY_OUT).map(StdoutLink)
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

/// Two pipes as a link that goes both ways.
pub fn link(from: File, to: File, name: &str) -> Link {
    let ended = Stop::new();
    let half = |file| Box::new(Half { file, ended: ended.clone() });
    let (reader, writer) = (half(from), half(to));
    let end = Error::new(Status::Io, "link ended", name, "");
    let hang_up = HangUp::new(move || ended.fail(end.clone()));
    Link { name: name.into(), reader, writer, hang_up }
}

/// A pipe that another thread can end: closing it does not wake who is blocked in it.
struct Half {
    file: File,
    ended: Stop,
}

impl Read for Half {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Interruptible::new(&self.file, &self.ended).read(into)
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Interruptible::new(&self.file, &self.ended).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
