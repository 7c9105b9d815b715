//! Options that are refused, with mbuffer's message and status, and those whose order counts.

use crate::pair::{BOTH, Place, Program, bytes};

/// Same status, same bytes, same lines on stderr.
fn same(line: &str) {
    let input = bytes(300_000);
    let [real, ours] = BOTH.map(|program| {
        let place = Place::new();
        place.write("there", b"old");
        let outcome = place.line(program, line, &input);
        (outcome, place)
    });
    assert_eq!(ours.0.code(), real.0.code(), "{}\n{}", ours.0, real.0);
    assert_eq!(ours.0.out, real.0.out, "{line}");
    assert_eq!(ours.0.shape(), real.0.shape(), "{line}");
    for name in ["there", "new"] {
        let [real, ours] = [&real.1, &ours.1].map(|place| std::fs::read(place.path(name)).ok());
        assert_eq!(ours, real, "{name} after {line}");
    }
}

#[test]
fn what_mbuffer_refuses_is_refused_in_its_words() {
    for line in [
        "-qf",
        "-",
        "--",
        "-Z",
        "-S",
        "-B",
        "operand",
        "--bogus",
        "--hash=md5",
        "-s",
        "-b",
        "-W",
        "--hash",
        "-s 0",
        "-s -5",
        "-s -5k",
        "-s 100",
        "-s99",
        "-s 127b",
        "-s 128x",
        "-s128x",
        "-s 1P",
        "-s 1,5M",
        "-m 90%",
        "-s 50%",
        "-b 4",
        "-b x",
        "-b 4000000000",
        "-s 4M -m 16M",
        "-s 64k -b 20 -m 1M",
        "-P 0",
        "-P 101",
        "-P x",
        "-p 100",
        "-p -1",
        "-P 50 -p 30",
        "-W x",
        "-W 0",
        "-W 0.5",
        "-n -1",
        "-n 2",
        "-n 0",
        "-a 5",
        "-A true",
        "-D 1M",
        "-D 1k -s 64k -o new",
        "-a 5 -A true -W 6 -i there",
        "-A true -i there -o new",
        "-i nope",
        "-i there -i there",
        "-i - -i there",
        "-o -  -o -",
        "-o there",
        "--truncate -o there",
        "-O host",
        "-O 8000",
        "-T there",
        "-T /dev/there-is-none",
        "-O nohost.invalid:8000",
        "-O localhost:abc",
        "-I abc",
        "-I nohost.invalid:8000",
    ] {
        same(line);
    }
}

#[test]
fn what_mbuffer_takes_with_an_error_is_taken_with_that_error() {
    for line in ["-s abc", "-r x", "--hash nope", "--tcptimeo 3d", "--tcptimeo abc", "-l /nope/log", "-a -1x -q"] {
        let input = bytes(300_000);
        let place = Place::new();
        let [real, ours] = BOTH.map(|program| place.line(program, line, &input));
        assert_eq!(ours.code(), real.code(), "{ours}\n{real}");
        assert_eq!(ours.out, real.out, "{line}");
        if !line.starts_with("-a") {
            assert_eq!(ours.shape(), real.shape(), "{line}");
        }
    }
}

#[test]
fn values_are_understood_as_mbuffer_does() {
    for line in [
        "-s128k",
        "-s 128k -s 64k",
        "-s 1.5M",
        "-s .5M",
        "-s 1e6",
        "-s 0x10000",
        "-s 128kB",
        "-s 10k5 -b 010",
        "-b 0x10 -s 64k",
        "-b 10k -s 64k",
        "-P 80% -m 1M",
        "-W 9s",
        "-v warning",
        "-v3 -q",
        "-q -Q -L -m 1M",
        "--tcptimeo 5s",
        "--tcpbuffer 128k",
        "--tcpbuffer 5%",
        "-4 -6 -0",
        "--no-direct",
        "--direct",
        "-e",
        "-c -o new",
        "-t -m 1M",
        "-T new -m 1M",
        "-u 1 -s 64k",
        "--append -o there",
        "-f -o there",
        "--append -f -o there",
        "-f --append -o there",
        "--truncate -f -o there",
        "-o new",
        "-o new -o -",
        "-f -o new -o there",
        "-V -Z",
        "-n 1",
    ] {
        let options = if line.starts_with("-V") { return } else { format!("{line} -q") };
        same(&options);
    }
}

