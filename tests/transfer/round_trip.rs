//! What was sent is what is received: over all sizes, layouts and options.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;

use proptest::prelude::*;

use crate::image::{Image, assert_takes_no_more, scratch_in_memory, scratch_on_disk, space};
use crate::process::{lvpipe, recv, run, run_pair, run_with_input, send};

const KIB: u64 = 1 << 10;
const PART: u64 = 64 * KIB;

/// `lvpipe send ARGS image | lvpipe recv ARGS copy`, compared.
fn assert_round_trip(image: &Image, send_args: &[&str], recv_args: &[&str]) {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    image.write(&source);
    run_pair(&mut send(send_args, &source), &mut recv(recv_args, &target)).expect_ok();
    image.assert_is(&target);
    assert_takes_no_more(&target, &source);
}

#[test]
fn an_image_arrives_through_a_pipe_and_takes_no_more_space() {
    let scratch = scratch_on_disk();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    let pair = run_pair(&mut send(&[], &source), &mut recv(&[], &target)).expect_ok();
    Image::sample().assert_is(&target);
    assert_takes_no_more(&target, &source);
    assert!(pair.send.stderr.starts_with("lvpipe send: "), "{pair}");
    assert!(pair.recv.stderr.trim_end().ends_with("; blake3 verified"), "{pair}");
}

#[test]
fn a_backup_in_a_file_is_restored_later() {
    let scratch = scratch_on_disk();
    let at = |name: &str| scratch.path().join(name);
    Image::sample().write(&at("image"));
    let backup = File::create(at("backup.lvp")).expect("a file");
    crate::process::start(send(&[], &at("image")).stdout(backup)).end().expect_ok();
    let backup = File::open(at("backup.lvp")).expect("the backup");
    run(recv(&[], &at("copy")).stdin(backup)).expect_ok();
    Image::sample().assert_is(&at("copy"));
}

#[test]
fn stdout_gets_the_volume_with_its_holes_as_zeros() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::sample().write(&source);
    let stream = run(&mut send(&[], &source)).expect_ok().stdout;
    let dense = run_with_input(&mut lvpipe(["recv", "-"]), &stream).expect_ok().stdout;
    Image::sample().assert_bytes(&dense);
}

#[test]
fn a_byte_stream_of_unknown_length_comes_out_as_it_went_in() {
    for length in [0, 1, 4095, PART - 1, PART, PART + 1, 3 * PART + 513] {
        let image = Image::full(length);
        let stream = run_with_input(&mut lvpipe(["send", "-s", "64k", "-"]), &image.bytes()).expect_ok().stdout;
        let bytes = run_with_input(&mut lvpipe(["recv", "-"]), &stream).expect_ok().stdout;
        image.assert_bytes(&bytes);
    }
}

#[test]
fn a_byte_stream_becomes_a_file_with_holes_where_it_has_zeros() {
    let scratch = scratch_in_memory();
    let copy = scratch.path().join("copy");
    let bytes = Image::sample().bytes();
    let stream = run_with_input(&mut lvpipe(["send", "-s", "64k", "-"]), &bytes).expect_ok().stdout;
    run_with_input(&mut recv(&[], &copy), &stream).expect_ok();
    Image::sample().assert_is(&copy);
    assert!(space(&copy) < bytes.len() as u64 * 3 / 4, "{} of {}", space(&copy), bytes.len());
}

#[test]
fn a_slow_writer_in_small_pieces_makes_whole_parts() {
    let image = Image::full(PART + 100);
    let mut running = crate::process::start(
        lvpipe(["send", "-s", "64k", "--progress", "json", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()),
    );
    let mut pipe = running.stdin();
    for piece in image.bytes().chunks(1000) {
        std::io::Write::write_all(&mut pipe, piece).expect("it reads");
    }
    drop(pipe);
    let said = running.end().expect_ok().stderr;
    let last: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["parts"], 2, "{last}");
}

