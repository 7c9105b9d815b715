//! Opening outputs, several of them, and those that fail.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::pair::{BOTH, Place, Program, bytes, finish};

#[test]
fn every_output_gets_everything_and_a_lost_one_costs_the_status() {
    let input = bytes(3_000_000);
    for program in BOTH {
        let place = Place::new();
        let outcome = place.line(program, "-s 64k -o /dev/full -o good", &input).expect(1);
        assert!(place.read("good") == input);
        let wanted = [
            "mbuffer: error: error writing to /dev/full: No space left on device",
            "mbuffer: warning: error during output to /dev/full: No space left on device",
        ];
        for line in wanted {
            assert!(outcome.err.lines().any(|said| said == line), "{outcome}");
        }
    }
    let place = Place::new();
    let outcome = place.line(Program::Lvpipe, "-s 64k -o a -o b -o -", &input).expect(0);
    assert!(outcome.out == input && place.read("a") == input && place.read("b") == input);
    assert!(outcome.err.contains("summary: 3x 2929 kiByte in "), "{outcome}");
}

#[test]
fn when_the_last_output_is_gone_the_run_ends() {
    let input = bytes(3_000_000);
    let place = Place::new();
    // The real one hangs in one of five such runs.
    for _ in 0..20 {
        place.line(Program::Lvpipe, "-q -s 64k -o /dev/full -o /dev/full", &input).expect(1);
    }
    let outcome = place.line(Program::Lvpipe, "-q -H -o /dev/full", b"abc").expect(1);
    assert!(outcome.err.contains("MD5 hash: 900150983cd24fb0d6963f7d28e17f72"), "{outcome}");
}

#[test]
fn the_first_error_ends_it_where_that_was_asked() {
    let input = bytes(3_000_000);
    let place = Place::new();
    let outcome = place.line(Program::Lvpipe, "-e -s 64k -o /dev/full -o -", &input).expect(1);
    assert!(!outcome.err.contains("summary"), "{outcome}");
}

#[test]
fn a_file_is_never_its_own_output() {
    let place = Place::new();
    place.write("x", b"precious");
    let outcome = place.line(Program::Lvpipe, "-i x -f -o x", b"").expect(1);
    assert!(outcome.err.contains("unable to open output x"), "{outcome}");
    assert_eq!(place.read("x"), b"precious");
}

#[test]
fn symbolic_links_are_followed_where_an_existing_file_is_taken() {
    let rows = [
        ("-o", 1, "old"),
        ("--truncate -o", 1, "old"),
        ("-f -o", 0, "new"),
        ("--append -o", 0, "oldnew"),
        ("--append -f -o", 0, "new"),
        ("--append --truncate -o", 0, "new"),
    ];
    for program in BOTH {
        for (options, status, content) in rows {
            let place = Place::new();
            place.write("real", b"old");
            std::os::unix::fs::symlink(place.path("real"), place.path("link")).expect("a link");
            place.line(program, &format!("-q {options} link"), b"new").expect(status);
            assert_eq!(String::from_utf8_lossy(&place.read("real")), content, "{program:?} {options}");
            // A link that leads nowhere exists as well.
            std::os::unix::fs::symlink(place.path("nowhere"), place.path("dangling")).expect("a link");
            place.line(program, &format!("-q {options} dangling"), b"new").expect(status);
            assert_eq!(place.path("nowhere").exists(), status == 0, "{program:?} {options}");
        }
    }
}

#[test]
fn a_new_file_has_the_mode_of_the_umask() {
    let modes = BOTH.map(|program| {
        let place = Place::new();
        place.line(program, "-q -o new", b"x").expect(0);
        std::fs::metadata(place.path("new")).expect("a file").permissions().mode()
    });
    assert_eq!(modes[0], modes[1]);
}

#[test]
fn with_d_each_device_is_written_in_its_own_blocks() {
    // /dev/null says that it has blocks of 4096 bytes; what is no device is written as ever.
    for (outputs, cut) in
        [("-o /dev/null", true), ("-o out -o /dev/null", true), ("-o /dev/null -o out", true), ("-o out", false)]
    {
        let place = Place::new();
        let line = format!("-v6 -d -s 64k {outputs}");
        let outcome = place.line(Program::Lvpipe, &line, &bytes(300_000)).expect(0);
        let writes = |len: usize| outcome.err.contains(&format!("outputThread: writing {len}: Ok({len})\n"));
        assert_eq!((writes(4096), writes(65_536)), (cut, outputs.contains("out")), "{outcome}");
    }
    // Blocks that do not fit those of a device: with -d that output is lost, and not the others.
    for outputs in
        ["-o /dev/null -o out", "-d -o /dev/null -o out", "-o out -o /dev/null", "-d -o out -o /dev/null"]
    {
        let [real, ours] = BOTH.map(|program| {
            let place = Place::new();
            let outcome = place.line(program, &format!("-q -s 10k {outputs}"), &bytes(300_000));
            // The real one says that the output was lost for "Success".
            let said = outcome.err.replace("/dev/null: Success\n", "/dev/null: Invalid argument\n");
            (outcome.code(), said, std::fs::read(place.path("out")).ok())
        });
        assert!(ours == real, "{outputs}: {} {}\n{} {}", ours.0, ours.1, real.0, real.1);
    }
}

#[test]
fn the_buffer_is_locked_wherever_it_lies() {
    for place_of_buffer in ["", "-t", "-T buffer"] {
        let [real, ours] = BOTH.map(|program| {
            let line = format!("-q -v4 -m 1M -L {place_of_buffer}");
            let outcome = Place::new().line(program, &line, b"data").expect(0);
            outcome.err.lines().filter(|line| line.contains(" lock")).map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(ours, ["mbuffer: memory locked successfully"], "{place_of_buffer}");
        assert_eq!(ours, real, "run as root: the real one cannot lock memory otherwise");
    }
}

#[test]
fn streams_that_are_closed_are_reported() {
    for (redirection, message) in
        [("<&-", "error reading at offset 0x0: Bad file descriptor"), (">&-", "unable to open output <stdout>: ")]
    {
        // Only lvpipe: the real one hangs now and then where standard input is closed.
        let place = Place::new();
        let mbuffer = place.command::<&str>(Program::Lvpipe, &[]).get_program().to_owned();
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(format!("\"$0\" -q {redirection}")).arg(mbuffer).stdin(Stdio::null());
        let outcome = finish(shell, b"").expect(1);
        assert!(outcome.err.contains(message), "{outcome}");
    }
}
