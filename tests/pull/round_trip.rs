//! What is served is what arrives: over one connection and over many, into files and pipes, sparse.

use crate::image::{Image, assert_takes_no_more, names, scratch_in_memory, scratch_on_disk};
use crate::process::run;
use crate::server::{Server, figure, serve};

const MIB: u64 = 1 << 20;

fn gappy() -> Image {
    let runs = [
        0..100_000,
        3 * MIB..3 * MIB + 4096,
        7 * MIB + 12_288..9 * MIB,
        30 * MIB..41 * MIB,
        63 * MIB..64 * MIB - 777,
    ];
    Image::new(64 * MIB - 777, &runs)
}

#[track_caller]
fn arrives(args: &[&str], connections: &[&str]) {
    let scratch = scratch_on_disk();
    let (source, image) = (scratch.path().join("image"), gappy());
    image.write(&source);
    // Not auto, which would not compress for links that are faster than a machine which has much else to do.
    let server: Server = serve(&[&["--compress", "zstd:1"], args].concat(), &source);
    for count in connections {
        let target = scratch.path().join(format!("copy{count}"));
        let ran = run(&mut server.pull(&["-n", count, "--progress", "json"], &target)).expect_ok();
        image.assert_is(&target);
        assert_takes_no_more(&target, &source);
        // Only what is used has come, half of which compresses well.
        assert!(figure(&ran, "wire_bytes") < 12 * MIB, "{ran}");
        let piped = run(&mut server.pull(&["-n", count, "-q"], "-".as_ref())).expect_ok();
        image.assert_bytes(&piped.stdout);
    }
}

#[test]
fn a_sparse_file_over_tls() {
    arrives(&[], &["1", "2", "8"]);
}

#[test]
fn a_sparse_file_in_the_clear_with_small_and_large_parts() {
    arrives(&["--insecure", "-s", "64k"], &["1", "5"]);
    arrives(&["--insecure", "-s", "8M"], &["3"]);
}

#[test]
fn volumes_that_are_empty_or_one_byte_long() {
    for (size, data) in [(0, 0..0), (1, 0..1), (1 << 30, 0..0), (4097, 4096..4097)] {
        let scratch = scratch_in_memory();
        let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
        let image = Image::with_one_run(size, data);
        image.write(&source);
        let server = serve(&["--insecure"], &source);
        run(&mut server.pull(&["-q"], &target)).expect_ok();
        image.assert_is(&target);
        assert_eq!(names(scratch.path()), ["copy", "image"]);
    }
}

#[test]
fn what_the_target_held_before_is_gone() {
    let scratch = scratch_on_disk();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = gappy();
    image.write(&source);
    Image::full(70 * MIB).seed(2).write(&target);
    let server = serve(&["--insecure"], &source);
    run(&mut server.pull(&["-q"], &target)).expect_ok();
    image.assert_is(&target);
}

#[test]
fn little_memory_suffices() {
    let scratch = scratch_in_memory();
    let (source, image) = (scratch.path().join("image"), Image::full(96 * MIB));
    image.write(&source);
    let server = serve(&["--insecure"], &source);
    let ran = run(&mut server.pull(&["-m", "8M", "-n", "8", "-j", "1", "-q"], "-".as_ref())).expect_ok();
    image.assert_bytes(&ran.stdout);
    // The program itself, its TLS library and eight connections' buffers come on top.
    assert!(ran.peak_memory < 64 * MIB, "{} bytes at the most", ran.peak_memory);
}
