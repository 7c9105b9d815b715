//! The map of a regular file, as its filesystem tells it.
//!
//! In: an open file. Out: its map by `SEEK_DATA` and `SEEK_HOLE`, lseek(2), two calls an extent, on the caller's
//! thread. A filesystem that has no such calls gives a map of which everything is data. A file that changes
//! meanwhile is not followed: what grows beyond the size at the start is not in the map, what is cut off is a hole.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::{Extent, MapBuilder, MapSource, UsedMap};
use crate::error::{Error, Result};
use crate::stop::Stop;

/// Reads the map of a regular file; `path` is for messages. Moves the file's position, so use positioned reads.
pub fn from_sparse_file(file: &File, path: &Path, stop: &Stop) -> Result<UsedMap> {
    let size = file.metadata().map_err(|why| failed(path, &why))?.len();
    // An offset below the file's size fits, since that is one too; and lseek returns no negative one.
    let seek = |offset: u64, whence| lseek(file, offset as i64, whence).map(|found| found as u64);
    map_by(seek, size, path, stop)
}

fn failed(path: &Path, why: &io::Error) -> Error {
    Error::io("cannot read the map of", path.display(), why)
}

/// Reads the map by a function that answers as lseek(2) does.
fn map_by(seek: impl Fn(u64, Whence) -> nix::Result<u64>, size: u64, path: &Path, stop: &Stop) -> Result<UsedMap> {
    let mut map = MapBuilder::new(MapSource::SparseFile);
    let mut position = 0;
    while let Some(next) = next_data(position, size, &seek) {
        stop.check()?;
        match next {
            Ok(data) => map.push(data.offset, data.length)?,
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) if position == 0 => return Ok(UsedMap::everything(size)),
            Err(why) => return Err(failed(path, &why.into())),
        }
        position = map.end();
    }
    Ok(map.finish(size))
}

/// The first data at or after `position`; `None` if there is none before `size`.
fn next_data(
    position: u64,
    size: u64,
    seek: &impl Fn(u64, Whence) -> nix::Result<u64>,
) -> Option<nix::Result<Extent>> {
    if position >= size {
        return None;
    }
    let found = seek(position, Whence::SeekData).and_then(|begin| Ok((begin, seek(begin, Whence::SeekHole)?)));
    match found {
        // Behind where we are, or empty: no filesystem should say so, and one that does would keep us here for ever.
        Ok((begin, end)) if begin < position || end <= begin => Some(Err(Errno::EIO)),
        Ok((begin, end)) => Some(Ok(Extent::between(begin, end))),
        // No data from here to the end, or the file has been cut off there since.
        Err(Errno::ENXIO) => None,
        Err(why) => Some(Err(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::os::unix::fs::FileExt;

    /// A file in memory: a filesystem that knows holes and every size.
    fn file(size: u64, data: &[Extent]) -> File {
        let file = File::from(memfd_create("sparse", MFdFlags::MFD_CLOEXEC).expect("a file in memory"));
        file.set_len(size).expect("its size");
        for extent in data {
            file.write_all_at(&vec![1; extent.length as usize], extent.offset).expect("data");
        }
        file
    }

    fn map(file: &File) -> UsedMap {
        from_sparse_file(file, Path::new("sparse"), &Stop::new()).expect("read")
    }

    #[test]
    fn data_is_found_and_holes_are_not_data() {
        let data = [Extent { offset: 0, length: 4096 }, Extent { offset: 1 << 30, length: 100_000 }];
        let map = map(&file((1 << 40) + 5, &data));
        assert_eq!((map.size(), map.source()), ((1 << 40) + 5, MapSource::SparseFile));
        assert_eq!(map.extents().len(), 2);
        for extent in data {
            assert_eq!(map.overlapping(extent).collect::<Vec<_>>(), [extent]);
        }
        // Whole pages, or huge ones where memory is handed out so.
        assert!(map.used_bytes() >= 104_096 && map.used_bytes() <= 4 << 20, "{}", map.used_bytes());
    }

    #[test]
    fn the_last_byte_is_data_and_the_end_clips_it() {
        let map = map(&file(8193, &[Extent { offset: 8192, length: 1 }]));
        assert_eq!(map.extents(), [Extent { offset: 8192, length: 1 }]);
    }

    #[test]
    fn an_empty_pebibyte_and_an_empty_file_have_no_data() {
        assert_eq!(map(&file(1 << 50, &[])).extents(), []);
        assert_eq!(map(&file(0, &[])).size(), 0);
    }

    /// The map of a file of 1000 bytes by a filesystem that answers so at 0, and that there is no more data elsewhere.
    fn answered(data: nix::Result<u64>, hole: nix::Result<u64>) -> Result<UsedMap> {
        let seek = |offset, whence| match whence {
            Whence::SeekHole => hole,
            _ if offset > 0 => Err(Errno::ENXIO),
            _ => data,
        };
        map_by(seek, 1000, Path::new("odd"), &Stop::new())
    }

    #[test]
    fn without_a_map_everything_is_data() {
        for why in [Errno::EINVAL, Errno::EOPNOTSUPP] {
            assert_eq!(answered(Err(why), Ok(0)), Ok(UsedMap::everything(1000)));
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_clipped_to_what_it_was() {
        let grown = answered(Ok(200), Ok(5000)).expect("read");
        assert_eq!(grown.extents(), [Extent { offset: 200, length: 800 }]);
        let cut_off = answered(Ok(200), Err(Errno::ENXIO)).expect("read");
        assert_eq!(cut_off.extents(), []);
    }

    #[test]
    fn odd_answers_end_in_an_error_and_not_in_a_loop() {
        for (data, hole) in [(Ok(200), Ok(200)), (Ok(200), Ok(100)), (Err(Errno::EIO), Ok(0))] {
            let error = answered(data, hole).expect_err("odd");
            assert_eq!(error.to_string(), "cannot read the map of: odd: I/O error");
        }
    }

    #[test]
    fn a_stopped_run_ends_it() {
        let stop = Stop::new();
        stop.fail(Error::signal(2));
        let file = file(8192, &[Extent { offset: 0, length: 1 }]);
        assert_eq!(from_sparse_file(&file, Path::new("sparse"), &stop), Err(Error::signal(2)));
    }
}
