//! The configuration files.

use crate::pair::{BOTH, Place, Program, bytes, finish};

/// Runs with this text in `~/.mbuffer.rc`; stderr.
fn said(program: Program, text: &str, line: &str) -> String {
    let place = Place::new();
    place.write(".mbuffer.rc", text.as_bytes());
    let outcome = place.line(program, line, &bytes(100_000)).expect(0);
    assert!(outcome.out == bytes(100_000), "{text}");
    outcome.err
}

#[test]
fn settings_hold_and_options_override_them() {
    for program in BOTH {
        let text = "BlockSize = 64k\nnumblocks: 10 # few\nshowstatus no\n";
        assert!(said(program, text, "-v4").contains("mbuffer: 10 blocks with 64kiB\n"), "{program:?}");
        assert!(said(program, text, "-v4 -b 20").contains("mbuffer: 20 blocks with 64kiB\n"), "{program:?}");
        assert!(said(program, text, "-v4 -m 16M").contains("mbuffer: 1024 blocks with 16kiB\n"), "{program:?}");
        assert_eq!(said(program, text, ""), "", "{program:?}");
    }
}

#[test]
fn what_is_not_understood_is_a_warning() {
    for program in BOTH {
        let err = said(program, "foo = 1\n", "-q");
        assert!(err.contains("mbuffer: warning: unknown parameter: foo\n"), "{program:?}: {err}");
    }
}

#[test]
fn the_level_holds_for_the_lines_after_it() {
    for text in [
        "verbose = 0\nfoo = 1\n",
        "foo = 1\nverbose = 0\nfoo = 2\n",
        "verbose = 0\nfoo = 1\nverbose = 3\nfoo = 2\n",
    ] {
        for line in ["-q", "-q -v3", "-q -v0"] {
            let [real, ours] = BOTH.map(|program| said(program, text, line));
            assert_eq!(ours, real, "{text} {line}");
        }
    }
    assert_eq!(said(Program::Lvpipe, "verbose = 0\nfoo = 1\n", "-q"), "");
}

#[test]
fn the_manual_is_right_where_mbuffer_is_not() {
    assert!(said(Program::Lvpipe, "totalmem = 16M", "-v4").contains("mbuffer: 1024 blocks with 16kiB\n"));
    assert_eq!(said(Program::Lvpipe, "  showstatus = no", ""), "");
}

#[test]
fn the_environment_names_another_file_which_comes_last() {
    for program in BOTH {
        let place = Place::new();
        place.write(".mbuffer.rc", b"blocksize = 64k\nnumblocks = 10\n");
        place.write("own.rc", b"numblocks = 12\n");
        let mut command = place.command(program, &["-v4"]);
        command.env("MBUFFERRC", place.path("own.rc"));
        let outcome = finish(command, b"x").expect(0);
        assert!(outcome.err.contains("mbuffer: 12 blocks with 64kiB\n"), "{outcome}");
    }
}

#[test]
fn a_stranger_s_file_is_ignored() {
    let place = Place::new();
    place.write(".mbuffer.rc", b"numblocks = 12\n");
    // Only root can give a file away.
    let given = std::os::unix::fs::chown(place.path(".mbuffer.rc"), Some(12345), None);
    given.expect("run as root: nobody else can make a file of another user");
    for program in BOTH {
        let outcome = place.line(program, "-q", b"x").expect(0);
        let file = place.path(".mbuffer.rc");
        let expected = format!("mbuffer: warning: ignoring config file '{}' from different user\n", file.display());
        assert!(outcome.err.contains(&expected), "{outcome}");
    }
}

#[test]
fn every_kind_of_key_has_mbuffers_words_for_what_it_does_not_take() {
    for line in [
        "foo = 1",
        "foo = abc",
        "foo bar baz",
        "x-y = 3",
        "foo",
        "= 3",
        "blocksize =",
        "blocksize = abc",
        "blocksize = 128x",
        "numblocks = -3",
        "numblocks = 10x",
        "pause = abc",
        "timeout = -5",
        "startread = 101",
        "startread = 80%",
        "startwrite = 0",
        "startwrite = abc",
        "showstatus = maybe",
        "memlock = x",
        "printpid = x",
        "statusinterval = abc",
        "autoloadtime = x",
        "verbose = 9",
        "tcptimeout = 5days",
        "tcptimeout = abc",
    ] {
        let [real, ours] = BOTH.map(|program| {
            let place = Place::new();
            place.write(".mbuffer.rc", format!("{line}\n").as_bytes());
            let outcome = place.line(program, "-q", b"data");
            let said = outcome.err.replace(&place.path(".mbuffer.rc").display().to_string(), "FILE");
            (outcome.code(), outcome.out, said)
        });
        assert_eq!(ours, real, "{line}");
    }
}

#[test]
fn a_later_file_takes_back_what_an_earlier_one_has_set() {
    for program in BOTH {
        let place = Place::new();
        place.write(".mbuffer.rc", b"startread = 20\nmaxwritespeed = 50k\n");
        place.write("own.rc", b"startread = 100\nmaxwritespeed = 0\n");
        // With a low mark in force this would be refused.
        let mut command = place.command(program, &["-q", "-s", "4k", "-P", "50"]);
        command.env("MBUFFERRC", place.path("own.rc"));
        let outcome = finish(command, &bytes(300_000)).expect(0);
        assert!(outcome.took < std::time::Duration::from_secs(4), "{outcome}");
    }
}

#[test]
fn the_autoload_time_of_a_file_asks_for_no_autoloader() {
    for line in ["", "-i in -o out", "-o out"] {
        let [real, ours] = BOTH.map(|program| {
            let place = Place::new();
            place.write(".mbuffer.rc", b"autoloadtime = 1\n");
            place.write("in", b"data");
            place.line(program, &format!("-q {line}"), b"data").expect(0)
        });
        assert_eq!((ours.out, ours.err), (real.out, real.err), "{line}");
    }
}