#[test]
fn every_odd_size_arrives() {
    let sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, PART - 1, PART, PART + 1, 3 * PART - 512, 5 * PART + 4097];
    for size in sizes {
        assert_round_trip(&Image::full(size), &["-s", "64k"], &[]);
        // Nothing but a hole, and a hole with a byte at its end.
        assert_round_trip(&Image::new(size, &[]), &["-s", "64k"], &[]);
        assert_round_trip(&Image::with_one_run(size + 1, size..size + 1), &["-s", "64k"], &[]);
    }
}

#[test]
fn every_combination_of_codec_and_digest_arrives() {
    for compress in ["auto", "none", "zstd", "zstd:-7", "zstd:0", "zstd:9", "zstd:19"] {
        for digest in ["sha256", "blake3", "none"] {
            assert_round_trip(&Image::sample(), &["--compress", compress, "--digest", digest], &[]);
        }
    }
}

#[test]
fn every_part_size_with_few_and_many_threads_arrives() {
    for part_size in ["64k", "256k", "1M", "4M"] {
        for threads in ["1", "2", "7"] {
            let args = ["-s", part_size, "-j", threads];
            assert_round_trip(&Image::sample(), &args, &["-j", threads]);
        }
    }
    assert_round_trip(&Image::sample(), &["-s", "64M", "-m", "1G"], &["-m", "512M"]);
}

#[test]
fn every_memory_budget_arrives() {
    for memory in ["4M", "16M", "1G", "1%"] {
        assert_round_trip(&Image::sample(), &["-s", "64k", "-m", memory], &["-m", memory]);
    }
}

#[test]
fn without_a_map_zeros_are_found_while_reading() {
    let image = Image::sample();
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    // Dense: every zero is allocated.
    fs::write(&source, image.bytes()).expect("written");
    for args in [&["-s", "64k"][..], &["-s", "64k", "--map", "none"], &["--map", "none"]] {
        run_pair(&mut send(args, &source), &mut recv(&[], &target)).expect_ok();
        image.assert_is(&target);
        assert!(space(&target) < image.size * 3 / 4, "{args:?}: {} of {}", space(&target), image.size);
        fs::remove_file(&target).expect("removed");
    }
}

/// A source that is longer than its last data, and one of a size that no disk has.
#[test]
fn a_hole_of_a_tebibyte_at_the_end_arrives_as_one() {
    let scratch = scratch_on_disk();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::with_one_run(1 << 40, 0..4096).write(&source);
    run_pair(&mut send(&[], &source), &mut recv(&[], &target)).expect_ok();
    assert_eq!(fs::metadata(&target).expect("the copy").len(), 1 << 40);
    assert!(space(&target) <= 64 * KIB, "{}", space(&target));
    assert_eq!(first_bytes(&source, 8192), first_bytes(&target, 8192));
}

fn first_bytes(path: &Path, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    std::io::Read::read_exact(&mut File::open(path).expect("a file"), &mut bytes).expect("so many bytes");
    bytes
}

/// Runs of hole and data, in units of 512 bytes, so that most begin and end off every grid.
fn layout() -> impl Strategy<Value = Image> {
    (proptest::collection::vec((1u64..400, 1u64..400), 0..12), 0u64..1500).prop_map(|(runs, rest)| {
        let mut data: Vec<Range<u64>> = Vec::new();
        let mut position = 0;
        for (hole, length) in runs {
            data.push(position + hole * 512..position + (hole + length) * 512);
            position += (hole + length) * 512;
        }
        Image::new(position + rest, &data)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_layout_arrives(
        image in layout(),
        part_size in prop::sample::select(vec!["64k", "128k", "1M"]),
        compress in prop::sample::select(vec!["auto", "none", "zstd:1"]),
    ) {
        assert_round_trip(&image, &["-s", part_size, "--compress", compress], &[]);
    }
}
