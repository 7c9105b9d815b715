//! Standard input and output as files of ours: not a terminal, not closed, and a pipe made as large as it may be.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::{Error, Result};

/// Standard input. `what` is what cannot be done without it, `way_out` what to put there.
///
/// # Errors
/// A usage error when it is a terminal, or closed.
pub fn input(what: &str, way_out: &str) -> Result<File> {
    own(io::stdin().as_fd(), io::stdin().is_terminal(), what, "stdin", way_out)
}

/// Standard output; as [`input`].
///
/// # Errors
/// A usage error when it is a terminal, or closed.
pub fn output(what: &str, way_out: &str) -> Result<File> {
    own(io::stdout().as_fd(), io::stdout().is_terminal(), what, "stdout", way_out)
}

fn own(fd: BorrowedFd<'_>, is_terminal: bool, what: &str, name: &str, way_out: &str) -> Result<File> {
    if is_terminal {
        return Err(Error::usage(what, name, "it is a terminal").way_out(way_out));
    }
    let file = File::from(fd.try_clone_to_owned().map_err(|e| Error::io(what, name, &e))?);
    if was_closed(&file) {
        return Err(Error::usage(what, name, "it is closed").way_out(way_out));
    }
    enlarge(&file);
    Ok(file)
}

/// Rust's runtime opens /dev/null for reading and writing on a standard descriptor that is closed, before any of our
/// code runs. A shell's `>/dev/null` is open for one of them only, and is what the user wants.
fn was_closed(file: &File) -> bool {
    const NULL: (u64, u64) = (1, 3); // Linux's devices.txt
    let is_null = file.metadata().is_ok_and(|metadata| {
        let number = (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()));
        metadata.file_type().is_char_device() && number == NULL
    });
    let mode = fcntl(file, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    is_null && mode.is_ok_and(|mode| mode & OFlag::O_ACCMODE == OFlag::O_RDWR)
}

/// Sets a pipe to its largest size. With the 64 KiB that it has, the two sides wake each other for every sixteenth of
/// a part, which on a virtual machine costs more than the copying. What is no pipe stays as it is, and so does a
/// pipe of a user who has used up what pipe(7) grants: it works as well, only slower.
pub fn enlarge(pipe: &File) {
    let Ok(now) = fcntl(pipe, FcntlArg::F_GETPIPE_SZ) else { return };
    let largest = fs::read_to_string("/proc/sys/fs/pipe-max-size").ok().and_then(|size| size.trim().parse().ok());
    let mut size: i32 = largest.unwrap_or(1 << 20);
    while size > now && fcntl(pipe, FcntlArg::F_SETPIPE_SZ(size)).is_err() {
        size /= 2;
    }
}
