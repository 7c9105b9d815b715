//! Runs that are ended from outside. After kill -9 nothing is said to be done that is not; after SIGTERM, SIGINT
//! and SIGHUP the status is 128 and the signal's number, at once and wherever the run is blocked, and nothing is
//! left behind.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGKILL, SIGTERM};
use nix::sys::stat::Mode;

use crate::image::{Image, assert_not_there, names, scratch_in_memory};
use crate::process::{Ran, Running, lvpipe, recv, run, run_with_input, send, start, start_pair, wait_until};

/// Long enough on a busy machine, and far below any timeout that could end a blocked run by itself.
const PROMPTLY: Duration = Duration::from_secs(10);
const ENDING: [Signal; 3] = [SIGTERM, SIGINT, SIGHUP];

/// Waits until the process catches signals: proc(5), SigCgt.
fn wait_until_it_catches(running: &Running) {
    wait_until("it catches SIGTERM", || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(caught.trim(), 16).expect("a mask") >> (SIGTERM as i32 - 1) & 1 == 1
    });
}

/// Sends the signal; the run ends by it and says so.
#[track_caller]
fn assert_ended_by(signal: Signal, running: Running) -> Ran {
    // Into whatever call it will be blocked in.
    std::thread::sleep(Duration::from_millis(50));
    running.signal(signal);
    let ran = running.end_within(PROMPTLY);
    ran.expect_failure(128 + signal as i32, &[&format!("lvpipe: ended: {signal}")])
}

fn large_image(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("image");
    Image::full(8 << 20).write(&path);
    path
}

#[test]
fn a_signal_ends_a_sender_whose_reader_does_not_read() {
    let scratch = scratch_in_memory();
    let image = large_image(scratch.path());
    for signal in ENDING {
        let mut running = start(send(&["--compress", "none"], &image).stdout(Stdio::piped()));
        let mut pipe = running.stdout();
        pipe.read_exact(&mut [0; 1]).expect("it has begun");
        assert_ended_by(signal, running);
        drop(pipe);
    }
}

