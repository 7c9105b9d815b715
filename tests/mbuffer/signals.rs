//! Signals and the watchdog: a prompt end with the right status, wherever it waits.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::pair::{BOTH, Place, Program, bytes, code, wait};

/// Long enough for a machine under load, short enough to tell a prompt end from none.
const PROMPT: Duration = Duration::from_secs(10);

/// A run whose input stays open; `input` has been given to it, and nobody reads its output.
fn stuck(place: &Place, program: Program, line: &str, input: Vec<u8>) -> (Child, ChildStdin) {
    let args: Vec<&str> = line.split_whitespace().collect();
    let mut command = place.command(program, &args);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let other = std::os::fd::AsFd::as_fd(&stdin).try_clone_to_owned().expect("another handle");
    thread::spawn(move || drop(stdin.write_all(&input)));
    let start = Instant::now();
    while !catches(&child, Signal::SIGINT) {
        assert!(start.elapsed() < PROMPT, "{line}: it does not take signals");
        thread::sleep(Duration::from_millis(5));
    }
    // Time to fill what can be filled.
    thread::sleep(Duration::from_millis(300));
    (child, ChildStdin::from(other))
}

/// Whether it has said what to do on this signal: proc_pid_status(5).
fn catches(child: &Child, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it is not waited for yet");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a line of status");
    u64::from_str_radix(caught.trim(), 16).expect("a mask") & (1 << (signal as i32 - 1)) != 0
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), signal).expect("the child is there");
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("text");
    text
}

#[test]
fn interrupt_and_hangup_end_it_at_once_wherever_it_waits() {
    // An idle input; one inside a block; a reader that does not read.
    for (line, len) in [("-s 64k", 0), ("-s 64k", 100_000), ("-s 64k -b 8", 8_000_000)] {
        for number in [Signal::SIGINT, Signal::SIGHUP] {
            let place = Place::new();
            let (mut child, stdin) = stuck(&place, Program::Lvpipe, line, bytes(len));
            let start = Instant::now();
            signal(&child, number);
            assert_eq!(code(wait(&mut child, line)), 1, "{number} with {len} bytes");
            assert!(start.elapsed() < PROMPT);
            let err = said(&mut child);
            assert!(err.contains("mbuffer: warning: error during output to <stdout>: canceled\n"), "{err}");
            assert!(err.contains("summary: "), "{err}");
            drop(stdin);
        }
    }
}

#[test]
fn other_signals_do_what_they_always_do() {
    for program in BOTH {
        for (number, status) in [(Signal::SIGTERM, 143), (Signal::SIGUSR1, 138), (Signal::SIGQUIT, 131)] {
            let place = Place::new();
            let (mut child, stdin) = stuck(&place, program, "", Vec::new());
            signal(&child, number);
            assert_eq!(code(wait(&mut child, "mbuffer")), status, "{program:?} {number}");
            drop(stdin);
        }
    }
}

#[test]
fn an_interrupt_ends_it_also_when_nobody_reads_its_messages() {
    let place = Place::new();
    // So much is said at this level that the pipe is full before the copy ends.
    let (mut child, stdin) = stuck(&place, Program::Lvpipe, "-v6 -s 1k -b 8 -o out", bytes(8_000_000));
    signal(&child, Signal::SIGINT);
    assert_eq!(code(wait(&mut child, "mbuffer")), 1);
    drop(stdin);
}

#[test]
fn the_watchdog_ends_a_stalled_run_with_status_1() {
    for (len, sides) in [(100_000, vec!["input"]), (8_000_000, vec!["output"])] {
        let place = Place::new();
        let (mut child, stdin) = stuck(&place, Program::Lvpipe, "-q -s 64k -b 8 -W 1", bytes(len));
        assert_eq!(code(wait(&mut child, "mbuffer")), 1);
        let err = said(&mut child);
        for side in sides {
            assert!(
                err.contains(&format!("mbuffer: error: watchdog timeout: {side} stalled; sending SIGINT\n")),
                "{err}"
            );
        }
        assert!(err.contains("error during output to <stdout>: canceled\n"), "{err}");
        drop(stdin);
    }
}

#[test]
fn a_slow_stream_is_no_stalled_one() {
    let place = Place::new();
    let command = place.command(Program::Lvpipe, &["-q", "-s", "64k", "-W", "1", "-r", "20k"]);
    // Three seconds, in which no whole block is read in one of them.
    let outcome = crate::pair::finish(command, &bytes(60_000)).expect(0);
    assert!(outcome.out == bytes(60_000));
    assert!(outcome.took > Duration::from_secs(2), "{outcome}");
}

#[test]
fn a_slow_reader_is_no_stalled_one() {
    let place = Place::new();
    // The real one ends this: no whole block is written in a second.
    let (mut child, stdin) = stuck(&place, Program::Lvpipe, "-q -s 1M -b 8 -W 1", bytes(12_000_000));
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut some = vec![0; 32 << 10];
    for _ in 0..12 {
        stdout.read_exact(&mut some).expect("data");
        thread::sleep(Duration::from_millis(250));
    }
    assert!(child.try_wait().expect("a child").is_none(), "{}", said(&mut child));
    signal(&child, Signal::SIGINT);
    assert_eq!(code(wait(&mut child, "mbuffer")), 1);
    drop(stdin);
}

#[test]
fn the_watchdog_also_ends_the_wait_for_a_connection() {
    for program in BOTH {
        let place = Place::new();
        let port = crate::pair::free_port();
        let outcome = place.line(program, &format!("-W 1 -I {port}"), b"").expect(130);
        assert_eq!(outcome.err, "mbuffer: error: watchdog timeout: input stalled; sending SIGINT\n");
    }
}
