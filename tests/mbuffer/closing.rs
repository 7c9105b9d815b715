//! Readers and peers that go away, disks that are full: a prompt end and a true status.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

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

/// A run that writes into the FIFO `fifo`, with the reader of that.
fn into_fifo(place: &Place, args: &[&str]) -> (Child, ChildStdin, File) {
    nix::unistd::mkfifo(&place.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let mut command = place.command(Program::Lvpipe, args);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let stdin = child.stdin.take().expect("a pipe");
    (child, stdin, File::open(place.path("fifo")).expect("somebody writes"))
}

#[test]
fn a_reader_gone_away_from_a_fifo_is_noticed_as_one_of_standard_output_is() {
    // Alone it ends the run, whatever the producer does; beside others it is told, and they go on.
    for others in [&[][..], &["-o", "-"]] {
        let place = Place::new();
        let (mut child, mut stdin, mut fifo) =
            into_fifo(&place, &[&["-q", "-s", "64k", "-f", "-o", "fifo"], others].concat());
        stdin.write_all(&bytes(96 << 10)).expect("taken");
        fifo.read_exact(&mut vec![0; 64 << 10]).expect("a block");
        drop(fifo);
        let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("error writing to fifo") {
            line.clear();
            assert!(err.read_line(&mut line).expect("text") > 0, "beside {others:?}");
        }
        assert!(line.ends_with(": Broken pipe\n"), "{line}");
        if others.is_empty() {
            assert_eq!(code(wait(&mut child, "mbuffer")), 1);
        } else {
            assert!(child.try_wait().expect("a child").is_none(), "the others go on");
        }
        drop(stdin);
        assert_eq!(code(wait(&mut child, "mbuffer")), 1);
    }
}

#[test]
fn a_fifo_that_is_a_volume_ends_when_the_volume_does() {
    let place = Place::new();
    place.write("change", b"until test -e ready; do sleep 0.01; done");
    let args = ["-q", "-s", "64k", "-D", "64k", "-A", "sh change", "-f", "-o", "fifo"];
    let (mut child, mut stdin, mut fifo) = into_fifo(&place, &args);
    stdin.write_all(&bytes(96 << 10)).expect("taken");
    drop(stdin);
    // To its end, which comes while the next volume is waited for.
    let mut first = Vec::new();
    fifo.read_to_end(&mut first).expect("data");
    drop(fifo);
    place.write("ready", b"");
    let mut rest = Vec::new();
    File::open(place.path("fifo")).expect("it is there").read_to_end(&mut rest).expect("data");
    assert_eq!(code(wait(&mut child, "mbuffer")), 0);
    assert!([first, rest].concat() == bytes(96 << 10));
}

#[test]
fn streams_that_others_have_made_non_blocking_are_waited_for() {
    let input = bytes(3_000_000);
    // The real one waits for its input, and not for its output. Blocks that a pipe keeps whole, and those it does not.
    for line in ["-q", "-q -s 1k", "-q -s 1k -R 50M"] {
        let (from_us, mut to_it) = std::io::pipe().expect("a pipe");
        let (mut from_it, to_us) = std::io::pipe().expect("a pipe");
        for end in [from_us.as_fd(), to_us.as_fd()] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
        }
        let args: Vec<&str> = line.split_whitespace().collect();
        let place = Place::new();
        let mut command = place.command(Program::Lvpipe, &args);
        let mut child = command.stdin(from_us).stdout(to_us).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(command);
        // It comes to wait for both.
        std::thread::sleep(Duration::from_millis(300));
        let feeder = std::thread::spawn({
            let input = input.clone();
            move || to_it.write_all(&input)
        });
        std::thread::sleep(Duration::from_millis(300));
        let mut out = Vec::new();
        from_it.read_to_end(&mut out).expect("data");
        let mut err = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
        assert_eq!((code(wait(&mut child, line)), err.as_str()), (0, ""), "{line}");
        feeder.join().expect("no panic").expect("all taken");
        assert!(out == input, "{line}");
    }
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
