//! A new target file is under its name only when it is whole: until then it is NAME.partial, which is gone after a
//! failure and cannot be written by two at once.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use crate::image::{Image, UNFINISHED, assert_not_there, names, scratch_in_memory, scratch_on_disk};
use crate::process::{Running, recv, run, run_with_input, send, start, wait_until};

fn stream_and_target(directory: &Path) -> (Vec<u8>, PathBuf) {
    let source = directory.join("image");
    Image::sample().write(&source);
    let stream = run(&mut send(&["-s", "64k"], &source)).expect_ok().stdout;
    fs::remove_file(source).expect("removed");
    (stream, directory.join("copy"))
}

/// A receiver in the middle of its stream: how much of it is left, and where that goes.
fn start_half<'a>(stream: &'a [u8], target: &Path) -> (Running, ChildStdin, &'a [u8]) {
    let mut running = start(recv(&[], target).stdin(Stdio::piped()));
    let mut writer = running.stdin();
    let (half, rest) = stream.split_at(stream.len() / 2);
    writer.write_all(half).expect("it reads");
    let partial = target.with_extension("partial");
    // Not before something is in it is it the receiver's for good.
    wait_until("it has begun", || fs::metadata(&partial).is_ok_and(|found| found.blocks() > 0));
    (running, writer, rest)
}

#[test]
fn it_is_partial_while_it_is_written_and_has_its_name_afterwards() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let (running, mut writer, rest) = start_half(&stream, &target);
    assert_eq!(names(scratch.path()), UNFINISHED);
    writer.write_all(rest).expect("it reads");
    drop(writer);
    running.end().expect_ok();
    assert_eq!(names(scratch.path()), ["copy"]);
    Image::sample().assert_is(&target);
}

#[test]
fn it_is_kept_when_the_transfer_fails_and_can_be_gone_on_with() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let (running, writer, _) = start_half(&stream, &target);
    drop(writer);
    running.end().expect_failure(
        3,
        &["lvpipe: stream is truncated: stdin at offset ", "copy.partial: go on with --resume, or remove it and "],
    );
    assert_eq!(names(scratch.path()), UNFINISHED);
}

/// A backup that is restored from a file can be restored again: there is nothing to go on with.
#[test]
fn it_is_gone_when_nothing_can_be_gone_on_with() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let half = scratch.path().join("half");
    fs::write(&half, &stream[..stream.len() / 2]).expect("written");
    let backup = fs::File::open(&half).expect("it is there");
    run(recv(&[], &target).stdin(backup)).expect_failure(3, &["lvpipe: stream is truncated: stdin at offset "]);
    assert_eq!(names(scratch.path()), ["half"]);
    // Nor when nothing has arrived.
    run_with_input(&mut recv(&[], &target), &stream[..200]).expect_failure(3, &["lvpipe: stream is truncated"]);
    assert_eq!(names(scratch.path()), ["half"]);
}

#[test]
fn of_two_transfers_to_one_name_the_second_is_refused() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let (running, mut writer, rest) = start_half(&stream, &target);
    run_with_input(&mut recv(&[], &target), &stream).expect_failure(
        4,
        &["lvpipe: target refused: ", "copy.partial: another process holds a lock on it\n  another"],
    );
    assert_eq!(names(scratch.path()), UNFINISHED);
    writer.write_all(rest).expect("it still reads");
    drop(writer);
    running.end().expect_ok();
    Image::sample().assert_is(&target);
}

/// However they meet: who says that it is done, has a whole copy there.
#[test]
fn of_many_transfers_to_one_name_at_once_none_breaks_another() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let saved = scratch.path().join("stream");
    fs::write(&saved, stream).expect("written");
    for _ in 0..40 {
        let stdin = || fs::File::open(&saved).expect("the stream");
        let running: Vec<Running> = (0..4).map(|_| start(recv(&[], &target).stdin(stdin()))).collect();
        let ran: Vec<_> = running.into_iter().map(Running::end).collect();
        assert!(ran.iter().any(|ran| ran.status.success()), "none was first");
        for ran in ran.into_iter().filter(|ran| !ran.status.success()) {
            ran.expect_failure(4, &["lvpipe: target refused: "]);
        }
        Image::sample().assert_is(&target);
        fs::remove_file(&target).expect("removed");
        assert_eq!(names(scratch.path()), ["stream"]);
    }
}

