//! The command lines of programs that use mbuffer: data identical, status 0, nothing said.

use std::process::Stdio;

use crate::pair::{BOTH, Place, Program, bytes, code, finish, free_port, wait};

#[test]
fn backup_programs_do_not_notice() {
    let lines = [
        ("-q -s 128k -m 16M", 3_000_000),            // syncoid
        ("-q -s128k -m100M", 3_000_000),             // zfs-autobackup
        ("-q -s128k -m16M -R400k", 300_000),         // zfs-autobackup with a limit: so much takes most of a second
        ("-v 1 -q -m 25%", 3_000_000),               // btrbk, stream_buffer
        ("-v 1 -q -r 10m", 3_000_000),               // btrbk, rate_limit
        ("-v 1 -q -s 256k -m 16m -R 5m", 3_000_000), // btrbk
    ];
    for (line, len) in lines {
        let input = bytes(len);
        for program in BOTH {
            let outcome = Place::new().line(program, line, &input).expect(0);
            assert!(outcome.out == input, "{program:?} {line}");
            assert_eq!(outcome.err, "", "{program:?} {line}");
        }
    }
}

#[test]
fn znapzend_sends_and_receives() {
    let input = bytes(3_000_000);
    for (to, from) in [(Program::Mbuffer, Program::Lvpipe), (Program::Lvpipe, Program::Mbuffer)] {
        let port = free_port().to_string();
        let place = Place::new();
        let mut receiver = place.command(to, &["-q", "-s", "256k", "-W", "600", "-m", "1G", "-4", "-I", &port]);
        let out = std::fs::File::create(place.path("got")).expect("a file");
        let mut child = receiver.stdin(Stdio::null()).stdout(out).spawn().expect("it starts");
        let target = format!("localhost:{port}");
        // The receiver may need a moment before it listens.
        let sent = (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let args = ["-q", "-s", "256k", "-W", "600", "-m", "1G", "-O", &target];
            finish(place.command(from, &args), &input).code() == 0
        });
        assert!(sent, "{from:?} to {to:?}");
        assert_eq!(code(wait(&mut child, "the receiver")), 0);
        assert!(place.read("got") == input, "{from:?} to {to:?}");
    }
}

#[test]
fn what_btrbk_lets_through_is_refused_even_where_little_is_said() {
    for line in ["-v 1 -m 16", "-v 1 -r 50"] {
        for program in BOTH {
            let outcome = Place::new().line(program, line, b"").expect(1);
            assert!(outcome.err.contains("mbuffer: fatal: invalid low value for option \""), "{outcome}");
        }
    }
}

#[test]
fn a_failed_write_is_silent_at_level_1_and_only_the_status_tells() {
    for program in BOTH {
        let outcome = Place::new().line(program, "-v 1 -q -o /dev/full", &bytes(300_000)).expect(1);
        assert_eq!(outcome.err, "", "{program:?}");
    }
}
