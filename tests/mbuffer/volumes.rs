//! Volumes by size and at the end of the input.

use std::fs;

use crate::pair::{BOTH, Place, Program, bytes, finish};

/// Runs with `-A` moving each full volume aside; the lengths of all volumes, and the volumes joined.
fn volumes(program: Program, options: &str, input: &[u8]) -> (Vec<usize>, Vec<u8>) {
    let place = Place::new();
    place.write("change", b"n=$(ls | grep -c '^vol'); mv out vol$n; : > out");
    let mut args: Vec<&str> = options.split_whitespace().collect();
    args.extend(["-q", "-A", "sh change", "-o", "out"]);
    place.run(program, &args, input).expect(0);
    let mut parts: Vec<Vec<u8>> = (0..).map_while(|n| fs::read(place.path(&format!("vol{n}"))).ok()).collect();
    parts.push(place.read("out"));
    (parts.iter().map(Vec::len).collect(), parts.concat())
}

#[test]
fn the_output_is_cut_into_whole_blocks() {
    let input = bytes(3_000_000);
    for program in BOTH {
        let (lengths, joined) = volumes(program, "-D 1M -s 64k", &input);
        assert_eq!(lengths, [1_048_576, 1_048_576, 902_848], "{program:?}");
        assert!(joined == input);
    }
    let (lengths, joined) = volumes(Program::Lvpipe, "-D 1M -s 10k", &input);
    assert_eq!(lengths, [1_044_480, 1_044_480, 911_040]);
    assert!(joined == input);
}

#[test]
fn a_volume_that_is_just_full_at_the_end_is_the_last() {
    let input = bytes(1 << 20);
    for program in BOTH {
        assert_eq!(volumes(program, "-D 1M -s 64k", &input).0, [1 << 20], "{program:?}");
    }
}

#[test]
fn only_the_last_named_output_has_volumes() {
    let input = bytes(3_000_000);
    // The real one cuts standard output, and puts the rest of it into a file of the name <stdout>.
    for line in ["-o - -o out", "-o out -o -"] {
        let place = Place::new();
        place.write("change", b"echo $MBUFFER_VOL $MBUFFER_NUMOUT >> figures; cat out >> whole");
        let mut args = vec!["-q", "-s", "64k", "-D", "1M", "-A", "sh change"];
        args.extend(line.split_whitespace());
        let outcome = place.run(Program::Lvpipe, &args, &input).expect(0);
        assert!(outcome.out == input, "{line}");
        assert!([place.read("whole"), place.read("out")].concat() == input, "{line}");
        assert_eq!(place.read("figures"), b"2 1048576\n3 2097152\n", "{line}");
    }
    let place = Place::new();
    place
        .run(Program::Lvpipe, &["-q", "-s", "64k", "-D", "1M", "-A", "true", "-o", "a", "-o", "b"], &input)
        .expect(0);
    assert!(place.read("a") == input);
    assert_eq!(place.read("b").len(), 902_848);
}

#[test]
fn a_change_that_fails_is_the_end_with_status_1() {
    let input = bytes(3_000_000);
    let place = Place::new();
    let command = place.command(Program::Lvpipe, &["-s", "64k", "-D", "1M", "-A", "exit 3", "-o", "out"]);
    let outcome = finish(command, &input).expect(1);
    let expected = "mbuffer: error: error running \"exit 3\" to change volume in autoloader - exitcode 3\n\
                    mbuffer: warning: error during output to out: canceled\n";
    assert!(outcome.err.contains(expected), "{outcome}");
    assert_eq!(place.read("out").len(), 1 << 20);
}

#[test]
fn with_nobody_to_change_it_the_end_of_a_volume_is_an_error() {
    let input = bytes(3_000_000);
    for program in BOTH {
        let outcome = Place::new().line(program, "-s 64k -D 1M -o out", &input).expect(1);
        let expected = "mbuffer: error: End of volume, but not end of input.\n\
                        Specify an autoload command, if you are working without terminal.\n";
        assert!(outcome.err.contains(expected), "{outcome}");
    }
}

