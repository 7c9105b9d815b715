//! A target file that exists is written in place and fully replaced; one that is in use is not touched.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::image::{Image, assert_takes_no_more, names, scratch_in_memory, scratch_on_disk};
use crate::process::{Ran, lvpipe, recv, run, run_pair, run_with_input, send, start, wait_until};

/// An image and its stream, and where a copy goes.
fn image_stream_and_target(directory: &Path) -> (Vec<u8>, PathBuf) {
    let source = directory.join("image");
    Image::sample().write(&source);
    (run(&mut send(&["-s", "64k"], &source)).expect_ok().stdout, directory.join("copy"))
}

fn receive(stream: &[u8], target: &Path) -> Ran {
    run_with_input(&mut recv(&[], target), stream)
}

#[test]
fn old_content_is_replaced_and_holes_are_punched_whatever_its_size_was() {
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    let size = Image::sample().size;
    for old_size in [0, 1, size - 4097, size, size + 1, 3 * size] {
        Image::full(old_size).seed(2).write(&target);
        receive(&stream, &target).expect_ok();
        Image::sample().assert_is(&target);
        assert_takes_no_more(&target, &scratch.path().join("image"));
    }
}

#[test]
fn holes_are_punched_on_a_disk_too() {
    let scratch = scratch_on_disk();
    let (stream, target) = image_stream_and_target(scratch.path());
    Image::full(Image::sample().size).seed(2).write(&target);
    receive(&stream, &target).expect_ok();
    Image::sample().assert_is(&target);
    assert_takes_no_more(&target, &scratch.path().join("image"));
}

#[test]
fn a_byte_stream_cuts_off_what_is_longer() {
    let scratch = scratch_in_memory();
    let target = scratch.path().join("copy");
    for length in [0, 1, 100_000] {
        let image = Image::full(length);
        let stream = run_with_input(&mut lvpipe(["send", "-s", "64k", "-"]), &image.bytes()).expect_ok().stdout;
        Image::full(300_000).seed(2).write(&target);
        receive(&stream, &target).expect_ok();
        image.assert_is(&target);
    }
}

#[test]
fn it_stays_the_same_file() {
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    fs::write(&target, "old").expect("written");
    let (link, symlink) = (scratch.path().join("link"), scratch.path().join("symlink"));
    fs::hard_link(&target, &link).expect("linked");
    std::os::unix::fs::symlink(&target, &symlink).expect("linked");
    let before = fs::metadata(&target).expect("it exists").ino();
    receive(&stream, &symlink).expect_ok();
    assert_eq!(fs::metadata(&target).expect("it exists").ino(), before);
    Image::sample().assert_is(&link);
}

#[test]
fn a_file_that_another_process_has_open_for_writing_is_refused() {
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    fs::write(&target, "somebody's").expect("written");
    // As a virtual machine has its disk open.
    let disk = OpenOptions::new().read(true).write(true).open(&target).expect("open");
    let mut holder = Command::new("cat").stdin(Stdio::piped()).stdout(disk).spawn().expect("cat");
    receive(&stream, &target).expect_failure(
        4,
        &[
            "lvpipe: target refused: ",
            &format!("cat (process {}) has it open for writing\n  end that", holder.id()),
        ],
    );
    assert_eq!(fs::read(&target).expect("it exists"), b"somebody's");
    drop(holder.stdin.take());
    holder.wait().expect("it ends");
    receive(&stream, &target).expect_ok();
}

/// Root could write it all the same.
#[test]
fn a_file_that_is_write_protected_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    fs::write(&target, "somebody's").expect("written");
    let allow = |mode| fs::set_permissions(&target, fs::Permissions::from_mode(mode)).expect("it is ours");
    allow(0o444);
    receive(&stream, &target)
        .expect_failure(4, &["lvpipe: target refused: ", "copy: it is read-only\n  chmod u+w "]);
    assert_eq!(fs::read(&target).expect("it exists"), b"somebody's");
    allow(0o644);
    receive(&stream, &target).expect_ok();
}

