//! Rates and watermarks.

use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::pair::{Place, Program, bytes, code, finish, wait};

/// A rate is kept within 5 % over ten seconds.
fn keeps_rate(option: &'static str) {
    let rate = 400.0 * 1024.0;
    let place = Place::new();
    let len = (rate * 10.0) as usize;
    let outcome =
        finish(place.command(Program::Lvpipe, &["-q", "-s128k", "-m16M", option, "400k"]), &bytes(len)).expect(0);
    assert!(outcome.out == bytes(len));
    let seconds = outcome.took.as_secs_f64();
    assert!((9.5..=10.5).contains(&seconds), "{option}: {seconds} seconds");
}

#[test]
fn the_read_rate_is_kept() {
    keeps_rate("-r");
}

#[test]
fn the_write_rate_is_kept() {
    keeps_rate("-R");
}

#[test]
fn a_block_larger_than_the_data_is_not_charged_whole() {
    // The real one takes 10 seconds for this.
    let outcome = Place::new().line(Program::Lvpipe, "-q -R400k", &bytes(400_000)).expect(0);
    assert!(outcome.took < Duration::from_secs(5), "{outcome}");
}

#[test]
fn idle_time_is_not_saved_up() {
    let place = Place::new();
    let mut command = place.command(Program::Lvpipe, &["-q", "-s", "16k", "-b", "64", "-R", "500k"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdin.write_all(&bytes(16 << 10)).expect("taken");
    thread::sleep(Duration::from_secs(2));
    stdin.write_all(&bytes(512_000)).expect("taken");
    drop(stdin);
    let start = Instant::now();
    let mut out = Vec::new();
    stdout.read_to_end(&mut out).expect("data");
    assert_eq!(out.len(), 512_000 + (16 << 10));
    assert!(start.elapsed() > Duration::from_millis(700), "{:?}", start.elapsed());
    assert_eq!(code(wait(&mut child, "mbuffer")), 0);
}

#[test]
fn the_rate_follows_the_fill_between_both_marks() {
    // From 100k at 10 % to 2M at 90 %: the first second is slow, and a full buffer is fast.
    let args = ["-q", "-s", "16k", "-m", "2M", "-p", "10", "-P", "90", "-M", "100k", "-R", "2M"];
    let place = Place::new();
    let outcome = finish(place.command(Program::Lvpipe, &args), &bytes(4_000_000)).expect(0);
    assert!(outcome.out == bytes(4_000_000));
    let seconds = outcome.took.as_secs_f64();
    assert!((2.0..20.0).contains(&seconds), "{seconds} seconds");
}

#[test]
fn nothing_comes_out_before_a_block_is_full_or_the_high_mark_is_reached() {
    for (line, first, rest) in [("-q -s 64k", 60_000, 10_000), ("-q -s 4k -b 64 -P 50", 120_000, 20_000)] {
        let args: Vec<&str> = line.split_whitespace().collect();
        let place = Place::new();
        let mut command = place.command(Program::Lvpipe, &args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        stdin.write_all(&bytes(first)).expect("taken");
        let quiet = {
            use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
            let fd = std::os::fd::AsFd::as_fd(&stdout);
            poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(500u16)).expect("polled")
        };
        assert_eq!(quiet, 0, "{line}: something came out");
        stdin.write_all(&bytes(rest)).expect("taken");
        let mut some = [0; 1];
        stdout.read_exact(&mut some).expect("now something comes");
        drop(stdin);
        let mut out = Vec::new();
        stdout.read_to_end(&mut out).expect("data");
        assert_eq!(out.len() + 1, first + rest);
        assert_eq!(code(wait(&mut child, line)), 0);
    }
}

#[test]
fn marks_do_not_hang_on_small_buffers() {
    let place = Place::new();
    let input = bytes(300_000);
    for line in ["-s4k -b5 -P 100", "-s4k -b5 -P 10", "-s4k -b5 -p 0", "-s4k -b5 -p 99.9"] {
        for _ in 0..10 {
            let outcome = place.line(Program::Lvpipe, line, &input).expect(0);
            assert!(outcome.out == input, "{line}");
        }
    }
}
