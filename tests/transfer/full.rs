//! File systems, devices and pipes that take no more: status 1, a message that says so, and no half of a file.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::image::{Image, scratch_in_memory};
use crate::process::{LVPIPE, lvpipe, run, send, start};

fn dev_full() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full")
}

fn image_and_stream(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (image, stream) = (directory.join("image"), directory.join("stream"));
    Image::full(4 << 20).write(&image);
    fs::write(&stream, run(&mut send(&[], &image)).expect_ok().stdout).expect("written");
    (image, stream)
}

/// `lvpipe send image | head -c 9`.
#[test]
fn a_sender_whose_reader_has_gone_says_that_the_pipe_is_broken() {
    let scratch = scratch_in_memory();
    let (image, _) = image_and_stream(scratch.path());
    let mut running = start(send(&["--compress", "none"], &image).stdout(Stdio::piped()));
    running.stdout().read_exact(&mut [0; 9]).expect("nine bytes");
    running
        .end()
        .expect_failure(1, &["lvpipe: cannot write stream: stdout: Broken pipe\n  the process that read it"]);
}

/// `lvpipe recv - < stream | head -c 9`.
#[test]
fn a_receiver_whose_reader_has_gone_says_that_the_pipe_is_broken() {
    let scratch = scratch_in_memory();
    let (_, stream) = image_and_stream(scratch.path());
    let stdin = File::open(stream).expect("the stream");
    let mut running = start(lvpipe(["recv", "-"]).stdin(stdin).stdout(Stdio::piped()));
    running.stdout().read_exact(&mut [0; 9]).expect("nine bytes");
    running.end().expect_failure(1, &["lvpipe: cannot write target: stdout at offset ", ": Broken pipe\n"]);
}

/// `lvpipe map --extents image | head -1` has what it wanted.
#[test]
fn a_map_whose_reader_has_gone_is_content() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("image");
    let data: Vec<_> = (0..6_000).map(|n| n * 8192..n * 8192 + 1).collect();
    Image::new(12_000 * 4096, &data).write(&path);
    let mut running = start(lvpipe(["map", "--extents"]).arg(path).stdout(Stdio::piped()));
    running.stdout().read_exact(&mut [0; 9]).expect("nine bytes");
    running.end().expect_ok();
}

#[test]
fn a_full_device_behind_stdout_is_an_error() {
    let scratch = scratch_in_memory();
    let (image, stream) = image_and_stream(scratch.path());
    let full = "No space left on device";
    start(send(&[], &image).stdout(dev_full())).end().expect_failure(1, &["cannot write stream: stdout: ", full]);
    let stdin = || File::open(&stream).expect("the stream");
    start(lvpipe(["recv", "-"]).stdin(stdin()).stdout(dev_full()))
        .end()
        .expect_failure(1, &["lvpipe: cannot write target: stdout at offset 0: ", full]);
    start(lvpipe(["recv", "/dev/full"]).stdin(stdin()).stdout(Stdio::null()))
        .end()
        .expect_failure(1, &["lvpipe: cannot write target: /dev/full at offset 0: ", full]);
    for args in [["map", "--json"], ["map", "--extents"], ["inspect", "--json"]] {
        let file = if args[0] == "map" { &image } else { &stream };
        start(lvpipe(args).arg(file).stdout(dev_full())).end().expect_failure(1, &["cannot print: stdout: ", full]);
    }
}

/// Runs `recv` into a tmpfs of 1 MiB that only it sees; the file system's files come on stdout.
fn recv_on_small_tmpfs(directory: &Path, stream: &Path, before: &str) -> crate::process::Ran {
    let script = format!(
        "mount -t tmpfs -o size=1m none \"$1\" && cd \"$1\" && {before} \"$0\" recv copy; status=$?; ls; exit $status"
    );
    let stdin = File::open(stream).expect("the stream");
    run(Command::new("unshare").args(["-m", "sh", "-c", &script, LVPIPE]).arg(directory).stdin(stdin))
}

#[test]
fn a_full_file_system_is_an_error_and_no_partial_file_stays() {
    let scratch = scratch_in_memory();
    let (_, stream) = image_and_stream(scratch.path());
    let ran = recv_on_small_tmpfs(scratch.path(), &stream, "");
    let ran = ran.expect_failure(1, &["lvpipe: cannot write target: copy at offset ", "No space left on device"]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "");
}

#[test]
fn a_full_file_system_fails_a_target_that_exists_which_stays() {
    let scratch = scratch_in_memory();
    let (_, stream) = image_and_stream(scratch.path());
    let ran = recv_on_small_tmpfs(scratch.path(), &stream, "echo old > copy &&");
    let ran = ran.expect_failure(1, &["lvpipe: cannot write target: copy at offset ", "No space left on device"]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "copy\n");
}

/// What fits, fits: the failures above are not the namespace's.
#[test]
fn a_sparse_volume_larger_than_the_file_system_is_received() {
    let scratch = scratch_in_memory();
    let (image, stream) = (scratch.path().join("image"), scratch.path().join("stream"));
    Image::new(1 << 30, &[0..100_000, 500_000_000..500_100_000]).write(&image);
    fs::write(&stream, run(&mut send(&[], &image)).expect_ok().stdout).expect("written");
    let ran = recv_on_small_tmpfs(scratch.path(), &stream, "").expect_ok();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "copy\n");
}
