//! Every algorithm that lvpipe lists gives what mbuffer prints.

use crate::pair::{BOTH, Place, Program, bytes};

#[test]
fn every_hash_is_mbuffers() {
    let input = bytes(100_001);
    let place = Place::new();
    let [real, ours] = BOTH.map(|program| {
        let list = place.line(program, "--hash list", b"").expect(0);
        String::from_utf8(list.out).expect("names").lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let missing: Vec<&String> = real.iter().filter(|name| !ours.contains(name)).collect();
    // They have no length of their own; mbuffer aborts on them.
    assert_eq!(missing, ["\tSHAKE128", "\tSHAKE256"]);
    assert!(ours.iter().all(|name| real.contains(name)));
    let all: Vec<&str> = ours.iter().flat_map(|name| ["--hash", name.trim()]).collect();
    let hashes = place.run(Program::Lvpipe, &[&["-q", "-s", "64k"], &all[..]].concat(), &input).expect(0);
    assert!(hashes.out == input);
    assert_eq!(hashes.err.lines().count(), ours.len());
    for (line, name) in hashes.err.lines().zip(&ours) {
        let alone = place.run(Program::Mbuffer, &["-q", "-s", "64k", "--hash", name.trim()], &input).expect(0);
        assert_eq!(Some(line), alone.err.lines().find(|line| line.contains(" hash: ")), "{name}");
    }
}

#[test]
fn names_are_taken_in_any_case_and_with_a_prefix() {
    let place = Place::new();
    for option in ["-H", "--md5", "--hash md5", "--hash gcrypt:Md5"] {
        let outcome = place.line(Program::Lvpipe, &format!("-q -v0 {option}"), b"abc").expect(0);
        assert_eq!(outcome.err, "MD5 hash: 900150983cd24fb0d6963f7d28e17f72\n", "{option}");
    }
}
