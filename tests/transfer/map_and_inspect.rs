//! What `map` tells of a volume, and `inspect` of a stream.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::unistd::{Whence, lseek};
use serde_json::Value;

use crate::image::{Image, scratch_on_disk};
use crate::process::{Ran, lvpipe, run, run_with_input, send};

fn json(ran: Ran) -> Value {
    let ran = ran.expect_ok();
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&ran.stdout)))
}

fn text(ran: Ran) -> String {
    String::from_utf8(ran.expect_ok().stdout).expect("text")
}

/// The data of a file as its file system tells it, by SEEK_DATA and SEEK_HOLE.
fn data_by_seeking(path: &Path) -> Vec<(u64, u64)> {
    let file = File::open(path).expect("a file");
    let mut extents = Vec::new();
    let mut position = 0;
    while let Ok(begin) = lseek(&file, position, Whence::SeekData) {
        position = lseek(&file, begin, Whence::SeekHole).expect("a hole behind data");
        extents.push((begin as u64, (position - begin) as u64));
    }
    extents
}

#[test]
fn the_map_in_all_its_forms_is_what_the_file_system_says() {
    let scratch = scratch_on_disk();
    let path = scratch.path().join("image");
    for image in [Image::sample(), Image::new(1 << 40, &[0..1, 1 << 30..(1 << 30) + 9000]), Image::full(0)] {
        image.write(&path);
        let expected = data_by_seeking(&path);
        let used: u64 = expected.iter().map(|(_, length)| length).sum();
        let map = json(run(lvpipe(["map", "--json"]).arg(&path)));
        assert_eq!(map["extents"], serde_json::to_value(&expected).expect("JSON"));
        assert_eq!((map["size"].as_u64(), map["used"].as_u64()), (Some(image.size), Some(used)));
        assert_eq!((&map["source"], &map["volume"]), (&"SEEK_DATA".into(), &path.to_str().into()));
        let lines: String = expected.iter().map(|(offset, length)| format!("{offset} {length}\n")).collect();
        assert_eq!(text(run(lvpipe(["map", "--extents"]).arg(&path))), lines);
        let summary = text(run(lvpipe(["map"]).arg(&path)));
        assert!(summary.contains(&format!("  {} bytes\n", image.size)), "{summary}");
        assert!(summary.contains(&format!("  {used} bytes, ")) && summary.contains("from SEEK_DATA"), "{summary}");
    }
}

#[test]
fn without_a_map_all_of_it_is_used() {
    let scratch = scratch_on_disk();
    let path = scratch.path().join("image");
    Image::sample().write(&path);
    let map = json(run(lvpipe(["map", "--json", "--map", "none"]).arg(&path)));
    assert_eq!(map["extents"], serde_json::json!([[0, Image::sample().size]]));
    assert_eq!(map["source"], "nothing known, all of it");
}

/// A saved stream of the sample, and its length.
fn saved(directory: &Path, args: &[&str]) -> (PathBuf, usize) {
    let (image, stream) = (directory.join("image"), directory.join("stream"));
    Image::sample().write(&image);
    let bytes = run(&mut send(args, &image)).expect_ok().stdout;
    fs::write(&stream, &bytes).expect("written");
    (stream, bytes.len())
}

#[test]
fn inspect_tells_what_a_stream_holds() {
    let scratch = scratch_on_disk();
    for digest in ["sha256", "blake3", "none"] {
        let (stream, length) = saved(scratch.path(), &["-s", "256k", "--digest", digest]);
        for verify in [false, true] {
            let mut command = lvpipe(["inspect", "--json", "-q"]);
            command.args(verify.then_some("--verify")).arg(&stream);
            let report = json(run(&mut command));
            let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
            assert_eq!((number("size"), number("part_size")), (Image::sample().size, 256 << 10));
            assert_eq!(number("data") + number("holes"), number("size"), "{report}");
            // What the prelude takes, which is not counted.
            assert!((96..1096).contains(&(length as u64 - number("stream"))), "{length} bytes: {report}");
            assert_eq!(report["digest"], digest);
            assert_eq!(report["root"].is_string(), digest != "none", "{report}");
            assert_eq!(report["verified"], verify && digest != "none", "{report}");
            assert_eq!(report["trailing"], false);
            let image = scratch.path().join("image");
            assert_eq!(report["lineage"]["source"], image.to_str().expect("text"));
        }
    }
}

#[test]
fn inspect_for_people_says_whether_it_is_whole() {
    let scratch = scratch_on_disk();
    let (stream, _) = saved(scratch.path(), &[]);
    let unverified = text(run(lvpipe(["inspect"]).arg(&stream)));
    assert!(unverified.contains("\nwhole    yes, contents not verified\n"), "{unverified}");
    let verified = text(run(lvpipe(["inspect", "--verify"]).arg(&stream)));
    assert!(
        verified.contains("\nwhole    yes, verified\n") && verified.contains("\ndigest   blake3 "),
        "{verified}"
    );
    let piped = run_with_input(&mut lvpipe(["inspect", "-"]), &fs::read(&stream).expect("the stream"));
    assert_eq!(text(piped), unverified);
}

#[test]
fn inspect_finds_truncation_without_and_damage_with_verify() {
    let scratch = scratch_on_disk();
    let (stream, length) = saved(scratch.path(), &["-s", "64k"]);
    let whole = fs::read(&stream).expect("the stream");
    for kept in [length - 1, length - 136, length - 137, length / 2, 200, 96, 50, 0] {
        fs::write(&stream, &whole[..kept]).expect("written");
        for args in [&["inspect"][..], &["inspect", "--verify"]] {
            let ran = run(lvpipe(args).arg(&stream));
            let said = if kept == 0 { ": it is empty" } else { " short of the next piece" };
            ran.expect_failure(3, &["lvpipe: stream is truncated: ", said]);
        }
        run_with_input(&mut lvpipe(["inspect", "-"]), &whole[..kept])
            .expect_failure(3, &["stream is truncated: stdin"]);
    }
    let mut damaged = whole.clone();
    damaged[length / 2] ^= 1;
    fs::write(&stream, damaged).expect("written");
    run(lvpipe(["inspect", "--verify"]).arg(&stream))
        .expect_failure(3, &["lvpipe: stream is corrupt: ", "offset "]);
}

#[test]
fn inspect_tells_that_something_follows_the_end() {
    let scratch = scratch_on_disk();
    let (stream, _) = saved(scratch.path(), &[]);
    let mut two = fs::read(&stream).expect("the stream");
    two.extend(two.clone());
    fs::write(&stream, two).expect("written");
    for args in [&["inspect"][..], &["inspect", "--verify", "-q"]] {
        let said = text(run(lvpipe(args).arg(&stream)));
        assert!(said.ends_with("\nbut      other bytes follow the end of the stream\n"), "{said}");
    }
}
