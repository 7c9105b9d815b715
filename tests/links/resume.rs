//! Transfers that end early are gone on with: what is there is compared and not sent again; what must not be mixed is
//! refused.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::image::{Image, names, scratch_in_memory, space};
use crate::party::{expect_ok, figure, listen, listen_as, transfer, words_of};
use crate::process::{Ran, lvpipe, recv, run, run_pair, send, start, start_pair, wait_until};
use crate::proxy::Proxy;

const MIB: u64 = 1 << 20;
const PART: u64 = 64 << 10;
const FINE: [&str; 4] = ["-s", "64k", "--compress", "none"];
const JSON: [&str; 2] = ["--progress", "json"];

/// Where a transfer that ends early happens.
struct Place {
    scratch: tempfile::TempDir,
    image: Image,
    source: PathBuf,
    target: PathBuf,
}

impl Place {
    fn new(size: u64) -> Place {
        let scratch = scratch_in_memory();
        let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
        let image = Image::full(size);
        image.write(&source);
        Place { scratch, image, source, target }
    }

    fn partial(&self) -> PathBuf {
        self.scratch.path().join("copy.partial")
    }

    fn journal(&self) -> PathBuf {
        self.scratch.path().join("copy.lvpipe-journal")
    }

    /// How many parts the journal says are there.
    fn recorded(&self) -> u64 {
        // The header of such a short lineage has less than 512 bytes; a record has 64.
        fs::metadata(self.journal()).map_or(0, |found| found.len().saturating_sub(512) / 64)
    }

    /// Sends over links until about half of it is there, then ends the receiver.
    #[track_caller]
    fn half_sent(&self) {
        let receiver = listen(&["--insecure"], &self.target);
        let proxy = Proxy::to(receiver.address);
        let mut sender = receiver.sender_through(proxy.address, &FINE, &self.source);
        let sending = start(sender.args(["-n", "3", "-r", "32M"]));
        wait_until("half of it is sent", || proxy.passed() > self.image.size / 2);
        receiver.running.signal(SIGTERM);
        receiver.running.end().expect_failure(143, &["go on with --resume"]);
        sending.end().expect_failure(1, &["receiver failed", "ended: SIGTERM"]);
        assert_eq!(names(self.scratch.path()), ["copy.lvpipe-journal", "copy.partial", "image"]);
    }

    /// Both sides go on, to the end.
    fn go_on(&self) -> (Ran, Ran) {
        self.go_on_with(&self.source, &FINE)
    }

    fn go_on_with(&self, source: &Path, args: &[&str]) -> (Ran, Ran) {
        let receiver = listen(&["--insecure", "--resume", "--progress", "json", "--retry-for", "1"], &self.target);
        let mut sender = receiver.sender(args, source);
        let (sent, received) = transfer(receiver, sender.args(["-n", "3", "--resume"]).args(JSON));
        (words_of(sent), words_of(received))
    }

    #[track_caller]
    fn assert_whole(&self) {
        self.image.assert_is(&self.target);
        assert_eq!(names(self.scratch.path()), ["copy", "image"]);
    }

    /// Changes a byte of a file.
    fn turn_over(&self, path: &Path, at: u64) {
        let file = OpenOptions::new().read(true).write(true).open(path).expect("a file");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("it is there");
        file.write_all_at(&[!byte[0]], at).expect("written");
    }
}

/// Kills one side after the other, each as soon as the journal has grown, until all is there.
fn killed_again_and_again(security: &[&str], in_place: bool) {
    let place = Place::new(40 * MIB);
    if in_place {
        Image::full(41 * MIB).seed(2).write(&place.target);
    }
    let mut rounds = 0;
    loop {
        let before = place.recorded();
        let receiver = listen(&[security, &["--resume"], &JSON].concat(), &place.target);
        let proxy = Proxy::to(receiver.address);
        let mut sender = receiver.sender_through(proxy.address, &FINE, &place.source);
        let key = security.iter().filter(|arg| **arg != "--insecure");
        let sending = start(sender.args(key).args(["-n", "3", "--resume", "-r", "3M"]).args(JSON));
        let mut ended = false;
        wait_until("something is recorded, or all is done", || {
            ended = sending.has_ended();
            ended || place.recorded() > before + 4
        });
        if ended {
            expect_ok((sending.end(), receiver.running.end()));
            break;
        }
        rounds += 1;
        // One is killed, and what the other does then must not matter.
        if rounds % 2 == 0 { &sending } else { &receiver.running }.signal(SIGKILL);
        if rounds % 3 != 0 {
            if rounds % 2 == 0 { &receiver.running } else { &sending }.signal(SIGKILL);
        } else {
            if rounds % 2 == 0 { &receiver.running } else { &sending }.signal(SIGTERM);
        }
        sending.end();
        receiver.running.end();
        // A held part costs a header and a segment table.
        let missing = place.image.size - before * PART;
        let most = missing + missing / 10 + (before + 16) * 100 + 3 * PART;
        assert!(proxy.passed() < most, "{} bytes in a round that had {missing} to send", proxy.passed());
    }
    assert!(rounds >= 10, "{rounds} rounds");
    place.image.assert_is(&place.target);
    assert!(!place.journal().exists() && !place.partial().exists());
}

