//! A generated matrix of options: same bytes out, same status, same shape of what is said.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::pair::{BOTH, Outcome, Place, Program, bytes, free_port};

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
                let outcome = place.line_until_done(program, &line, &input);
                (outcome, std::fs::read(place.path("out")).ok())
            });
            assert_eq!(ours.0.code(), real.0.code(), "{}\n{}", ours.0, real.0);
            assert!(ours.0.out == real.0.out, "stdout of{line} with {len} bytes");
            assert!(ours.1 == real.1, "the file of{line} with {len} bytes");
            assert_eq!(ours.0.told(), real.0.told(), "{line} with {len} bytes");
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
    let marks: &[&str] = &["", "-p 50", "-P 50", "-P 100"];
    compare(&[&["-s 4k -b 64"], marks, &["", "-R 10M", "-r 10M"], &["", "-u 100"]], &[300_000]);
}

#[test]
fn hashes_and_quiet() {
    compare(&[&["", "-H", "--hash sha256"], &["", "-q"], &["", "-Q", "-l log"], &["", "-v 1"]], &[100_000]);
}

/// Runs both with each of these lines, in which PORT stands for a port; `run` says what came out of the network too.
fn compare_over_network(columns: &[&[&str]], run: impl Fn(&Place, Program, &str, u16) -> (Outcome, Vec<u8>)) {
    for line in combinations(columns) {
        let [real, ours] = BOTH.map(|program| {
            let (place, port) = (Place::new(), free_port());
            let (outcome, got) = run(&place, program, &line.replace("PORT", &port.to_string()), port);
            let told: Vec<_> =
                outcome.told().into_iter().map(|line| line.replace(&port.to_string(), "PORT")).collect();
            (outcome, got, std::fs::read(place.path("out")).ok(), told)
        });
        assert_eq!(ours.0.code(), real.0.code(), "{}\n{}", ours.0, real.0);
        assert!(ours.0.out == real.0.out, "stdout of{line}");
        assert!(ours.1 == real.1 && ours.2 == real.2, "the peer or the file of{line}");
        assert_eq!(ours.3, real.3, "{line}");
    }
}

#[test]
fn senders() {
    let input = bytes(300_000);
    let tuning: &[&str] = &["", "--tcpbuffer 128k", "--tcptimeo 5s"];
    let others: &[&str] = &["", "-o out", "-o -", "-o /nope/x", "-H", "-R 10M", "-P 50 -q"];
    let columns = [&["", "-4", "-0"][..], tuning, &["-s 10k -O 127.0.0.1:PORT"], others];
    compare_over_network(&columns, |place, program, line, port| {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("it was free");
        let peer = thread::spawn(move || {
            let mut got = Vec::new();
            listener.accept().expect("a connection").0.read_to_end(&mut got).expect("data");
            got
        });
        let outcome = place.line(program, line, &input);
        (outcome, peer.join().expect("no panic"))
    });
}

#[test]
fn receivers() {
    let input = bytes(300_000);
    let tuning: &[&str] = &["", "--tcpbuffer 128k", "--tcptimeo 5s"];
    let others: &[&str] = &["", "-o out -W 20", "-H -p 50", "-i in"];
    let columns = [&["", "-4", "-6"][..], tuning, &["-I PORT -m 1M"], others];
    compare_over_network(&columns, |place, program, line, port| {
        let input = input.clone();
        let peer = thread::spawn(move || {
            for _ in 0..500 {
                if let Ok(mut peer) = TcpStream::connect(("127.0.0.1", port)) {
                    // Who refuses the rest of its options closes it at once.
                    return drop(peer.write_all(&input));
                }
                thread::sleep(Duration::from_millis(4));
            }
        });
        let outcome = place.line(program, line, b"");
        peer.join().expect("no panic");
        (outcome, Vec::new())
    });
}

