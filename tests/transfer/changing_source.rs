//! A source that somebody writes while it is sent: told beforehand where it can be seen, and never called a copy
//! when it was a file that has changed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use crate::image::{Image, UNFINISHED, assert_not_there, scratch_in_memory, scratch_on_disk};
use crate::process::{Running, recv, run, run_with_input, send, start};

fn image(directory: &Path) -> PathBuf {
    let path = directory.join("image");
    // More than a pipe holds: it waits in the middle of it.
    Image::full(8 << 20).write(&path);
    path
}

/// A sender in the middle of its source, and what it has sent.
fn start_half(args: &[&str], image: &Path) -> (Running, ChildStdout, Vec<u8>) {
    let args: Vec<&str> = ["--compress", "none"].iter().chain(args).copied().collect();
    let mut running = start(send(&args, image).stdout(Stdio::piped()));
    let mut pipe = running.stdout();
    let mut begin = vec![0; 1 << 20];
    pipe.read_exact(&mut begin).expect("it has begun");
    (running, pipe, begin)
}

fn rest(mut pipe: ChildStdout, mut stream: Vec<u8>) -> Vec<u8> {
    pipe.read_to_end(&mut stream).expect("its output");
    stream
}

#[test]
fn a_file_that_changes_is_not_sent_as_whole() {
    type Change = fn(&File);
    let changes: [Change; 3] = [
        // A byte that has been sent already, one more at the end, and no byte at all but the space for one.
        |file| file.write_all_at(b"x", 0).expect("written"),
        |file| file.write_all_at(b"x", 8 << 20).expect("written"),
        |file| file.set_len(9 << 20).expect("extended"),
    ];
    for scratch in [scratch_in_memory(), scratch_on_disk()] {
        for change in changes {
            let image = image(scratch.path());
            let (running, pipe, begin) = start_half(&[], &image);
            change(&OpenOptions::new().write(true).open(&image).expect("open"));
            let stream = rest(pipe, begin);
            running.end().expect_failure(
                1,
                &["lvpipe: cannot send: ", "image: it changed while it was sent\n  end what writes it, or send"],
            );
            run_with_input(&mut recv(&[], &scratch.path().join("copy")), &stream)
                .expect_failure(3, &["lvpipe: stream is truncated: "]);
            assert_not_there(scratch.path(), &["image"]);
            for name in UNFINISHED {
                let _ = fs::remove_file(scratch.path().join(name));
            }
        }
    }
}

#[test]
fn a_file_that_is_only_read_or_renamed_meanwhile_is_sent() {
    let scratch = scratch_in_memory();
    let image = image(scratch.path());
    let (running, pipe, begin) = start_half(&[], &image);
    fs::read(&image).expect("read");
    fs::rename(&image, scratch.path().join("another")).expect("renamed");
    let stream = rest(pipe, begin);
    running.end().expect_ok();
    let copy = scratch.path().join("copy");
    run_with_input(&mut recv(&[], &copy), &stream).expect_ok();
    Image::full(8 << 20).assert_is(&copy);
}

#[test]
fn with_no_snapshot_a_change_is_told_and_no_more() {
    let scratch = scratch_in_memory();
    let image = image(scratch.path());
    let (running, pipe, begin) = start_half(&["--no-snapshot"], &image);
    OpenOptions::new().append(true).open(&image).expect("open").write_all(b"x").expect("written");
    let stream = rest(pipe, begin);
    let ran = running.end().expect_ok();
    assert!(ran.stderr.contains("image: it changed while it was sent\n"), "{ran}");
    // As long as it was at the start.
    let copy = scratch.path().join("copy");
    run_with_input(&mut recv(&[], &copy), &stream).expect_ok();
    Image::full(8 << 20).assert_is(&copy);

    let quiet = run(&mut send(&["--no-snapshot"], &image)).expect_ok();
    assert!(!quiet.stderr.contains("changed"), "{quiet}");
}

#[test]
fn who_has_a_file_open_for_writing_is_told() {
    let scratch = scratch_in_memory();
    let image = image(scratch.path());
    let before = run(&mut send(&[], &image)).expect_ok();
    assert!(!before.stderr.contains("in use"), "{before}");

    let disk = OpenOptions::new().read(true).write(true).open(&image).expect("open");
    let mut holder = Command::new("cat").stdin(Stdio::piped()).stdout(disk).spawn().expect("cat");
    let who = format!("image is in use: cat (process {}) has it open for writing: ", holder.id());
    for (args, then) in [
        (&[][..], "if it changes while it is sent, the transfer fails\n"),
        (&["--no-snapshot"], "what is written to it now arrives in part or not at all; take a snapshot of it and"),
    ] {
        let ran = run(&mut send(args, &image)).expect_ok();
        assert!(ran.stderr.contains(&format!("{who}{then}")), "{ran}");
    }
    let quiet = run(&mut send(&["-q"], &image)).expect_ok();
    assert_eq!(quiet.stderr, "");
    drop(holder.stdin.take());
    holder.wait().expect("it ends");
}