#[test]
fn autoload_time_and_watchdog_are_held_against_each_other_by_the_second() {
    let fine = ["-W 5 -a 5", "-W 1 -a 1", "-a 1 -W 1", "-a 5 -W 8"];
    let refused = ["-W 4 -a 5", "-a 5 -W 7", "-a 5 -W 5 -a 1"];
    for (times, status) in fine.map(|times| (times, 0)).into_iter().chain(refused.map(|times| (times, 1))) {
        let said = BOTH.map(|program| {
            let line = format!("-q {times} -A true -o out");
            Place::new().line(program, &line, &bytes(1000)).expect(status).err
        });
        assert_eq!(said[0], said[1], "{times}");
    }
}

#[test]
fn a_command_that_brings_the_same_full_medium_again_and_again_is_the_end() {
    // The real one goes on for ever.
    for options in ["", "--tapeaware"] {
        let place = Place::new();
        let mut args = vec!["-q", "-s", "64k", "-A", "echo x >> asked", "-o", "/dev/full"];
        args.extend(options.split_whitespace());
        let outcome = place.run(Program::Lvpipe, &args, &bytes(300_000)).expect(1);
        let expected = "mbuffer: error: the last 3 volumes had no space for a single byte\n\
            mbuffer: error: outputThread: error writing to /dev/full at offset 0x0: No space left on device\n\
            mbuffer: warning: error during output to /dev/full: No space left on device\n";
        assert_eq!(outcome.err, expected);
        assert_eq!(place.read("asked"), b"x\nx\nx\n");
    }
}

#[test]
fn the_command_learns_neither_the_key_of_the_links_nor_the_token() {
    let place = Place::new();
    let change = "env > environment";
    let mut command = place.command(Program::Lvpipe, &["-q", "-s", "64k", "-D", "64k", "-A", change, "-o", "out"]);
    command.env("LVPIPE_KEY", "secret").env("LVPIPE_TOKEN", "secret").env("OTHER", "told");
    finish(command, &bytes(100_000)).expect(0);
    let environment = String::from_utf8_lossy(&place.read("environment")).into_owned();
    assert!(environment.contains("OTHER=told") && !environment.contains("=secret"), "{environment}");
}

#[test]
fn standard_output_has_no_volumes() {
    // The real one writes the rest to a file that is called <stdout>.
    let outcome = Place::new().line(Program::Lvpipe, "-s 64k -D 1M -o -", &bytes(3_000_000)).expect(1);
    assert_eq!(outcome.err, "mbuffer: fatal: Setting OutVolsize without an output device doesn't make sense!\n");
}

#[test]
fn input_volumes_are_joined_without_a_seam() {
    let parts = [bytes(100_000), bytes(65_536), bytes(7)];
    for program in BOTH {
        let place = Place::new();
        for (number, part) in parts.iter().enumerate() {
            place.write(&format!("part{number}"), part);
        }
        place.write("vol", &parts[0]);
        place.write("change", b"n=$(cat n 2>/dev/null || echo 1); cp part$n vol; echo $((n+1)) > n");
        let args = ["-q", "-s", "64k", "-n", "3", "-i", "vol", "-A", "sh change"];
        let outcome = place.run(program, &args, b"").expect(0);
        assert!(outcome.out == parts.concat(), "{program:?}");
    }
}

#[test]
fn an_input_change_that_fails_delivers_what_was_read() {
    // The real one hangs.
    let place = Place::new();
    place.write("vol", &bytes(100_000));
    let outcome = place.run(Program::Lvpipe, &["-n", "3", "-i", "vol", "-A", "false"], b"").expect(1);
    assert!(outcome.out == bytes(100_000));
    assert!(
        outcome.err.contains("error running \"false\" to change volume in autoloader - exitcode 1"),
        "{outcome}"
    );
}

#[test]
fn what_a_command_prints_does_not_get_into_the_data() {
    for program in BOTH {
        let place = Place::new();
        place.write("vol", b"data");
        let outcome = place.run(program, &["-q", "-n", "2", "-i", "vol", "-A", "echo hello"], b"").expect(0);
        assert_eq!(outcome.out, b"datadata");
        assert!(outcome.err.contains("hello"), "{outcome}");
    }
}

#[test]
fn the_command_knows_the_volume_and_the_figures() {
    let place = Place::new();
    let command = "echo $MBUFFER_VOL $MBUFFER_NUMOUT >> figures";
    let args = ["-q", "-s", "64k", "-D", "1M", "-A", command, "-o", "out"];
    place.run(Program::Lvpipe, &args, &bytes(3_000_000)).expect(0);
    assert_eq!(place.read("figures"), b"2 1048576\n3 2097152\n");
}
