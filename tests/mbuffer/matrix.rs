//! A generated matrix of options: same bytes out, same status, same shape of what is said.

use crate::pair::{BOTH, Place, bytes};

/// Every combination of one word of each column.
fn combinations(columns: &[&[&str]]) -> Vec<String> {
    columns.iter().fold(vec![String::new()], |lines, column| {
        lines.iter().flat_map(|line| column.iter().map(move |word| format!("{line} {word}"))).collect()
    })
}

fn compare(columns: &[&[&str]], inputs: &[usize]) {
    let place = Place::new();
    for len in inputs {
        let input = bytes(*len);
        place.write("in", &input);
        for line in combinations(columns) {
            let [real, ours] = BOTH.map(|program| {
                let _ = std::fs::remove_file(place.path("out"));
                let outcome = place.line(program, &line, &input);
                (outcome, std::fs::read(place.path("out")).ok())
            });
            assert_eq!(ours.0.code(), real.0.code(), "{}\n{}", ours.0, real.0);
            assert!(ours.0.out == real.0.out, "stdout of{line} with {len} bytes");
            assert!(ours.1 == real.1, "the file of{line} with {len} bytes");
            assert_eq!(ours.0.shape(), real.0.shape(), "{line} with {len} bytes");
        }
    }
}

#[test]
fn sizes_sources_and_targets() {
    let sizes: &[&str] = &["", "-s 4k -b 5", "-s 10k", "-s 64k -m 1M", "-m 100k", "-b 7 -m 1M"];
    compare(&[sizes, &["", "-i in", "-i -"], &["", "-o out", "-o - -o out"]], &[65_536]);
}

#[test]
fn lengths_around_a_block() {
    compare(&[&["-s 4k -b 5", "-s 64k -b 6"]], &[0, 1, 4095, 4096, 4097, 65_535, 65_537, 200_000]);
}

#[test]
fn watermarks_rates_and_pauses() {
    // Without -P: the real one loses a wake-up now and then, and hangs.
    compare(&[&["-s 4k -b 64"], &["", "-p 50"], &["", "-R 10M", "-r 10M"], &["", "-u 100"]], &[300_000]);
}

#[test]
fn hashes_and_quiet() {
    compare(&[&["", "-H", "--hash sha256"], &["", "-q"], &["", "-Q", "-l log"], &["", "-v 1"]], &[100_000]);
}
