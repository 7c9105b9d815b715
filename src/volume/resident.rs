//! Reading a file without changing what the page cache holds of it.
//!
//! A read with RWF_NOWAIT (preadv2(2)) succeeds only for what is in the cache already. What it does not give is
//! read in the ordinary way and then dropped from the cache again. The kernel's read-ahead is switched off for
//! that file (POSIX_FADV_RANDOM): it would bring in the next part, which would then look as if it had been there.
//! Parts are large enough to keep a disk busy by themselves.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Switches off read-ahead; without effect where the file system has none.
pub(super) fn prepare(file: &File) {
    // Advice: a file system that does not take it reads as well.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM);
}

/// As [`FileExt::read_at`], leaving the page cache as it was.
pub(super) fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    match read_if_resident(file, into, offset) {
        Ok(0) | Err(_) => {}
        Ok(length) => return Ok(length),
    }
    let length = file.read_at(into, offset)?;
    // Offsets of files are below 2^63.
    let range = (offset as i64, length as i64);
    let _ = posix_fadvise(file, range.0, range.1, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    Ok(length)
}

/// Reads what the page cache holds from `offset` on, without waiting for any device.
fn read_if_resident(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let vector = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: `vector` describes `into`, which is borrowed mutably for the whole call, and the descriptor is open.
    let length = unsafe { libc::preadv2(file.as_raw_fd(), &raw const vector, 1, offset as i64, libc::RWF_NOWAIT) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}
