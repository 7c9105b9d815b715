//! Reading a file without changing what the page cache holds of it.
//!
//! mincore(2) tells which pages of the file are in the cache. Where some are missing, the piece is read in the
//! ordinary way, in one go, and the missing ones are dropped again: those and no others. The kernel's read-ahead is
//! switched off for that file (POSIX_FADV_RANDOM): it would bring in the next part, which would then look as if it
//! had been there. Parts are large enough to keep a disk busy by themselves.
//!
//! To users who may not write the file mincore(2) calls all of it resident. So what it calls so is read with
//! RWF_NOWAIT (preadv2(2)), which gives only what is in the cache; what that does not give is dropped as well.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// How much is asked about at once.
const PAGES: usize = 256;

/// Switches off read-ahead; without effect where the file system has none.
pub(super) fn prepare(file: &File) {
    // Advice: a file system that does not take it reads as well.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM);
}

/// Reads pieces of a range, leaving the page cache as it was. It is asked once what the cache holds of the range, for
/// each [`PAGES`] of it: a mapping for each of a database's pages would cost more than to read it.
pub(super) struct Reader<'a> {
    file: &'a File,
    page_size: usize,
    /// Where the range ends: nothing is asked beyond.
    end: u64,
    /// Where the pages that were asked about begin, and what was told of them.
    begin: u64,
    told: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// For a range that ends at `end`, whose pieces are read in order of offset, each once.
    pub(super) fn until(file: &'a File, end: u64) -> Self {
        Reader { file, page_size: page_size(), end, begin: 0, told: Vec::new() }
    }

    /// As [`FileExt::read_at`]; reads no more than can be asked about at once.
    pub(super) fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let page_size = self.page_size as u64;
        if !(self.begin..self.begin + self.told.len() as u64 * page_size).contains(&offset) {
            self.ask(offset - offset % page_size, offset + into.len() as u64);
        }
        let first = ((offset - self.begin) / page_size) as usize;
        let begin = self.begin + first as u64 * page_size;
        let before = (offset - begin) as usize;
        let length = into.len().min((self.told.len() - first) * self.page_size - before);
        let into = &mut into[..length];
        let pages = &mut self.told[first..first + (before + length).div_ceil(self.page_size)];
        if !pages.iter().any(is_missing) {
            match read_if_resident(self.file, into, offset) {
                Ok(0) | Err(_) => pages.fill(0),
                Ok(length) => return Ok(length),
            }
        }
        let length = self.file.read_at(into, offset)?;
        drop_missing(self.file, begin, offset + length as u64, pages, self.page_size);
        Ok(length)
    }

    /// Asks about the pages from `begin` on, up to the range's end, which is not before `least`. What cannot be asked
    /// about is taken for resident, and looked at again when it is read.
    fn ask(&mut self, begin: u64, least: u64) {
        let pages = (self.end.max(least) - begin).div_ceil(self.page_size as u64).clamp(1, PAGES as u64);
        self.begin = begin;
        self.told.clear();
        self.told.resize(pages as usize, 0);
        if ask(self.file, begin, &mut self.told, self.page_size).is_err() {
            self.told.fill(1);
        }
    }
}

/// Drops the pages from `begin` on that were not there before they were read, up to `end`.
fn drop_missing(file: &File, begin: u64, end: u64, pages: &[u8], page_size: usize) {
    let mut at = begin;
    for run in pages.chunk_by(|one, next| is_missing(one) == is_missing(next)) {
        let run_end = at + (run.len() * page_size) as u64;
        let length = run_end.min(end).saturating_sub(at);
        // A length of 0 would be all of the rest. Offsets of files are below 2^63.
        if is_missing(&run[0]) && length > 0 {
            let _ = posix_fadvise(file, at as i64, length as i64, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
        at = run_end;
    }
}

fn is_missing(page: &u8) -> bool {
    page & 1 == 0
}

/// Fills in what mincore(2) says of the file's pages from `offset` on, which is a multiple of their size.
fn ask(file: &File, offset: u64, pages: &mut [u8], page_size: usize) -> io::Result<()> {
    let length = pages.len() * page_size;
    // SAFETY: a new mapping at an address that the kernel chooses. Nothing is read through it, so that it does not
    // matter whether the file changes or ends before.
    let mapping = unsafe {
        libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), offset as i64)
    };
    if mapping == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the range is the mapping's, and `pages` has a byte for each of its pages.
    let told = match unsafe { libc::mincore(mapping, length, pages.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: the mapping made above, which nothing refers to.
    unsafe { libc::munmap(mapping, length) };
    told
}

fn page_size() -> usize {
    // SAFETY: sysconf(3) takes a number and gives one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Reads what the page cache holds from `offset` on, without waiting for any device.
fn read_if_resident(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let vector = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: `vector` describes `into`, which is borrowed mutably for the whole call, and the descriptor is open.
    let length = unsafe { libc::preadv2(file.as_raw_fd(), &raw const vector, 1, offset as i64, libc::RWF_NOWAIT) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}
