//! Transfers that end early are gone on with: what is there is compared and not sent again; what must not be mixed is
//! refused.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::image::{Image, names, scratch_in_memory};
use crate::party::{expect_ok, figure, listen, listen_as, transfer, words_of};
use crate::process::{Ran, lvpipe, run, send, start, wait_until};
use crate::proxy::Proxy;

pub const MIB: u64 = 1 << 20;
pub const PART: u64 = 64 << 10;
const FINE: [&str; 4] = ["-s", "64k", "--compress", "none"];
const JSON: [&str; 2] = ["--progress", "json"];

/// Where a transfer that ends early happens.
pub struct Place {
    pub scratch: tempfile::TempDir,
    pub image: Image,
    pub source: PathBuf,
    pub target: PathBuf,
}

impl Place {
    pub fn new(size: u64) -> Place {
        let scratch = scratch_in_memory();
        let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
        let image = Image::full(size);
        image.write(&source);
        Place { scratch, image, source, target }
    }

    pub fn partial(&self) -> PathBuf {
        self.scratch.path().join("copy.partial")
    }

    pub fn journal(&self) -> PathBuf {
        self.scratch.path().join("copy.lvpipe-journal")
    }

    /// How many parts the journal says are there.
    pub fn recorded(&self) -> u64 {
        // The header of such a short lineage has less than 512 bytes; a record has 64.
        fs::metadata(self.journal()).map_or(0, |found| found.len().saturating_sub(512) / 64)
    }

    /// Sends over links until about half of it is there, then ends the receiver.
    #[track_caller]
    pub fn half_sent(&self) {
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
    pub fn go_on(&self) -> (Ran, Ran) {
        self.go_on_with(&self.source, &FINE)
    }

    pub fn go_on_with(&self, source: &Path, args: &[&str]) -> (Ran, Ran) {
        let receiver = listen(&["--insecure", "--resume", "--progress", "json", "--retry-for", "1"], &self.target);
        let mut sender = receiver.sender(args, source);
        let (sent, received) = transfer(receiver, sender.args(["-n", "3", "--resume"]).args(JSON));
        (words_of(sent), words_of(received))
    }

    #[track_caller]
    pub fn assert_whole(&self) {
        self.image.assert_is(&self.target);
        assert_eq!(names(self.scratch.path()), ["copy", "image"]);
    }

    /// Changes a byte of a file.
    pub fn turn_over(&self, path: &Path, at: u64) {
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
    refused(&place.source, &["-s", "64k", "--digest", "sha256"], 5, "send with --digest blake3");
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
