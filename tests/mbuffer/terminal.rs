//! The questions asked at a terminal, by a pseudo-terminal that answers, or hangs up.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};

use crate::pair::{Place, Program, bytes, code, wait};

/// A child whose fd 2 and controlling terminal is a pseudo-terminal; the other end of that.
fn at_terminal(mut command: Command) -> (Child, File) {
    let size = Winsize { ws_row: 25, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
    let (master, slave) = (File::from(pty.master), File::from(pty.slave));
    // A child that held the other end itself would never see it hang up.
    fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("set");
    let fd = slave.as_raw_fd();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(slave.try_clone().expect("another handle"));
    // SAFETY: ioctl(2) may be called between fork and exec; `Place::command` has made the child a session leader.
    unsafe {
        command.pre_exec(move || match libc::ioctl(fd, libc::TIOCSCTTY, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    (command.spawn().expect("it starts"), master)
}

/// Reads from the terminal until `wanted` has been said.
fn listen(terminal: &mut File, wanted: &str) -> String {
    let start = Instant::now();
    let mut said = String::new();
    let mut some = [0; 1024];
    while !said.contains(wanted) {
        let fd = std::os::fd::AsFd::as_fd(terminal);
        let ready = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(1000u16)).expect("polled");
        assert!(start.elapsed() < Duration::from_secs(20), "{wanted:?} was not said: {said}");
        if ready == 0 {
            continue;
        }
        let len = terminal.read(&mut some).unwrap_or_else(|error| panic!("{error} after {said}"));
        said += &String::from_utf8_lossy(&some[..len]);
    }
    said
}

fn feed(child: &mut Child, input: Vec<u8>) {
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::spawn(move || drop(stdin.write_all(&input)));
}

#[test]
fn a_full_volume_is_asked_for_and_return_goes_on() {
    let place = Place::new();
    let (mut child, mut terminal) =
        at_terminal(place.command(Program::Lvpipe, &["-q", "-s", "64k", "-D", "128k", "-o", "out"]));
    feed(&mut child, bytes(200_000));
    listen(&mut terminal, "volume full - insert new media and press return when ready...");
    std::fs::rename(place.path("out"), place.path("first")).expect("a volume");
    terminal.write_all(b"\n").expect("a key");
    listen(&mut terminal, "OK - continuing...");
    assert_eq!(code(wait(&mut child, "mbuffer")), 0);
    assert_eq!(place.read("first").len(), 131_072);
    assert!([place.read("first"), place.read("out")].concat() == bytes(200_000));
}

#[test]
fn a_terminal_that_hangs_up_ends_it() {
    let place = Place::new();
    let (mut child, mut terminal) =
        at_terminal(place.command(Program::Lvpipe, &["-q", "-s", "64k", "-D", "128k", "-o", "out"]));
    feed(&mut child, bytes(200_000));
    listen(&mut terminal, "press return when ready...");
    drop(terminal);
    assert_eq!(code(wait(&mut child, "mbuffer")), 1);
}

#[test]
fn standard_output_is_never_asked_about() {
    let place = Place::new();
    let mut command = place.command(Program::Lvpipe, &["-s", "64k"]);
    command.arg("-q");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let pty = openpty(None, None).expect("a pseudo-terminal");
    let mut child =
        command.stdin(Stdio::piped()).stdout(full).stderr(File::from(pty.slave)).spawn().expect("it starts");
    feed(&mut child, bytes(200_000));
    assert_eq!(code(wait(&mut child, "mbuffer")), 1);
}

#[test]
fn input_volumes_are_asked_for_until_the_answer_is_no() {
    let place = Place::new();
    place.write("vol", b"data");
    let (mut child, mut terminal) = at_terminal(place.command(Program::Lvpipe, &["-q", "-n", "0", "-i", "vol"]));
    // Single keys, without Return; others are no answer.
    let question = "Press 'y' to continue or 'n' to finish...";
    listen(&mut terminal, question);
    assert!(!takes_lines(&terminal));
    terminal.write_all(b"?y").expect("keys");
    let said = listen(&mut terminal, question);
    assert!(said.contains("yes - continuing with next volume..."), "{said}");
    terminal.write_all(b"N").expect("a key");
    listen(&mut terminal, "no - input done, waiting for output to finish...");
    assert_eq!(code(wait(&mut child, "mbuffer")), 0);
    let mut out = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut out).expect("data");
    assert_eq!(out, b"datadata");
    assert!(takes_lines(&terminal), "the terminal is left as it was");
}

/// Whether the terminal waits for Return before it gives anything to who reads.
fn takes_lines(terminal: &File) -> bool {
    let modes = nix::sys::termios::tcgetattr(terminal).expect("a terminal");
    modes.local_flags.contains(nix::sys::termios::LocalFlags::ICANON)
}

#[test]
fn an_interrupt_at_a_question_ends_it_and_leaves_the_terminal_as_it_was() {
    for args in [&["-n", "0", "-i", "vol"][..], &["-s", "64k", "-D", "128k", "-o", "out"]] {
        let place = Place::new();
        place.write("vol", b"data");
        let (mut child, mut terminal) = at_terminal(place.command(Program::Lvpipe, args));
        feed(&mut child, bytes(200_000));
        listen(&mut terminal, "ress ");
        terminal.write_all(b"\x03").expect("a key");
        let said = listen(&mut terminal, "summary: ");
        assert!(said.contains(": canceled"), "{said}");
        assert_eq!(code(wait(&mut child, "mbuffer")), 1);
        assert!(takes_lines(&terminal));
    }
}

#[test]
fn no_status_line_is_written_over_a_question() {
    let place = Place::new();
    let (mut child, mut terminal) =
        at_terminal(place.command(Program::Lvpipe, &["-s", "64k", "-D", "128k", "-o", "out"]));
    feed(&mut child, bytes(200_000));
    listen(&mut terminal, "press return when ready...");
    std::thread::sleep(Duration::from_millis(1500));
    terminal.write_all(b"\n").expect("a key");
    let said = listen(&mut terminal, "OK - continuing...");
    assert!(!said.contains("in @ "), "{said}");
    assert_eq!(code(wait(&mut child, "mbuffer")), 0);
}

/// What is seen at a terminal while a file of two megabytes goes through in some two seconds, until `wanted` is.
fn seen(options: &[&str], wanted: &str) -> String {
    let place = Place::new();
    place.write("in", &bytes(2 << 20));
    let args = [&["-s", "64k", "-R", "1M", "-i", "in"], options].concat();
    let (mut child, mut terminal) = at_terminal(place.command(Program::Lvpipe, &args));
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut out = Vec::new();
        stdout.read_to_end(&mut out).expect("data");
        out
    });
    let mut said = listen(&mut terminal, wanted);
    said += &listen(&mut terminal, "summary: 2048 kiByte in ");
    assert_eq!(code(wait(&mut child, "mbuffer")), 0);
    assert!(reader.join().expect("no panic") == bytes(2 << 20), "{options:?}");
    said
}

#[test]
fn a_bar_is_shown_where_it_is_asked_for_and_nowhere_else() {
    let bar = seen(&["--progress", "bar"], "% in @ ");
    assert!(bar.contains("[00:00:0") && bar.contains("kiB total, buffer "), "{bar:?}");
    assert!(!bar.contains("\rin @ "), "{bar:?}");
    for options in [&[][..], &["--progress", "plain"]] {
        let plain = seen(options, "% done");
        assert!(plain.contains("\rin @ ") && !plain.contains("[00:00:0"), "{plain:?}");
    }
    // Standard error that is no terminal has the status line, whatever was asked for.
    let place = Place::new();
    let line = "-s 64k -R 1M --progress bar";
    let outcome = place.line(Program::Lvpipe, line, &bytes(1_500_000)).expect(0);
    assert!(outcome.err.starts_with("\rin @ "), "{outcome}");
}