#[test]
fn a_link_that_leads_nowhere_is_refused_before_anything_is_written() {
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    std::os::unix::fs::symlink("nowhere", &target).expect("linked");
    // The prelude alone: what comes later is not waited for.
    receive(&stream[..1000], &target)
        .expect_failure(4, &["target refused: ", "a symbolic link to nowhere, which does not exist\n  name the"]);
    assert_eq!(names(scratch.path()), ["copy", "image"]);
}

#[test]
fn a_file_that_another_process_reads_is_written() {
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    fs::write(&target, "old").expect("written");
    let _reader = File::open(&target).expect("open");
    receive(&stream, &target).expect_ok();
    Image::sample().assert_is(&target);
}

#[test]
fn a_file_that_is_locked_is_refused() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    fs::write(&target, "somebody's").expect("written");
    // Read-only, so that it is the lock that is seen; as qemu locks an image it shares.
    let holder = File::open(&target).expect("open");
    let whole = nix::libc::flock {
        l_type: nix::libc::F_RDLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&holder, FcntlArg::F_OFD_SETLK(&whole)).expect("locked");
    receive(&stream, &target).expect_failure(4, &["target refused: ", "another process holds a lock on it"]);
    assert_eq!(fs::read(&target).expect("it exists"), b"somebody's");
}

#[test]
fn of_two_lvpipes_on_one_file_the_second_is_refused() {
    let scratch = scratch_in_memory();
    let (stream, target) = image_stream_and_target(scratch.path());
    fs::write(&target, "old").expect("written");
    let mut first = start(recv(&[], &target).stdin(Stdio::piped()));
    let mut writer = first.stdin();
    writer.write_all(&stream[..1000]).expect("it reads");
    wait_until("it has begun", || fs::metadata(&target).expect("it exists").len() == Image::sample().size);
    receive(&stream, &target).expect_failure(4, &["target refused: ", "lvpipe (process "]);
    writer.write_all(&stream[1000..]).expect("it still reads");
    drop(writer);
    first.end().expect_ok();
    Image::sample().assert_is(&target);
}

/// `lvpipe send image | lvpipe recv image`, by any name.
#[test]
fn the_source_itself_is_refused_as_the_target() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::sample().write(&source);
    let (link, symlink) = (scratch.path().join("link"), scratch.path().join("symlink"));
    fs::hard_link(&source, &link).expect("linked");
    std::os::unix::fs::symlink("image", &symlink).expect("linked");
    for name in [&source, &link, &symlink] {
        // Without compression and slowly, so that the sender still runs when the receiver looks.
        run_pair(&mut send(&["-r", "4M", "-s", "64k"], &source), &mut recv(&[], name))
            .expect_recv_failure(4, &["target refused: ", "it is the source that is being sent\n  name another"]);
        Image::sample().assert_is(&source);
    }
}

#[test]
fn a_backup_is_restored_over_its_own_source() {
    let scratch = scratch_in_memory();
    let (stream, _) = image_stream_and_target(scratch.path());
    let source = scratch.path().join("image");
    Image::full(100_000).seed(2).write(&source);
    receive(&stream, &source).expect_ok();
    Image::sample().assert_is(&source);
}

/// `lvpipe send image >> image`.
#[test]
fn a_source_is_not_sent_into_itself() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::sample().write(&source);
    let itself = OpenOptions::new().append(true).open(&source).expect("open");
    start(send(&[], &source).stdout(itself)).end().expect_failure(4, &["standard output is the source itself"]);
    Image::sample().assert_is(&source);
}

#[test]
fn a_transfer_that_fails_says_that_the_target_is_half_written() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::sample().write(&source);
    let stream = run(&mut send(&["-s", "64k"], &source)).expect_ok().stdout;
    let target = scratch.path().join("copy");
    fs::write(&target, "old").expect("written");
    run_with_input(&mut recv(&[], &target), &stream[..stream.len() / 2])
        .expect_failure(3, &["lvpipe: the target holds only a part of the volume now: receive it again"]);
    let new = scratch.path().join("new");
    let ran = run_with_input(&mut recv(&[], &new), &stream[..stream.len() / 2]);
    assert!(!ran.stderr.contains("only a part"), "{ran}");
}
