//! Writing a file without filling the page cache.
//!
//! What was written is handed to the disk at once (sync_file_range(2)) and dropped from the page cache once it is
//! there: the cache stays as it was, and the sync at the end has little left to do. The threads that write do this
//! as they go; one that finds too much under way waits for the oldest of it. Memory is bounded by the number of
//! ranges that are remembered.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// How many bytes may be on their way to the disk before a writer waits for the oldest of them.
const MOST_BYTES: u64 = 64 << 20;
/// In how many ranges: small ones far apart would be remembered by the million before they make up the bytes.
const MOST_RANGES: usize = 4096;
/// Neighbours are joined up to this length: a range is waited for as a whole, and the disk must not run out of
/// work meanwhile.
const LONGEST_JOINED: u64 = 1 << 20;

/// What is on its way to the disk.
#[derive(Default)]
pub(super) struct WriteBehind {
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    /// Offset and length, the oldest first.
    ranges: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl WriteBehind {
    /// Starts the disk on a range that was written, and waits for older ones when too much is under way.
    pub(super) fn wrote(&self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        sync_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE)?;
        let due = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).add(offset, length);
        due.into_iter().try_for_each(|(offset, length)| drop_behind(file, offset, length))
    }
}

impl UnderWay {
    /// Remembers a range; what is to be waited for by now.
    fn add(&mut self, offset: u64, length: u64) -> Vec<(u64, u64)> {
        self.bytes += length;
        match self.ranges.back_mut() {
            Some(last) if last.0 + last.1 == offset && last.1 + length <= LONGEST_JOINED => last.1 += length,
            _ => self.ranges.push_back((offset, length)),
        }
        let mut due = Vec::new();
        while (self.bytes > MOST_BYTES || self.ranges.len() > MOST_RANGES)
            && let Some(range) = self.ranges.pop_front()
        {
            self.bytes -= range.1;
            due.push(range);
        }
        due
    }
}

fn drop_behind(file: &File, offset: u64, length: u64) -> io::Result<()> {
    const ALL: libc::c_uint =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, length, ALL)?;
    // Offsets of files are below 2^63.
    let _ = posix_fadvise(file, offset as i64, length as i64, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    Ok(())
}

fn sync_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: sync_file_range(2) takes a descriptor, which is open, and three numbers.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset as i64, length as i64, flags) };
    match result {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // File systems without it: the sync at the end does it all.
            e if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ESPIPE)) => Ok(()),
            e => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    #[test]
    fn small_ranges_far_apart_are_bounded_in_number() {
        let mut under_way = UnderWay::default();
        let ranges = 3 * MOST_RANGES as u64;
        let due: Vec<_> = (0..ranges).flat_map(|n| under_way.add(n * 8 * KIB, 4 * KIB)).collect();
        assert_eq!(under_way.ranges.len(), MOST_RANGES);
        assert_eq!(under_way.bytes, MOST_RANGES as u64 * 4 * KIB);
        // The oldest, in their order, each once.
        let expected: Vec<_> = (0..ranges - MOST_RANGES as u64).map(|n| (n * 8 * KIB, 4 * KIB)).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn neighbours_are_one_range_up_to_its_longest() {
        let mut under_way = UnderWay::default();
        let due: Vec<_> = (0..512).flat_map(|n| under_way.add(n * 4 * KIB, 4 * KIB)).collect();
        assert!(due.is_empty());
        assert_eq!(under_way.ranges, [(0, LONGEST_JOINED), (LONGEST_JOINED, LONGEST_JOINED)]);
    }

    #[test]
    fn bytes_under_way_are_bounded() {
        let mut under_way = UnderWay::default();
        for n in 0..1000 {
            under_way.add(n << 20, 1 << 20);
            assert!(under_way.bytes <= MOST_BYTES);
        }
        assert_eq!(under_way.bytes, MOST_BYTES);
    }
}
