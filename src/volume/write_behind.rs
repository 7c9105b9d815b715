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

use crate::usedmap::Extent;

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
    /// The oldest first, each with how many of its bytes were written.
    ranges: VecDeque<(Extent, u64)>,
    bytes: u64,
}

impl WriteBehind {
    /// Starts the disk on a range of which so many bytes were written, and waits for older ones when too much is under
    /// way.
    pub(super) fn wrote(&self, file: &File, range: Extent, bytes: u64) -> io::Result<()> {
        sync_range(file, range, libc::SYNC_FILE_RANGE_WRITE)?;
        let due = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).add(range, bytes);
        due.into_iter().try_for_each(|range| drop_behind(file, range))
    }
}

impl UnderWay {
    /// Remembers a range; what is to be waited for by now.
    fn add(&mut self, range: Extent, bytes: u64) -> Vec<Extent> {
        self.bytes += bytes;
        match self.ranges.back_mut() {
            Some((last, written)) if last.end() == range.offset && last.length + range.length <= LONGEST_JOINED => {
                last.length += range.length;
                *written += bytes;
            }
            _ => self.ranges.push_back((range, bytes)),
        }
        let mut due = Vec::new();
        while (self.bytes > MOST_BYTES || self.ranges.len() > MOST_RANGES)
            && let Some((range, written)) = self.ranges.pop_front()
        {
            self.bytes -= written;
            due.push(range);
        }
        due
    }
}

fn drop_behind(file: &File, range: Extent) -> io::Result<()> {
    const ALL: libc::c_uint =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, range, ALL)?;
    // Offsets of files are below 2^63.
    let (offset, length) = (range.offset as i64, range.length as i64);
    let _ = posix_fadvise(file, offset, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    Ok(())
}

fn sync_range(file: &File, range: Extent, flags: libc::c_uint) -> io::Result<()> {
    let (offset, length) = (range.offset as i64, range.length as i64);
    // SAFETY: sync_file_range(2) takes a descriptor, which is open, and three numbers.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) };
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

    fn range(offset: u64, length: u64) -> Extent {
        Extent { offset, length }
    }

    #[test]
    fn small_ranges_far_apart_are_bounded_in_number() {
        let mut under_way = UnderWay::default();
        let ranges = 3 * MOST_RANGES as u64;
        let due: Vec<_> = (0..ranges).flat_map(|n| under_way.add(range(n * 8 * KIB, 4 * KIB), 4 * KIB)).collect();
        assert_eq!(under_way.ranges.len(), MOST_RANGES);
        assert_eq!(under_way.bytes, MOST_RANGES as u64 * 4 * KIB);
        // The oldest, in their order, each once.
        let expected: Vec<_> = (0..ranges - MOST_RANGES as u64).map(|n| range(n * 8 * KIB, 4 * KIB)).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn neighbours_are_one_range_up_to_its_longest() {
        let mut under_way = UnderWay::default();
        let due: Vec<_> = (0..512).flat_map(|n| under_way.add(range(n * 4 * KIB, 4 * KIB), 4 * KIB)).collect();
        assert!(due.is_empty());
        let joined = |n| (range(n * LONGEST_JOINED, LONGEST_JOINED), LONGEST_JOINED);
        assert_eq!(under_way.ranges, [joined(0), joined(1)]);
    }

    #[test]
    fn bytes_under_way_are_bounded() {
        let mut under_way = UnderWay::default();
        for n in 0..1000 {
            under_way.add(range(n << 22, 4 << 20), 1 << 20);
            assert!(under_way.bytes <= MOST_BYTES);
        }
        assert_eq!(under_way.bytes, MOST_BYTES);
    }
}