#[test]
fn what_makes_mbuffer_crash_is_refused_with_the_option_and_its_value() {
    let place = Place::new();
    for (args, expected) in [
        (vec!["-s", ""], "mbuffer: fatal: invalid argument \"\" for option \"-s\"\n"),
        (vec!["-m", "0.5%"], "mbuffer: fatal: invalid argument \"0.5%\" for option \"-m\"\n"),
        (vec!["-m", "1e30"], "mbuffer: fatal: invalid argument \"1e30\" for option \"-m\"\n"),
        (vec!["-s", "nan"], "mbuffer: fatal: invalid argument \"nan\" for option \"-s\"\n"),
        (vec!["-b", "0", "-m", "16M"], "mbuffer: fatal: Number of blocks must be at least 5.\n"),
        (vec!["--tcpbuffer"], "mbuffer: fatal: missing argument to option --tcpbuffer\n"),
        (vec!["--tcptimeo"], "mbuffer: fatal: missing argument to option --tcptimeo\n"),
        (vec!["-r", "50%"], "mbuffer: fatal: cannot set read rate as percentage\n"),
        (vec!["-W", "-5"], "mbuffer: fatal: invalid argument to option -W\n"),
        (vec!["-u", "-5"], "mbuffer: fatal: invalid argument to option -u: \"-5\"\n"),
    ] {
        let outcome = place.run(Program::Lvpipe, &args, b"").expect(1);
        assert_eq!(outcome.err, expected);
    }
    // The real one dies on all zeros of -m as well, but its message comes first.
    let outcome = place.line(Program::Lvpipe, "-m x -q", b"data").expect(1);
    assert_eq!(outcome.out, b"data");
}

#[test]
fn options_act_where_they_stand() {
    let place = Place::new();
    place.write("a", b"old");
    place.write("b", b"old");
    let outcome = place.line(Program::Lvpipe, "-q -f -o a -o b", b"new").expect(1);
    assert!(outcome.err.contains("unable to open output b: File exists"), "{outcome}");
    assert_eq!(place.read("a"), b"new", "-f holds for the next -o");
    assert_eq!(place.read("b"), b"old", "-f holds for the next -o only");
    let outcome = place.line(Program::Lvpipe, "-O 127.0.0.1:1 -Z", b"").expect(1);
    let lines: Vec<&str> = outcome.err.lines().collect();
    assert_eq!(lines.len(), 3, "{outcome}");
    assert!(lines[1].contains("unable to connect") && lines[2].contains("unknown option"), "{outcome}");
    let outcome = place.line(Program::Lvpipe, "-o there-is-none/x -v0", b"").expect(1);
    assert_eq!(outcome.err, "", "-v counts from the start");
}

#[test]
fn help_and_version_end_well_and_on_stderr() {
    for line in ["-h", "--help", "-V", "--version", "-V -Z", "--hash list"] {
        let place = Place::new();
        let outcome = place.line(Program::Lvpipe, line, b"").expect(0);
        assert_eq!(outcome.out.is_empty(), line != "--hash list", "{outcome}");
        assert!(!outcome.err.is_empty(), "{line}");
    }
    let place = Place::new();
    let version = place.line(Program::Lvpipe, "-V", b"");
    assert_eq!(version.err.lines().next(), Some("mbuffer version R20230301"));
}

#[test]
fn the_first_error_after_e_ends_it_and_is_the_last_thing_said() {
    // One that was raised before the -e does not end it.
    for (line, copied) in
        [("-q -e -s abc", false), ("-q -s abc -e", true), ("-q -e -o there-is-none/x -o out", false)]
    {
        let [real, ours] = BOTH.map(|program| Place::new().line(program, line, b"data").expect(1));
        assert_eq!(ours.out, if copied { &b"data"[..] } else { b"" }, "{ours}");
        assert_eq!((ours.out, ours.err), (real.out, real.err), "{line}");
    }
}
