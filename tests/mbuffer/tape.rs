//! A medium that ends by itself: `tape_end.c`, loaded before the C library, makes a file behave like a tape.

use std::path::PathBuf;
use std::process::Command;

use crate::pair::{BOTH, Outcome, Place, Program, bytes, finish};

fn shim(place: &Place) -> PathBuf {
    let library = place.path("tape_end.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mbuffer/tape_end.c");
    let compiler =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").output();
    let output = compiler.expect("a C compiler is needed: apt-get install gcc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Runs with the file `tape` being a tape; `settings` are the shim's.
fn on_tape(place: &Place, program: Program, args: &[&str], settings: &[(&str, &str)], input: &[u8]) -> Outcome {
    let mut command = place.command(program, args);
    command.env("LD_PRELOAD", shim(place)).env("TAPE_NAME", "/tape").envs(settings.iter().copied());
    finish(command, input)
}

/// The lengths of the volumes that `change` has moved aside, then of the last one; and all of them joined.
fn volumes(place: &Place) -> (Vec<usize>, Vec<u8>) {
    let aside = (0..).map_while(|n| std::fs::read(place.path(&format!("vol{n}"))).ok());
    let parts: Vec<Vec<u8>> = aside.chain([place.read("tape")]).collect();
    (parts.iter().map(Vec::len).collect(), parts.concat())
}

const CHANGE: &str = "n=$(ls | grep -c '^vol'); env -u LD_PRELOAD mv tape vol$n";

#[test]
fn the_block_that_did_not_fit_goes_to_the_next_volume() {
    let input = bytes(120_000);
    for program in BOTH {
        let place = Place::new();
        let args = ["-q", "-s", "10k", "-A", CHANGE, "-o", "tape"];
        on_tape(&place, program, &args, &[("TAPE_BLOCKS", "5")], &input).expect(0);
        let (lengths, joined) = volumes(&place);
        assert_eq!(lengths, [51_200, 51_200, 17_600], "{program:?}");
        assert!(joined == input, "{program:?}");
    }
}

#[test]
fn tapeaware_writes_to_the_very_end() {
    let input = bytes(120_000);
    for program in BOTH {
        let place = Place::new();
        let args = ["-v4", "-s", "10k", "--tapeaware", "-A", CHANGE, "-o", "tape"];
        let settings = [("TAPE_BLOCKS", "10"), ("TAPE_EARLY", "5")];
        let outcome = on_tape(&place, program, &args, &settings, &input).expect(0);
        let (lengths, joined) = volumes(&place);
        assert_eq!(lengths, [102_400, 17_600], "{program:?}: {outcome}");
        assert!(joined == input, "{program:?}");
        assert!(outcome.err.contains("end of media approaching"), "{outcome}");
    }
}

#[test]
fn without_anybody_to_change_it_the_end_of_the_tape_is_an_error() {
    let place = Place::new();
    let outcome =
        on_tape(&place, Program::Lvpipe, &["-s", "10k", "-o", "tape"], &[("TAPE_BLOCKS", "5")], &bytes(120_000))
            .expect(1);
    let expected =
        "mbuffer: error: outputThread: error writing to tape at offset 0xc800: No space left on device\n";
    assert!(outcome.err.contains(expected), "{outcome}");
}

#[test]
fn records_larger_than_the_space_are_read_whole() {
    let input = bytes(300_000);
    let place = Place::new();
    place.write("tape", &input);
    // The drive has records of 24 KiB, the buffer blocks of 10 KiB.
    let args = ["-q", "-s", "10k", "--no-direct", "-i", "tape"];
    let outcome = on_tape(&place, Program::Lvpipe, &args, &[("TAPE_RECORD", "24576")], b"").expect(0);
    assert!(outcome.out == input);
}