#[test]
fn killed_again_and_again_a_transfer_gets_there() {
    killed_again_and_again(&["--insecure"], false);
}

#[test]
fn killed_again_and_again_with_a_key_and_in_place_a_transfer_gets_there() {
    let keys = scratch_in_memory();
    let file = keys.path().join("key");
    killed_again_and_again(&["--key-file", file.to_str().expect("text")], true);
}

#[test]
fn only_what_is_missing_is_sent_and_the_journal_is_removed_at_the_end() {
    let place = Place::new(8 * MIB);
    place.half_sent();
    let held = place.recorded();
    let (sent, received) = expect_ok(place.go_on());
    let compared = figure(&received, "held");
    assert!(compared >= held.min(40) && compared <= 128, "{compared} parts of {held} recorded\n{received}");
    let wire = figure(&sent, "wire_bytes");
    assert!(wire < place.image.size - compared * PART + 128 * 100 + 2000, "{wire} bytes, {compared} held");
    place.assert_whole();
}

#[test]
fn without_resume_on_either_side_all_is_sent() {
    for (ours, theirs) in [(&["--resume"][..], &[][..]), (&[], &["--resume"]), (&[], &[])] {
        let place = Place::new(4 * MIB);
        place.half_sent();
        let receiver = listen(&[&["--insecure"], theirs].concat(), &place.target);
        let mut sender = receiver.sender(&FINE, &place.source);
        let (sent, _) = expect_ok(transfer(receiver, sender.args(ours).args(JSON)));
        assert!(figure(&sent, "wire_bytes") > place.image.size);
        place.assert_whole();
    }
}

#[test]
fn a_receiver_that_is_started_again_is_found_by_the_sender_that_still_runs() {
    let place = Place::new(16 * MIB);
    let key = place.scratch.path().join("key");
    let receive = |address: &str| {
        let mut command = lvpipe(["recv", "-I", address, "--resume", "--progress", "json", "--key-file"]);
        command.arg(&key).arg(&place.target);
        listen_as(&mut command)
    };
    let first = receive("127.0.0.1:0");
    let address = first.address;
    let mut sender = first.sender(&FINE, &place.source);
    let sending =
        start(sender.args(JSON).args(["-n", "3", "-r", "8M", "--retry-for", "20", "--key-file"]).arg(&key));
    wait_until("something is recorded", || place.recorded() > 4);
    first.running.signal(SIGKILL);
    first.running.end();
    let second = receive(&address.to_string());
    let (sent, received) = expect_ok((sending.end(), second.running.end()));
    assert!(sent.stderr.contains("was started again"), "{sent}");
    assert!(figure(&received, "held") > 0, "{received}");
    place.image.assert_is(&place.target);
    assert_eq!(names(place.scratch.path()), ["copy", "image", "key"]);
}

#[test]
fn a_stream_cannot_be_sent_twice_to_a_receiver_that_is_started_again() {
    let place = Place::new(4 * MIB);
    let receive = |address: &str| {
        let mut command = lvpipe(["recv", "-I", address, "--insecure", "--retry-for", "1"]);
        command.arg(&place.target);
        listen_as(&mut command)
    };
    let first = receive("127.0.0.1:0");
    let address = first.address;
    let proxy = Proxy::to(address);
    let mut sender = first.sender_through(proxy.address, &["-s", "64k", "-n", "2"], "-".as_ref());
    let mut sending = start(sender.stdin(Stdio::piped()));
    let mut stdin = sending.stdin();
    stdin.write_all(&place.image.bytes()[..MIB as usize]).expect("it reads");
    wait_until("something is under way", || proxy.passed() > MIB / 4);
    first.running.signal(SIGKILL);
    first.running.end();
    let second = receive(&address.to_string());
    sending.end().expect_failure(1, &["receiver lost", "a stream cannot be sent twice"]);
    drop(stdin);
    second.running.end().expect_failure(1, &["the sender is gone"]);
}

