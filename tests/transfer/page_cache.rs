//! The page cache stays as it was: what was not in it is not in it afterwards, what was still is.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::image::{Image, scratch_on_disk};
use crate::process::{Running, lvpipe, recv, run, run_pair, send, start};

const SIZE: u64 = 8 << 20;
const PAGE: usize = 4096;

/// Bytes of a file that the page cache holds.
fn cached(path: &Path) -> usize {
    cached_pages(path).iter().filter(|page| **page).count() * PAGE
}

/// Whether the page cache holds a file's pages, page by page: mincore(2).
fn cached_pages(path: &Path) -> Vec<bool> {
    let file = File::open(path).expect("a file");
    let length = file.metadata().expect("its size").len() as usize;
    let mut pages = vec![0u8; length.div_ceil(PAGE)];
    // SAFETY: a new mapping of `length` bytes of an open file, at an address that the kernel chooses; never read.
    let mapping =
        unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    assert_ne!(mapping, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    // SAFETY: the range is the mapping, and `pages` has a byte for each of its pages.
    let result = unsafe { libc::mincore(mapping, length, pages.as_mut_ptr()) };
    assert_eq!(result, 0, "mincore: {}", std::io::Error::last_os_error());
    // SAFETY: the mapping made above, which nothing refers to.
    unsafe { libc::munmap(mapping, length) };
    pages.iter().map(|page| page & 1 == 1).collect()
}

fn drop_from_cache(path: &Path) {
    let file = File::open(path).expect("a file");
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("dropped");
    assert_eq!(cached(path), 0, "the test's own file system keeps pages: its build directory is in memory");
}

#[test]
fn a_source_that_was_not_cached_is_not_cached_by_sending_it() {
    let scratch = scratch_on_disk();
    let image = scratch.path().join("image");
    for size in [SIZE, SIZE - 1000] {
        Image::full(size).write(&image);
        for args in [&["-s", "64k"][..], &[]] {
            drop_from_cache(&image);
            start(send(args, &image).stdout(Stdio::null())).end().expect_ok();
            assert_eq!(cached(&image), 0, "{args:?}, {size} bytes");
        }
    }
}

#[test]
fn a_source_that_was_cached_still_is() {
    let scratch = scratch_on_disk();
    let image = scratch.path().join("image");
    Image::full(SIZE).write(&image);
    std::fs::read(&image).expect("read");
    let before = cached(&image);
    assert!(before > SIZE as usize / 2, "the test's machine has no room for {SIZE} bytes: {before}");
    start(send(&[], &image).stdout(Stdio::null())).end().expect_ok();
    assert!(cached(&image) >= before, "{} of {before} bytes", cached(&image));
}

/// In the middle of parts, at their ends, and one page in each of many; dense, and as a database leaves it.
#[test]
fn of_a_source_that_was_cached_in_part_the_same_pages_still_are() {
    let scratch = scratch_on_disk();
    let path = scratch.path().join("image");
    let pages: Vec<Range<u64>> = (0..SIZE).step_by(20 << 10).map(|at| at..at + (8 << 10)).collect();
    for image in [Image::full(SIZE), Image::new(SIZE, &pages)] {
        image.write(&path);
        cached_in_part(&image, &path);
    }
}

fn cached_in_part(image: &Image, path: &Path) {
    let page = PAGE as u64;
    let single: Vec<Range<u64>> = (0..SIZE / page).step_by(37).map(|n| n * page..(n + 1) * page).collect();
    for wanted in [vec![300 << 10..500 << 10, (2 << 20) - page..(2 << 20) + page, SIZE - page..SIZE], single] {
        for args in [&["-s", "64k"][..], &[]] {
            // The machine may take pages away for reasons of its own, though not each time.
            let found: Vec<_> = (0..3).map_while(|_| sent_with_cached(image, path, &wanted, args).err()).collect();
            assert!(found.len() < 3, "{args:?}: {found:?}");
        }
    }
}

/// Sends the image with just these ranges in the cache; what of it is there afterwards, if not the same.
fn sent_with_cached(image: &Image, path: &Path, wanted: &[Range<u64>], args: &[&str]) -> Result<(), String> {
    drop_from_cache(path);
    let file = File::open(path).expect("a file");
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).expect("no read-ahead");
    for range in wanted {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start).expect("read");
    }
    let before = cached_pages(path);
    let wanted: u64 = wanted.iter().map(|range| range.end - range.start).sum();
    if before.iter().filter(|page| **page).count() as u64 * PAGE as u64 != wanted {
        return Err(format!("{} bytes of {wanted} before it was sent", cached(path)));
    }
    receive_and_compare(image, start(send(args, path).stdout(Stdio::piped())));
    match cached_pages(path) == before {
        true => Ok(()),
        false => Err(format!("{} bytes of {wanted}", cached(path))),
    }
}

/// What a sender of the image sends is that image.
fn receive_and_compare(image: &Image, mut sent: Running) {
    let dense = run(lvpipe(["recv", "-q", "-"]).stdin(sent.stdout())).expect_ok();
    sent.end().expect_ok();
    image.assert_bytes(&dense.stdout);
}

#[test]
fn a_target_file_is_not_left_in_the_cache() {
    let scratch = scratch_on_disk();
    let (image, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(SIZE).write(&image);
    // New, then in place.
    for _ in 0..2 {
        run_pair(&mut send(&[], &image), &mut recv(&[], &copy)).expect_ok();
        assert_eq!(cached(&copy), 0);
    }
    Image::full(SIZE).assert_is(&copy);
}
