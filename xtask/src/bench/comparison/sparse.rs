//! Sparse files as they are, by SEEK_DATA (lseek(2)): what of them is data, whether two are the same, and what of them
//! is in memory. None of it is lvpipe's own code: it judges lvpipe.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{Whence, lseek};

/// At most so many bytes are read at once.
const STEP: usize = 1 << 20;

/// What of a file is data: ranges in order, offset and end.
pub fn data(file: &File) -> Result<Vec<(u64, u64)>> {
    let seek = |from: u64, whence| -> Result<Option<u64>> {
        match lseek(file.as_fd(), i64::try_from(from)?, whence) {
            Ok(at) => Ok(Some(u64::try_from(at)?)),
            Err(Errno::ENXIO) => Ok(None), // nothing of the kind behind
            Err(error) => Err(error).context("lseek"),
        }
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(begin) = seek(at, Whence::SeekData)? {
        // A file ends with a hole, be it of no length.
        at = seek(begin, Whence::SeekHole)?.context("the hole behind the data")?;
        ranges.push((begin, at));
    }
    Ok(ranges)
}

/// How many bytes of a file are data.
pub fn used(path: &Path) -> Result<u64> {
    Ok(data(&open(path)?)?.iter().map(|(begin, end)| end - begin).sum())
}

/// An error unless both files hold the same bytes. Where both have a hole, nothing is read.
pub fn same(source: &Path, copy: &Path) -> Result<()> {
    let [a, b] = [open(source)?, open(copy)?];
    let lengths = (a.metadata()?.len(), b.metadata()?.len());
    ensure!(lengths.0 == lengths.1, "{} has {} bytes instead of {}", copy.display(), lengths.1, lengths.0);
    let ranges = [data(&a)?, data(&b)?];
    let (mut left, mut right) = (vec![0; STEP], vec![0; STEP]);
    for (file, other, ranges) in [(&a, &b, &ranges[0]), (&b, &a, &holes_of(&ranges[0], &ranges[1]))] {
        for (begin, end) in ranges {
            let mut at = *begin;
            while at < *end {
                let length = STEP.min(usize::try_from(end - at)?);
                file.read_exact_at(&mut left[..length], at)?;
                other.read_exact_at(&mut right[..length], at)?;
                ensure!(
                    left[..length] == right[..length],
                    "{} differs from {} between bytes {at} and {}",
                    copy.display(),
                    source.display(),
                    at + length as u64
                );
                at += length as u64;
            }
        }
    }
    Ok(())
}

/// What of `ranges` is in none of `holes`' ranges; both are in order.
fn holes_of(holes: &[(u64, u64)], ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut rest = Vec::new();
    let mut next = 0;
    for &(begin, end) in ranges {
        let mut at = begin;
        while next < holes.len() && holes[next].1 <= begin {
            next += 1;
        }
        let mut index = next;
        while index < holes.len() && holes[index].0 < end {
            if holes[index].0 > at {
                rest.push((at, holes[index].0));
            }
            at = at.max(holes[index].1);
            index += 1;
        }
        if at < end {
            rest.push((at, end));
        }
    }
    rest
}

/// All of a file's data is in the page cache afterwards, and nothing of its holes, whatever has read it before.
pub fn settle(path: &Path) -> Result<()> {
    let file = open(path)?;
    // Reading ahead would bring holes in.
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?;
    let mut buffer = vec![0; STEP];
    let mut behind = 0;
    for (begin, end) in data(&file)?.into_iter().chain([(file.metadata()?.len(), 0)]) {
        if behind < begin {
            let (offset, length) = (i64::try_from(behind)?, i64::try_from(begin - behind)?);
            posix_fadvise(&file, offset, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
        behind = end;
        let mut at = begin;
        while at < end {
            let length = STEP.min(usize::try_from(end - at)?);
            file.read_exact_at(&mut buffer[..length], at)?;
            at += length as u64;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A file of 4 MiB with these bytes at these offsets.
    fn file(directory: &Path, name: &str, content: &[(u64, &[u8])]) -> PathBuf {
        let path = directory.join(name);
        let file = File::create(&path).expect("created");
        file.set_len(4 << 20).expect("sized");
        content.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).expect("written"));
        path
    }

    #[test]
    fn files_are_the_same_whether_zeros_are_written_or_holes() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let page = [7; 4096];
        let source = file(directory.path(), "source", &[(1 << 20, &page)]);
        let sparse = file(directory.path(), "sparse", &[(1 << 20, &page)]);
        let zeros = vec![0; 3 << 20];
        let dense = file(directory.path(), "dense", &[(0, &zeros), (1 << 20, &page)]);
        for copy in [&sparse, &dense] {
            same(&source, copy).expect("the same");
            same(copy, &source).expect("the same the other way round");
        }
        assert!(used(&sparse).expect("it is there") < used(&dense).expect("it is there"));
    }

    #[test]
    fn one_byte_more_in_data_or_in_a_hole_is_found() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let page = [7; 4096];
        let source = file(directory.path(), "source", &[(1 << 20, &page)]);
        let changed = file(directory.path(), "changed", &[(1 << 20, &page), ((1 << 20) + 4095, b"x")]);
        let beyond = file(directory.path(), "beyond", &[(1 << 20, &page), (3 << 20, b"x")]);
        let missing = file(directory.path(), "missing", &[]);
        for copy in [&changed, &beyond, &missing] {
            assert!(same(&source, copy).expect_err("another").to_string().contains("differs"));
        }
        File::options().write(true).open(&beyond).and_then(|file| file.set_len(1)).expect("cut");
        assert!(same(&source, &beyond).expect_err("shorter").to_string().contains("has 1 bytes"));
    }

    #[test]
    fn what_is_in_the_holes_of_another_is_cut_out() {
        let data = [(10, 20), (30, 40), (50, 60)];
        assert_eq!(holes_of(&data, &[(0, 70)]), [(0, 10), (20, 30), (40, 50), (60, 70)]);
        assert_eq!(holes_of(&data, &[(12, 18), (35, 55), (60, 61)]), [(40, 50), (60, 61)]);
        assert_eq!(holes_of(&data, &[(5, 12), (18, 32)]), [(5, 10), (20, 30)]);
        assert_eq!(holes_of(&[], &[(1, 2)]), [(1, 2)]);
    }

    #[test]
    fn settling_reads_without_changing() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let source = file(directory.path(), "source", &[(1 << 20, &[7; 4096])]);
        let before = used(&source).expect("it is there");
        settle(&source).expect("read");
        assert_eq!(used(&source).expect("it is there"), before);
    }
}