/// Options that may be combined at will; of each group one is taken, or none.
const GROUPS: &[&[&str]] = &[
    &["-s 4k", "-s64k", "-s 1.5M", "-s 10k5", "-s 0x3000", "-s 600b", "-s 100", "-s 128x", "-s abc"],
    &["-b 5", "-b 0x10", "-b100", "-b 4", "-b 20000"],
    &["-m 16M", "-m1M", "-m 2%", "-m 100k", "-m 95%", "-m 600"],
    &["-p 50", "-p0.5", "-p 99%", "-p 100", "-P 0", "-P 50", "-P99.9%"],
    &["-r 50M", "-r 1g", "-r 99", "-R 20M", "-R x"],
    &["-H", "--md5 -H", "--hash sha1", "--hash nope", "--hash gcrypt:CRC32"],
    &["-q", "-Q", "-q -Q"],
    &["-v 0", "-v1", "-v error", "-v 3", "-v9"],
    &["-l log", "-l /nope/log"],
    &["-o out", "-o -", "-o out -o -", "-f -o there", "-o there", "--append -o there", "-o /nope/x -o out"],
    &["-o /dev/null", "-o out2", "-c -o out2", "-o there -o out2"],
    &["-i in", "-i -", "-i nope", "-i in -i -"],
    &["-t", "-T buffer", "-T in", "-L"],
    &["-u 1", "-u x", "-d", "-e", "-c", "--no-direct", "--tapeaware"],
    &["-4", "-6", "-0", "--tcpbuffer 1M", "--tcpbuffer x", "--tcptimeo 5s", "--tcptimeo 5d", "--tcptimeo -1"],
    &["-O 8000", "-O nohost.invalid:80", "-O localhost:abc", "-I abc", "-I nohost.invalid:80"],
    &["-W 20", "-W 0", "-a 3", "-A true", "-D 1M", "-n 2", "-n 1"],
    &["-A true -D 100k", "-A true -n 2", "-f", "--append", "--truncate", "-a 1 -A true"],
];

/// One line of options, known from its number: three to five groups in the order of a shuffle.
fn drawn(number: u64) -> String {
    let mut state = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let mut groups = GROUPS.to_vec();
    let words = (0..3 + draw(3)).map(|_| {
        let group = groups.swap_remove(draw(groups.len()));
        group[draw(group.len())]
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What is known to differ, and is meant to.
fn differs_by_intent(line: &str) -> bool {
    let has = |word: &str| line.contains(word);
    // mbuffer: the names of hashes in an order of its own; a level that is none in a log file that is not open yet;
    // times of -a counted one short; a buffer's file that does not fit the disk.
    // -D with standard output is refused: what comes after the first volume would be lost.
    // A -s that is no size is as if it was not there; to mbuffer's -m it is there.
    has("-s abc") && has("-m")
        || has("-b 20000") && (has("-t") || has("-T"))
        || has("-D") && has("-o -")
        || has("--md5 -H")
        || (has("-v9") && has("-l "))
        || (has("-a 3") && (has("-W") || has("-D")))
}

#[test]
fn lines_drawn_at_random() {
    let input = bytes(300_000);
    let mut differences = Vec::new();
    for line in (0..400).map(drawn).filter(|line| !differs_by_intent(line)) {
        let [real, ours] = BOTH.map(|program| {
            let place = Place::new();
            place.write("in", &input[..200_000]);
            place.write("there", b"old");
            let outcome = match line.contains("-P") {
                true => place.line_until_done(program, &line, &input),
                false => place.line(program, &line, &input),
            };
            let files = ["out", "out2", "there", "in"].map(|name| std::fs::read(place.path(name)).ok());
            // What several threads say has no order, and mbuffer's summary counts what failed as well.
            let mut said = outcome.told();
            said.retain(|line| outcome.code() == 0 || !line.starts_with("summary: "));
            said.sort();
            (outcome, files, said)
        });
        let same = ours.0.code() == real.0.code() && ours.0.out == real.0.out && ours.1 == real.1;
        if !same || ours.2 != real.2 {
            differences.push(format!("{line}\n{}\n{}", ours.0, real.0));
        }
    }
    assert!(differences.is_empty(), "{} lines differ:\n{}", differences.len(), differences.join("\n"));
}
