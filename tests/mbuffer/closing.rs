//! Readers and peers that go away, disks that are full: a prompt end and a true status.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::pair::{BOTH, Place, Program, bytes, code, finish, wait};

#[test]
fn a_reader_gone_away_is_status_1_and_named() {
    let input = bytes(3_000_000);
    for program in BOTH {
        let place = Place::new();
        place.write("in", &input);
        let mut child = place
            .command(program, &["-i", "in", "-s", "64k"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut some = [0; 9];
        child.stdout.take().expect("a pipe").read_exact(&mut some).expect("data");
        assert_eq!(code(wait(&mut child, "mbuffer")), 1);
        let mut err = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
        assert!(err.contains("mbuffer: error: outputThread: error writing to <stdout> at offset 0x"), "{err}");
        assert!(err.contains("mbuffer: warning: error during output to <stdout>: Broken pipe\n"), "{err}");
    }
}

#[test]
fn a_reader_gone_away_ends_it_also_while_the_producer_is_idle() {
    let place = Place::new();
    let mut child = place
        .command(Program::Lvpipe, &["-q", "-s", "64k"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let start = Instant::now();
    // One block and a half: the buffer's reader then waits inside the second. It may end before it has taken them.
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(&bytes(96 << 10));
    assert_eq!(code(wait(&mut child, "mbuffer")), 1);
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(stdin);
}

#[test]
fn a_reader_gone_away_ends_it_when_what_it_should_have_got_was_read() {
    // The reader has had its block and goes; half of the next is here, and the producer does no more.
    let place = Place::new();
    let mut command = place.command(Program::Lvpipe, &["-q", "-s", "64k"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&bytes(96 << 10)).expect("taken");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut vec![0; 64 << 10]).expect("a block");
    drop(stdout);
    assert_eq!(code(wait(&mut child, "mbuffer")), 1);
    let mut err = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
    let expected = "mbuffer: error: outputThread: error writing to <stdout> at offset 0x10000: Broken pipe\n\
                    mbuffer: warning: error during output to <stdout>: Broken pipe\n";
    assert_eq!(err, expected);
    drop(stdin);
}

#[test]
fn a_reader_that_has_had_all_and_goes_costs_nothing() {
    // As the real one: the producer may take its time to end.
    for program in BOTH {
        let place = Place::new();
        let mut command = place.command(program, &["-q", "-s", "64k"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(&bytes(64 << 10)).expect("taken");
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut vec![0; 64 << 10]).expect("a block");
        drop(stdout);
        std::thread::sleep(Duration::from_millis(1500));
        drop(stdin);
        assert_eq!(code(wait(&mut child, "mbuffer")), 0, "{program:?}");
    }
}

#[test]
fn nobody_reading_the_messages_does_not_end_the_copy() {
    let input = bytes(300_000);
    for redirection in ["2>/dev/full", "2>&-", "2>&1 >out | true"] {
        let place = Place::new();
        let mbuffer = place.command::<&str>(Program::Lvpipe, &[]).get_program().to_owned();
        let mut shell = Command::new("sh");
        shell.current_dir(place.path("."));
        shell.arg("-c").arg(format!("\"$0\" -v4 -s 4k {redirection}; echo $? >&2")).arg(mbuffer);
        let outcome = finish(shell, &input);
        let out = if redirection.contains("out") { place.read("out") } else { outcome.out.clone() };
        assert!(out == input, "{redirection}: {outcome}");
        assert!(outcome.err.ends_with("0\n"), "{redirection}: {outcome}");
    }
}

#[test]
fn a_full_disk_is_status_1_at_its_offset() {
    for program in BOTH {
        let place = Place::new();
        let mut command = place.command(program, &["-s", "64k"]);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        command.stdin(Stdio::null());
        let shown = format!("{command:?}");
        let mut child =
            command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped()).spawn().expect("it starts");
        // It may end before it has read all.
        let _ = child.stdin.take().expect("a pipe").write_all(&bytes(300_000));
        assert_eq!(code(wait(&mut child, &shown)), 1);
        let mut err = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
        let expected = "error writing to <stdout> at offset 0x0: No space left on device";
        assert!(err.contains(expected), "{err}");
    }
}