#[test]
fn a_signal_ends_a_sender_of_a_stream_whose_writer_does_not_write() {
    for signal in ENDING {
        let mut running = start(lvpipe(["send", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let writer = running.stdin();
        running.stdout().read_exact(&mut [0; 1]).expect("the prelude comes at once");
        assert_ended_by(signal, running);
        drop(writer);
    }
}

#[test]
fn a_signal_ends_a_sender_that_keeps_a_slow_rate() {
    let scratch = scratch_in_memory();
    let image = large_image(scratch.path());
    let running = start(send(&["-r", "1k"], &image).stdout(Stdio::null()));
    wait_until_it_catches(&running);
    assert_ended_by(SIGINT, running);
}

#[test]
fn a_signal_ends_a_receiver_that_waits_for_the_first_byte() {
    let scratch = scratch_in_memory();
    for signal in ENDING {
        let mut running = start(recv(&[], &scratch.path().join("copy")).stdin(Stdio::piped()));
        let writer = running.stdin();
        wait_until_it_catches(&running);
        assert_ended_by(signal, running);
        drop(writer);
    }
    assert_eq!(names(scratch.path()), [""; 0]);
}

#[test]
fn a_signal_ends_a_receiver_in_the_middle_and_what_it_wrote_can_be_gone_on_with() {
    let scratch = scratch_in_memory();
    let image = large_image(scratch.path());
    let stream = run(&mut send(&[], &image)).expect_ok().stdout;
    let partial = scratch.path().join("copy.partial");
    for signal in ENDING {
        let mut running = start(recv(&[], &scratch.path().join("copy")).stdin(Stdio::piped()));
        let mut writer = running.stdin();
        writer.write_all(&stream[..stream.len() / 2]).expect("it reads");
        wait_until("there is a .partial", || partial.exists());
        assert_ended_by(signal, running);
        assert_not_there(scratch.path(), &["image"]);
    }
}

#[test]
fn a_signal_ends_a_receiver_whose_reader_does_not_read() {
    let scratch = scratch_in_memory();
    let image = large_image(scratch.path());
    let stream = run(&mut send(&[], &image)).expect_ok().stdout;
    let saved = scratch.path().join("stream");
    fs::write(&saved, stream).expect("written");
    for signal in ENDING {
        let stdin = File::open(&saved).expect("the stream");
        let mut running = start(lvpipe(["recv", "-"]).stdin(stdin).stdout(Stdio::piped()));
        let mut pipe = running.stdout();
        pipe.read_exact(&mut [0; 1]).expect("it has begun");
        assert_ended_by(signal, running);
    }
}

#[test]
fn a_signal_ends_an_inspection_that_waits_for_its_stream() {
    let scratch = scratch_in_memory();
    let image = large_image(scratch.path());
    let stream = run(&mut send(&[], &image)).expect_ok().stdout;
    for args in [&["inspect", "-"][..], &["inspect", "--verify", "-"]] {
        for sent in [0, stream.len() / 2] {
            let mut running = start(lvpipe(args).stdin(Stdio::piped()));
            let mut writer = running.stdin();
            writer.write_all(&stream[..sent]).expect("it reads");
            wait_until_it_catches(&running);
            assert_ended_by(SIGINT, running);
        }
    }
}

#[test]
fn a_signal_ends_a_map_that_nobody_reads() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("image");
    let page = 4096;
    let data: Vec<_> = (0..6_000).map(|n| n * 2 * page..n * 2 * page + 1).collect();
    Image::new(12_000 * page, &data).write(&path);
    for form in ["--extents", "--json"] {
        let mut running = start(lvpipe(["map", form]).arg(&path).stdout(Stdio::piped()));
        let mut pipe = running.stdout();
        pipe.read_exact(&mut [0; 1]).expect("it has begun");
        assert_ended_by(SIGTERM, running);
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_other_end_of_a_fifo() {
    let scratch = scratch_in_memory();
    let fifo = scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
    let running = start(send(&[], &fifo).stdout(Stdio::piped()));
    wait_until_it_catches(&running);
    assert_ended_by(SIGTERM, running);

    for args in [&["inspect"][..], &["inspect", "--verify"]] {
        let running = start(lvpipe(args).arg(&fifo));
        wait_until_it_catches(&running);
        assert_ended_by(SIGTERM, running);
    }

    let image = large_image(scratch.path());
    let saved = scratch.path().join("stream");
    fs::write(&saved, run(&mut send(&[], &image)).expect_ok().stdout).expect("written");
    let running = start(recv(&[], &fifo).stdin(File::open(&saved).expect("the stream")));
    wait_until_it_catches(&running);
    assert_ended_by(SIGTERM, running);
}

#[test]
fn fifos_work_as_source_stream_and_target_once_both_ends_are_open() {
    let scratch = scratch_in_memory();
    let fifo = scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
    let image = Image::full(300_000);
    let mut sending = start(send(&["-s", "64k"], &fifo).stdout(Stdio::piped()));
    let mut pipe = sending.stdout();
    fs::write(&fifo, image.bytes()).expect("written");
    let mut stream = Vec::new();
    pipe.read_to_end(&mut stream).expect("its output");
    sending.end().expect_ok();

    let inspecting = start(lvpipe(["inspect", "--verify", "-q"]).arg(&fifo).stdout(Stdio::null()));
    fs::write(&fifo, &stream).expect("written");
    inspecting.end().expect_ok();

    let saved = scratch.path().join("stream");
    fs::write(&saved, stream).expect("written");
    let receiving = start(recv(&[], &fifo).stdin(File::open(&saved).expect("the stream")));
    image.assert_bytes(&fs::read(&fifo).expect("read"));
    receiving.end().expect_ok();
}

#[test]
fn a_hangup_that_was_ignored_from_the_start_stays_ignored() {
    let scratch = scratch_in_memory();
    let image = large_image(scratch.path());
    let stream = run(&mut send(&[], &image)).expect_ok().stdout;
    // As nohup(1) starts it.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" recv \"$1\"", crate::process::LVPIPE]);
    let mut running = start(command.arg(scratch.path().join("copy")).stdin(Stdio::piped()));
    let mut writer = running.stdin();
    writer.write_all(&stream[..1000]).expect("it reads");
    wait_until("it has begun", || scratch.path().join("copy.partial").exists());
    running.signal(SIGHUP);
    writer.write_all(&stream[1000..]).expect("it still reads");
    drop(writer);
    running.end().expect_ok();
}

/// Numbers that look random and are the same in every run.
fn moments(seed: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((state >> 33) % 40_000)
    })
}

/// A run of some 30 ms, killed at any moment of it.
fn kill_at_random_moments(kill_receiver: bool) {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::sample();
    image.write(&source);
    let mut whole = 0;
    for moment in moments(u64::from(kill_receiver)).take(60) {
        // What the one before left as .partial is still there.
        let (sending, receiving) = start_pair(
            &mut send(&["-s", "64k", "--compress", "none", "-r", "40M"], &source),
            recv(&[], &target).stdout(Stdio::null()),
        );
        std::thread::sleep(moment);
        if kill_receiver {
            receiving.signal(SIGKILL)
        } else {
            sending.signal(SIGKILL)
        };
        let (sent, received) = (sending.end(), receiving.end());
        if received.status.success() {
            assert!(target.exists(), "after {moment:?}\n{sent}{received}");
            whole += 1;
        }
        // Killed between the renaming and its exit, the receiver has left a whole target.
        if target.exists() {
            image.assert_is(&target);
            fs::remove_file(&target).expect("removed");
        } else if !kill_receiver {
            received.expect_failure(3, &["lvpipe: stream is truncated: stdin"]);
            assert_not_there(scratch.path(), &["image"]);
        }
    }
    assert!(whole < 60, "none was killed in time");
    // After all that, one that nobody kills.
    let stream = run(&mut send(&[], &source)).expect_ok().stdout;
    run_with_input(&mut recv(&[], &target), &stream).expect_ok();
    image.assert_is(&target);
}

#[test]
fn a_sender_killed_at_any_moment_never_makes_a_wrong_copy() {
    kill_at_random_moments(false);
}

#[test]
fn a_receiver_killed_at_any_moment_never_makes_a_wrong_copy() {
    kill_at_random_moments(true);
}
