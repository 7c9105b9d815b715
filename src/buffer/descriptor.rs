//! File descriptors as a copy sees them: plain `read` and `write`, what kind of thing is behind them, direct I/O.
//!
//! Descriptors that were inherited are shared with other processes: nothing here changes flags on those. Somebody else
//! may: where one of them was made non-blocking, the calls on it wait here instead.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, vmsplice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, Type};

/// What is behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A pipe or FIFO.
    Pipe,
    /// A connection that carries bytes, whatever the writes they came in.
    Socket,
    /// A socket on which each write is a message of its own: datagrams, sequenced packets.
    Messages,
    /// A regular file, with its size in bytes.
    File(u64),
    /// A tape, a terminal, a disk: something with records of its own.
    Device,
    /// A directory or what else cannot be copied.
    Other,
}

/// Kind and native block size in bytes of what is behind a descriptor.
pub fn examine(fd: BorrowedFd<'_>) -> io::Result<(Kind, u64)> {
    let stat = nix::sys::stat::fstat(fd)?;
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFIFO => Kind::Pipe,
        libc::S_IFSOCK => match SockRef::from(&fd).r#type() {
            Ok(Type::STREAM) => Kind::Socket,
            _ => Kind::Messages,
        },
        libc::S_IFREG => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
        libc::S_IFCHR | libc::S_IFBLK => Kind::Device,
        _ => Kind::Other,
    };
    Ok((kind, u64::try_from(stat.st_blksize).unwrap_or(0).max(1)))
}

/// `read(2)`, again where a signal came between.
pub fn read(fd: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match nix::unistd::read(fd, space) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// `write(2)`, again where a signal came between.
pub fn write(fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
    loop {
        match nix::unistd::write(fd, data) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// [`read()`] from a descriptor that others may have made non-blocking: waits until there is something.
pub fn read_shared(fd: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Errno> {
    patiently(fd, PollFlags::POLLIN, || read(fd, space))
}

/// [`write()`] to a descriptor that others may have made non-blocking: waits until there is room.
pub fn write_shared(fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
    patiently(fd, PollFlags::POLLOUT, || write(fd, data))
}

fn patiently(
    fd: BorrowedFd<'_>,
    events: PollFlags,
    mut call: impl FnMut() -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut waited = false;
    loop {
        match call() {
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
        // Somebody else was faster, or this is something whose poll(2) says more than it keeps.
        if std::mem::replace(&mut waited, true) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // A signal, or whatever else ends the wait early: the call says what there is.
        let _ = poll(&mut [PollFd::new(fd, events)], PollTimeout::NONE);
    }
}

/// Puts the pages that hold `data` into a pipe, instead of a copy of them (vmsplice(2)). Returns how many bytes of it
/// are in the pipe: these must not be changed any more, for nobody here can know how long somebody refers to them.
pub fn give(fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
    let give = |flags| {
        loop {
            match vmsplice(fd, &[IoSlice::new(data)], flags) {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    };
    match give(SpliceFFlags::SPLICE_F_NONBLOCK) {
        Err(Errno::EAGAIN) => {
            // A call that waits comes back as soon as there is some room. After a nap there is more.
            std::thread::sleep(Duration::from_micros(50));
            give(SpliceFFlags::empty())
        }
        result => result,
    }
}

/// Reads and writes past the page cache from now on, if the file system can; only for files that were opened here.
pub fn set_direct(fd: &OwnedFd, on: bool) -> Result<(), Errno> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    let wanted = if on { flags | OFlag::O_DIRECT } else { flags - OFlag::O_DIRECT };
    fcntl(fd, FcntlArg::F_SETFL(wanted)).map(drop)
}

/// Makes a pipe as large as the system lets us: fewer changes between the processes at its ends. Returns its size.
///
/// Where others use up the user's share of pipe memory the pipe stays as it is.
pub fn widen_pipe(fd: BorrowedFd<'_>) -> usize {
    let size = || fcntl(fd, FcntlArg::F_GETPIPE_SZ).ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    let largest = std::fs::read_to_string("/proc/sys/fs/pipe-max-size");
    let largest = largest.ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or(0);
    // A pipe that somebody has made larger already must not shrink.
    if usize::try_from(largest).is_ok_and(|largest| largest > size()) {
        let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(largest));
    }
    size()
}

/// Whether this is a terminal that can be asked.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: isatty(3) takes any descriptor.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}

/// A descriptor that was inherited, or one that was opened here.
#[derive(Debug)]
pub enum Handle {
    /// Standard input or output: shared with other processes, stays open.
    Inherited(BorrowedFd<'static>),
    /// Opened here: closed when dropped.
    Owned(OwnedFd),
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Handle::Inherited(fd) => *fd,
            Handle::Owned(fd) => fd.as_fd(),
        }
    }
}

impl Handle {
    /// `read(2)`; waits also where others have made the descriptor non-blocking.
    pub fn read(&self, space: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Handle::Inherited(fd) => read_shared(*fd, space),
            Handle::Owned(fd) => read(fd.as_fd(), space),
        }
    }

    /// Reads and writes past the page cache, where the file system can and the file was opened here.
    pub fn try_direct(&self) -> bool {
        match self {
            Handle::Inherited(_) => false,
            Handle::Owned(fd) => set_direct(fd, true).is_ok(),
        }
    }

    /// Back to the page cache.
    pub fn end_direct(&self) -> bool {
        match self {
            Handle::Inherited(_) => false,
            Handle::Owned(fd) => set_direct(fd, false).is_ok(),
        }
    }
}