#[test]
fn what_a_killed_transfer_left_is_written_over() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let (running, writer, _) = start_half(&stream, &target);
    let partial = target.with_extension("partial");
    wait_until("it has something in it", || fs::metadata(&partial).is_ok_and(|file| file.len() > 0));
    running.signal(nix::sys::signal::Signal::SIGKILL);
    drop(writer);
    assert!(!running.end().status.success());
    assert_eq!(names(scratch.path()), UNFINISHED);
    run_with_input(&mut recv(&[], &target), &stream).expect_ok();
    assert_eq!(names(scratch.path()), ["copy"]);
    Image::sample().assert_is(&target);
}

/// Refuses all of these, and leaves `held`, which the `.partial` name leads to, as it was.
#[track_caller]
fn assert_partial_is_refused(stream: &[u8], target: &Path, held: &Path, why: &str) {
    let before = fs::read(held).expect("it is there");
    run_with_input(&mut recv(&[], target), stream).expect_failure(
        4,
        &["lvpipe: target refused: ", "copy.partial: ", why, "\n  a new file has this name until"],
    );
    assert_eq!(fs::read(held).expect("it is still there"), before);
    assert!(!target.exists());
}

#[test]
fn somebody_elses_file_of_the_partial_name_is_not_touched() {
    for scratch in [scratch_in_memory(), scratch_on_disk()] {
        let (stream, target) = stream_and_target(scratch.path());
        let (partial, precious) = (target.with_extension("partial"), scratch.path().join("precious"));
        fs::write(&precious, "precious").expect("written");
        let refused = |held: &Path, why| {
            assert_partial_is_refused(&stream, &target, held, why);
            fs::remove_file(&partial).expect("removed");
        };

        std::os::unix::fs::symlink("precious", &partial).expect("linked");
        refused(&precious, "it is a symbolic link");
        fs::hard_link(&precious, &partial).expect("linked");
        refused(&precious, "it has another name as well (a hard link)");
        fs::write(&partial, "mine").expect("written");
        refused(&partial, "it is not what an unfinished transfer left");
        nix::unistd::mkfifo(&partial, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        run_with_input(&mut recv(&[], &target), &stream).expect_failure(4, &["it is not a regular file\n"]);
        fs::remove_file(&partial).expect("removed");
        // A link that leads nowhere is not made to lead somewhere.
        std::os::unix::fs::symlink("nowhere", &partial).expect("linked");
        run_with_input(&mut recv(&[], &target), &stream).expect_failure(4, &["it is a symbolic link\n"]);
        assert_eq!(names(scratch.path()), ["copy.partial", "precious"]);
    }
}

/// The mark of an unfinished file is not on a finished one: under another name, it is nobody's leftover.
#[test]
fn a_finished_copy_that_is_renamed_to_the_partial_name_is_not_touched() {
    let scratch = scratch_on_disk();
    let (stream, target) = stream_and_target(scratch.path());
    run_with_input(&mut recv(&[], &target), &stream).expect_ok();
    let partial = target.with_extension("partial");
    fs::rename(&target, &partial).expect("renamed");
    assert_partial_is_refused(&stream, &target, &partial, "it is not what an unfinished transfer left");
}

#[test]
fn a_file_that_appears_under_the_name_meanwhile_is_not_touched() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let (running, mut writer, rest) = start_half(&stream, &target);
    fs::write(&target, "somebody's").expect("written");
    writer.write_all(rest).expect("it reads");
    drop(writer);
    running
        .end()
        .expect_failure(1, &["cannot rename target: ", "a file of that name appeared during the transfer"]);
    assert_not_there(scratch.path(), &["copy"]);
    assert_eq!(fs::read(&target).expect("it exists"), b"somebody's");
}

#[test]
fn a_directory_that_does_not_exist_is_an_error() {
    let scratch = scratch_in_memory();
    let (stream, _) = stream_and_target(scratch.path());
    let target = scratch.path().join("no/such/copy");
    run_with_input(&mut recv(&[], &target), &stream)
        .expect_failure(1, &["lvpipe: cannot open target: ", "no/such/copy: No such file or directory"]);
}

#[test]
fn a_partial_file_that_is_moved_away_meanwhile_is_no_success() {
    let scratch = scratch_in_memory();
    let (stream, target) = stream_and_target(scratch.path());
    let partial = target.with_extension("partial");
    let (running, mut writer, rest) = start_half(&stream, &target);
    fs::rename(&partial, scratch.path().join("elsewhere")).expect("moved");
    fs::write(&partial, "another's").expect("written");
    writer.write_all(rest).expect("it reads");
    drop(writer);
    running
        .end()
        .expect_failure(1, &["cannot rename target: ", "somebody moved or removed it during the transfer"]);
    assert!(!target.exists());
    assert_eq!(fs::read(&partial).expect("it exists"), b"another's");
}
