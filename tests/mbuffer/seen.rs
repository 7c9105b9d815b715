//! What is seen: status line, summary, log file, in mbuffer's format.

use crate::pair::{BOTH, Outcome, Place, bytes, side_by_side};

#[test]
fn status_and_summary_look_the_same() {
    let input = bytes(3_000_000);
    let lines = ["-s 64k -R 1M -i in", "-s 64k -R 1M", "-s 64k -R 1M -o a -o -"];
    let runs: Vec<_> = lines.iter().flat_map(|line| BOTH.map(|program| (program, line))).collect();
    let shapes = side_by_side(runs.len(), &runs, |(program, line)| {
        let place = Place::new();
        place.write("in", &input);
        let mut shape = place.line(*program, line, &input).expect(0).shape();
        // How many status lines there are is a matter of time.
        shape.dedup();
        shape
    });
    for (line, shapes) in lines.iter().zip(shapes.chunks(BOTH.len())) {
        assert_eq!(shapes[0], shapes[1], "{line}");
        assert!(shapes[0].iter().any(|line| line.starts_with("in @ ")), "{line}: {:?}", shapes[0]);
    }
}

#[test]
fn a_status_line_begins_with_a_carriage_return_and_the_last_is_ended() {
    let place = Place::new();
    let outcome = place.line(crate::pair::Program::Lvpipe, "-s 64k -R 1M", &bytes(1_500_000)).expect(0);
    let (status, summary) =
        outcome.err.rsplit_once('\n').and_then(|(text, _)| text.rsplit_once('\n')).expect("two lines");
    assert!(status.starts_with("\rin @ ") && status.ends_with("% full"), "{outcome}");
    assert!(summary.starts_with("summary: 1464 kiByte in "), "{outcome}");
}

#[test]
fn the_log_file_has_messages_status_and_summary() {
    let lines = [("", true, true), ("-q", true, true), ("-Q", false, false), ("-v 2", false, true)];
    let runs: Vec<_> = lines.iter().flat_map(|line| BOTH.map(|program| (program, line))).collect();
    side_by_side(runs.len(), &runs, |&(program, &(line, status, summary))| {
        let place = Place::new();
        place.write("log", b"old");
        let outcome = place.line(program, &format!("-l log -s 64k -R 1M {line}"), &bytes(1_500_000)).expect(0);
        let log = String::from_utf8(place.read("log")).expect("text");
        assert!(!log.contains("old"));
        assert_eq!(log.contains("mbuffer: in @ "), status, "{program:?} {line}: {log}");
        assert_eq!(log.lines().any(|line| line.starts_with("summary: ")), summary, "{program:?} {line}: {log}");
        assert_eq!(outcome.err.contains("summary: "), line != "-q", "{outcome}");
    });
}

#[test]
fn the_process_id_is_said_and_is_in_later_messages() {
    for program in BOTH {
        let place = Place::new();
        let outcome = place.line(program, "--pid -q -o there-is-none/x", b"").expect(1);
        let mut lines = outcome.err.lines();
        let pid = lines.next().and_then(|line| line.strip_prefix("mbuffer: PID is ")).expect("the id").to_owned();
        assert!(lines.next().is_some_and(|line| line.contains(&format!("mbuffer ({pid}): error: "))), "{outcome}");
    }
}

/// What is said at `-v 4`, without what differs from run to run; sorted, as several threads say it.
fn told(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = outcome
        .told()
        .iter()
        .map(|line| {
            let cut =
                ["threadid 0x", "tmpfile is ", "time for writing volume: ", "reading volume: ", "change took "];
            let end = cut.iter().find_map(|word| line.find(word).map(|at| at + word.len()));
            line[..end.unwrap_or(line.len())].to_owned()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn what_is_done_is_told_in_the_same_lines() {
    let input = bytes(200_000);
    for line in [
        "",
        "-s 128k -m 16M",
        "-s 128k -m 1000k",
        "-s 64k -b 20 -m 1280k",
        "-m 10k",
        "-m 10%",
        "-t -m 1M",
        "-L -m 1M",
        "-W 9",
        "-H --hash sha1",
        "-i in -o out",
        "-i in --no-direct -c -o out",
        "-o a -o out -o - -H",
        "-d -s 64k -o /dev/null",
        "-i in -n 2 -A true",
        "-s 32k -D 128k -A true -o out",
        "-T /dev/there-is-none/x -m 1M",
        "-o there-is-none/x -o out",
    ] {
        let [real, ours] = BOTH.map(|program| {
            let place = Place::new();
            place.write("in", &input);
            let outcome = place.line(program, &format!("-v4 {line}"), &input);
            // The directory's name is the home's.
            let home = place.path("").display().to_string();
            told(&outcome).into_iter().map(|line| line.replace(&home, "~/")).collect::<Vec<_>>()
        });
        assert_eq!(ours, real, "-v4 {line}");
    }
}

#[test]
fn a_level_that_is_none_is_said_twice_and_costs_the_status() {
    let [real, ours] = BOTH.map(|program| Place::new().line(program, "-v9 -q", b"data").expect(1));
    assert_eq!((ours.out, ours.err), (real.out, real.err));
}
