//! What a receiver or a sender refuses is told on the other side, in its words, before anything is written; who is no
//! sender is dropped and logged, and the transfer goes on.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::image::{Image, names, scratch_in_memory};
use crate::party::{expect_ok, listen, send_to, transfer};
use crate::process::{lvpipe, recv, start, wait_until};

const MIB: u64 = 1 << 20;

#[test]
fn a_target_that_is_refused_is_told_at_the_sender_and_nothing_is_written() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    fs::create_dir(scratch.path().join("directory")).expect("made");
    fs::write(&target, "precious").expect("written");
    // Another transfer to it is under way.
    let mut other = start(recv(&[], &target).stdin(Stdio::piped()));
    let mut pipe = other.stdin();
    let stream = crate::process::run(&mut crate::process::send(&[], &source)).expect_ok().stdout;
    pipe.write_all(&stream[..1000]).expect("it reads");
    let inode = fs::metadata(&target).expect("it is there").ino();
    let locked = || {
        let locks = fs::read_to_string("/proc/locks").expect("proc(5)");
        locks.contains(&format!(":{inode} "))
    };
    wait_until("the other has the target", locked);
    for (name, status, why) in
        [("directory", 2, "it is a directory"), ("copy", 4, "has it open for writing"), ("no/such", 1, "No such")]
    {
        let receiver = listen(&[], &scratch.path().join(name));
        let mut sender = receiver.sender(&["-n", "4"], &source);
        let (sent, received) = transfer(receiver, &mut sender);
        let sent_status = if status == 1 { 1 } else { 5 };
        let said = if status == 1 { "receiver failed" } else { "receiver refused" };
        sent.expect_failure(sent_status, &[said, why]);
        assert_eq!(received.status.code(), Some(status), "{received}");
        assert!(received.stderr.contains(why), "{received}");
    }
    assert_eq!(names(&scratch.path().join("directory")), [""; 0]);
    assert!(!scratch.path().join("no").exists());
    drop(pipe);
    other.end();
}

#[test]
fn strangers_are_dropped_and_logged_while_a_transfer_runs() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(12 * MIB);
    image.write(&source);
    let receiver = listen(&[], &target);
    let args = ["-n", "3", "-s", "64k", "--compress", "none", "-r", "4M"];
    let sending = start(&mut receiver.sender(&args, &source));
    wait_until("it has begun", || scratch.path().join("copy.partial").exists());
    // Another key, silent ones, garbage, another service's client, and another transfer with the right key.
    let mut wrong = send_to(receiver.address, &[], &source);
    wrong.env("LVPIPE_KEY", other_key(&scratch));
    start(&mut wrong).end().expect_failure(5, &["receiver is not authenticated", "the key is not this receiver's"]);
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(receiver.address).expect("it listens")).collect();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b"\x16\x03\x01\xff\xff", b"\x89LVP\r\n\x1a\n"] {
        let mut stranger = TcpStream::connect(receiver.address).expect("it listens");
        let _ = stranger.write_all(garbage);
        let begun = Instant::now();
        let _ = stranger.set_read_timeout(Some(Duration::from_secs(10)));
        let mut answer = [0; 1024];
        while matches!(stranger.read(&mut answer), Ok(1..)) {}
        assert!(begun.elapsed() < Duration::from_secs(5), "{garbage:?} was not dropped");
    }
    let mut busy = receiver.sender(&[], &source);
    start(&mut busy).end().expect_failure(5, &["receiver refused", "busy with another transfer"]);
    let (_, received) = expect_ok((sending.end(), receiver.running.end()));
    image.assert_is(&target);
    assert!(received.stderr.contains("dropped: not authenticated"), "{received}");
    drop(silent);
}

/// A key that no receiver has.
fn other_key(scratch: &tempfile::TempDir) -> String {
    let receiver = listen(&[], &scratch.path().join("never"));
    receiver.key()
}

#[test]
fn one_side_encrypted_and_the_other_not_is_told_on_both() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    let encrypted = listen(&[], &target);
    let plain = start(&mut send_to(encrypted.address, &["--insecure"], &source));
    plain.end().expect_failure(5, &["--insecure"]);
    wait_until("the receiver has told", || encrypted.running.said().contains("dropped"));
    let key = encrypted.key();
    drop(encrypted);

    let plain = listen(&["--insecure"], &target);
    let mut sender = send_to(plain.address, &[], &source);
    start(sender.env("LVPIPE_KEY", key)).end().expect_failure(5, &["it does not encrypt", "--insecure"]);
    wait_until("the receiver has told", || plain.running.said().contains("dropped"));
    drop(plain);
    assert_eq!(names(scratch.path()), ["image"]);
}

#[test]
fn options_that_would_have_no_effect_are_refused() {
    let sender = |args: &[&str]| start(lvpipe(["send", "/dev/null"]).args(args).stdout(Stdio::null())).end();
    let alone: [&[&str]; 9] = [
        &["-n", "3"],
        &["--insecure"],
        &["--bind", "127.0.0.1"],
        &["--exec", "cat"],
        &["--retry-for", "60"],
        &["-W", "30"],
        &["--connect-timeout", "10"],
        &["--rsh", "ssh"],
        &["--remote-lvpipe", "lvpipe"],
    ];
    for args in alone {
        sender(args).expect_failure(2, &["there is no receiver to connect to"]);
    }
    sender(&["--insecure", "-O", "127.0.0.1:1", "--rsh", "ssh"]).expect_failure(2, &["--rsh", "it is for ssh://"]);
    for args in [&["--insecure"][..], &["--retry-for", "60"], &["-W", "30"], &["--wait", "1"]] {
        let receiver = start(lvpipe(["recv", "-"]).args(args)).end();
        receiver.expect_failure(2, &["there is nothing to listen on"]);
    }
}

#[test]
fn a_receiver_waits_for_its_sender_no_longer_than_it_is_told_to() {
    let scratch = scratch_in_memory();
    let mut receiver = lvpipe(["recv", "--insecure", "--wait", "0.3", "-I", "127.0.0.1:0"]);
    let ran = start(receiver.arg(scratch.path().join("copy"))).end();
    ran.expect_failure(1, &["none has come within 0.3 s", "--wait TIME"]);
    assert!(names(scratch.path()).is_empty());
}