#[test]
fn a_source_that_has_changed_is_refused_and_what_is_there_stays() {
    let place = Place::new(4 * MIB);
    place.half_sent();
    place.turn_over(&place.source, 100);
    let (sent, received) = place.go_on();
    sent.expect_failure(5, &["receiver refused", "the source has other data there"]);
    received.expect_failure(4, &["cannot resume", "the source has other data there", "without --resume"]);
    assert_eq!(names(place.scratch.path()), ["copy.lvpipe-journal", "copy.partial", "image"]);
    // As it was, it is gone on with.
    place.turn_over(&place.source, 100);
    expect_ok(place.go_on());
    place.assert_whole();
}

#[test]
fn a_target_that_was_damaged_gets_its_parts_again() {
    let place = Place::new(4 * MIB);
    place.half_sent();
    for part in [0, 3, 5] {
        place.turn_over(&place.partial(), part * PART + 777);
    }
    let (sent, received) = expect_ok(place.go_on());
    assert!((1..=3).contains(&figure(&received, "again")), "{received}");
    assert_eq!(figure(&sent, "again"), figure(&received, "again"), "{sent}{received}");
    place.assert_whole();
}

#[test]
fn another_source_size_grid_or_digest_is_refused_and_what_is_there_stays() {
    let place = Place::new(4 * MIB);
    place.half_sent();
    let other = place.scratch.path().join("other");
    fs::copy(&place.source, &other).expect("copied");
    let refused = |source: &Path, args: &[&str], status: i32, why: &str| {
        let (sent, received) = place.go_on_with(source, args);
        received.expect_failure(4, &["cannot go on with the transfer", why]);
        sent.expect_failure(status, &["receiver refused", why]);
    };
    refused(&other, &FINE, 5, "it was begun from");
    refused(&place.source, &["-s", "128k"], 5, "send with -s 64k");
    refused(&place.source, &["-s", "64k", "--digest", "blake3"], 5, "send with --digest sha256");
    fs::remove_file(&other).expect("removed");
    // The same file by another path is the same source.
    let beside = place.scratch.path().join(".").join(place.source.file_name().expect("a name"));
    expect_ok(place.go_on_with(&beside, &FINE));
    place.assert_whole();
}

#[test]
fn without_digests_nothing_is_gone_on_with() {
    let place = Place::new(MIB);
    let mut sender = send(&["--resume", "--digest", "none", "--insecure", "-O", "127.0.0.1:1"], &place.source);
    run(&mut sender).expect_failure(2, &["cannot go on", "--digest none"]);
}

#[test]
fn a_journal_that_cannot_be_kept_does_not_stop_a_transfer() {
    let place = Place::new(MIB);
    fs::write(place.journal(), "somebody's own").expect("written");
    let receiver = listen(&["--insecure"], &place.target);
    let mut sender = receiver.sender(&FINE, &place.source);
    let (_, received) = expect_ok(transfer(receiver, &mut sender));
    assert!(received.stderr.contains("it is not a journal"), "{received}");
    place.image.assert_is(&place.target);
    assert_eq!(fs::read_to_string(place.journal()).expect("left alone"), "somebody's own");
}

/// Over a pipe: half of the stream arrives, then the pipe breaks.
#[track_caller]
fn half_piped(place: &Place) {
    let stream = run(&mut send(&["-s", "64k", "--compress", "none"], &place.source)).expect_ok().stdout;
    let mut receiving = start(recv(&[], &place.target).stdin(Stdio::piped()));
    let mut pipe = receiving.stdin();
    pipe.write_all(&stream[..stream.len() / 2]).expect("it reads");
    wait_until("much of it is written", || {
        place.partial().exists() && space(&place.partial()) > place.image.size / 3
    });
    drop(pipe);
    receiving.end().expect_failure(3, &["truncated", "go on with --resume"]);
}

fn token(place: &Place) -> String {
    let mut command = lvpipe(["recv", "--resume-token"]);
    let ran = run(command.arg(&place.target)).expect_ok();
    String::from_utf8(ran.stdout).expect("text").trim().to_string()
}

fn go_on_from(token: &str, place: &Place) -> crate::process::Pair {
    let mut sender = lvpipe(["send", "--compress", "none", "--progress", "json", "--resume", token]);
    run_pair(sender.arg(&place.source), &mut recv(&["--resume"], &place.target))
}

#[test]
fn over_a_pipe_a_token_tells_what_is_there() {
    let place = Place::new(4 * MIB);
    half_piped(&place);
    let token = token(&place);
    let pair = go_on_from(&token, &place).expect_ok();
    let wire = figure(&pair.send, "wire_bytes");
    assert!(wire < place.image.size * 2 / 3, "{wire} bytes");
    place.assert_whole();
    // It is done: there is nothing to go on with, and nothing is touched.
    go_on_from(&token, &place).expect_recv_failure(4, &["of which there is no journal"]);
    place.assert_whole();
}

#[test]
fn the_token_names_the_source_too() {
    let place = Place::new(MIB);
    half_piped(&place);
    let token = token(&place);
    let pair = run_pair(&mut lvpipe(["send", "--resume", &token]), &mut recv(&["--resume"], &place.target));
    pair.expect_ok();
    place.assert_whole();
}

#[test]
fn a_token_that_is_mistyped_of_another_source_or_of_another_transfer_is_refused() {
    let (place, other) = (Place::new(2 * MIB), Place::new(2 * MIB));
    half_piped(&place);
    half_piped(&other);
    let (own, foreign) = (token(&place), token(&other));
    let mut typo = own.clone().into_bytes();
    typo[20] = if typo[20] == b'a' { b'b' } else { b'a' };
    let typo = String::from_utf8(typo).expect("text");
    let sender = |token: &str| {
        let mut command = lvpipe(["send", "--resume", token]);
        run(command.arg(&place.source))
    };
    sender(&typo).expect_failure(2, &["the token is mistyped"]);
    sender(&foreign).expect_failure(4, &["the token is of"]);
    // Of the same source and target, but of what was sent before.
    half_piped(&place);
    go_on_from(&own, &place).expect_recv_failure(4, &["the sender's token is of another transfer"]);
    go_on_from(&token(&place), &place).expect_ok();
    place.assert_whole();
}

#[test]
fn a_stream_that_goes_on_with_another_needs_a_receiver_that_does() {
    let place = Place::new(2 * MIB);
    half_piped(&place);
    let mut sender = lvpipe(["send", "--resume", &token(&place)]);
    let pair = run_pair(sender.arg(&place.source), &mut recv(&[], &place.target));
    pair.expect_recv_failure(4, &["the stream goes on with an earlier one", "lvpipe recv --resume TARGET"]);
    go_on_from(&token(&place), &place).expect_ok();
    place.assert_whole();
}

#[test]
fn over_a_pipe_a_damaged_target_cannot_be_asked_about() {
    let place = Place::new(2 * MIB);
    half_piped(&place);
    place.turn_over(&place.partial(), 5000);
    let failed = go_on_from(&token(&place), &place).recv;
    failed.expect_failure(3, &["cannot resume", "begin anew, without --resume"]);
}

#[test]
fn a_pipe_says_that_it_cannot_tell_what_is_there() {
    let place = Place::new(MIB);
    let mut command: Command = send(&["--resume"], &place.source);
    run(&mut command).expect_failure(2, &["a pipe does not tell", "--resume-token"]);
    let ran = run(lvpipe(["recv", "--resume-token"]).arg(&place.target));
    ran.expect_failure(4, &["nothing to go on with"]);
}

/// A pipe that is killed on both ends, not only cut.
#[test]
fn a_killed_pipe_is_gone_on_with() {
    let place = Place::new(8 * MIB);
    let (sending, receiving) = start_pair(
        &mut send(&["-s", "64k", "--compress", "none", "-r", "3M"], &place.source),
        &mut recv(&[], &place.target),
    );
    wait_until("something is recorded", || place.recorded() > 4);
    receiving.signal(SIGKILL);
    receiving.end();
    sending.end().expect_failure(1, &["cannot write stream"]);
    let held = place.recorded();
    let pair = go_on_from(&token(&place), &place).expect_ok();
    assert!(figure(&pair.send, "wire_bytes") < place.image.size - held * PART + MIB / 2);
    place.assert_whole();
}
