//! Ends from outside: both sides end at once, with their true statuses, say why, and leave nothing behind but what can
//! be gone on with.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGKILL, SIGTERM};

use crate::image::{Image, names, scratch_in_memory};
use crate::party::{ENCRYPTED, INSECURE, Receiver, listen, listen_as, send_to};
use crate::process::{Running, lvpipe, send, start, start_pair, wait_until};
use crate::proxy::Proxy;

const MIB: u64 = 1 << 20;
/// What "at once" may take on a busy machine: less than any of lvpipe's own time-outs.
const PROMPTLY: Duration = Duration::from_secs(10);

/// A transfer in its middle.
struct Middle {
    scratch: tempfile::TempDir,
    sending: Running,
    receiver: Receiver,
    _proxy: Proxy,
}

fn in_the_middle(security: &[&str], source: Option<PathBuf>) -> Middle {
    let scratch = scratch_in_memory();
    let image = scratch.path().join("image");
    Image::full(64 * MIB).write(&image);
    let receiver = listen(security, &scratch.path().join("copy"));
    let proxy = Proxy::to(receiver.address);
    // With so little memory it cannot have read all of the source by then.
    let args = ["-n", "3", "-s", "64k", "--compress", "none", "-r", "4M", "-m", "8M"];
    let mut sender = receiver.sender_through(proxy.address, &args, &source.unwrap_or(image));
    let sending = start(sender.stdin(Stdio::piped()));
    wait_until("it is under way", || proxy.passed() > MIB / 2);
    Middle { scratch, sending, receiver, _proxy: proxy }
}

impl Middle {
    /// What a transfer that ended early may leave.
    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let names = names(self.scratch.path());
        assert!(names == ["image"] || names == ["copy.lvpipe-journal", "copy.partial", "image"], "{names:?}");
    }
}

#[test]
fn a_signal_to_the_sender_ends_both() {
    for (signal, security) in [(SIGINT, INSECURE), (SIGTERM, ENCRYPTED), (SIGHUP, INSECURE)] {
        let middle = in_the_middle(security, None);
        middle.sending.signal(signal);
        let words = format!("ended: {signal}");
        let Middle { sending, receiver, scratch, _proxy } = middle;
        let sent = sending.end_within(PROMPTLY);
        sent.expect_failure(128 + signal as i32, &[&format!("lvpipe: {words}")]);
        let received = receiver.running.end_within(PROMPTLY);
        received.expect_failure(3, &["the sender gave up", &words]);
        let names = names(scratch.path());
        assert_eq!(names, ["copy.lvpipe-journal", "copy.partial", "image"]);
    }
}

#[test]
fn a_signal_to_the_receiver_ends_both() {
    for (signal, security) in [(SIGINT, ENCRYPTED), (SIGTERM, INSECURE)] {
        let middle = in_the_middle(security, None);
        middle.receiver.running.signal(signal);
        let words = format!("ended: {signal}");
        let Middle { sending, receiver, scratch, _proxy } = middle;
        receiver.running.end_within(PROMPTLY).expect_failure(128 + signal as i32, &[&format!("lvpipe: {words}")]);
        sending.end_within(PROMPTLY).expect_failure(1, &["receiver failed", &words]);
        assert_eq!(names(scratch.path()), ["copy.lvpipe-journal", "copy.partial", "image"]);
    }
}

#[test]
fn a_source_that_fails_is_told_at_the_receiver() {
    let scratch = scratch_in_memory();
    let image = scratch.path().join("own");
    Image::full(64 * MIB).write(&image);
    let middle = in_the_middle(INSECURE, Some(image.clone()));
    // Cut short while it is read.
    std::fs::OpenOptions::new().write(true).open(&image).expect("a file").set_len(MIB).expect("cut");
    middle.assert_nothing_is_left();
    let Middle { sending, receiver, .. } = middle;
    let sent = sending.end_within(PROMPTLY);
    assert!(!sent.status.success() && sent.stderr.contains("own"), "{sent}");
    receiver.running.end_within(PROMPTLY).expect_failure(3, &["the sender gave up", "own"]);
}

#[test]
fn a_target_that_fails_is_told_at_the_sender() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::full(4 * MIB).write(&source);
    let receiver = listen_as(&mut lvpipe([
        "recv",
        "-I",
        "127.0.0.1:0",
        "--insecure",
        "--exec",
        "head -c 100000 > /dev/null; exit 3",
    ]));
    let sending = start(&mut receiver.sender(&["-n", "3", "-s", "64k"], &source));
    sending.end_within(PROMPTLY).expect_failure(1, &["receiver failed"]);
    receiver.running.end_within(PROMPTLY).expect_failure(1, &[]);
}

/// A transfer into a command that does not read for long enough that every write to it is blocked, and what the
/// command leaves if it is ever told that it has all of it.
fn into_a_command(scratch: &Path, waits: &str) -> (Running, Receiver, Proxy, PathBuf) {
    let (source, done) = (scratch.join("image"), scratch.join("done"));
    Image::full(32 * MIB).write(&source);
    let command = format!("touch {0}.begun; {waits}; cat > /dev/null; touch {0}", done.display());
    let args = ["recv", "-I", "127.0.0.1:0", "--insecure", "--retry-for", "1", "-m", "8M", "--exec", &command];
    let receiver = listen_as(&mut lvpipe(args));
    let proxy = Proxy::to(receiver.address);
    let args = ["-n", "3", "-s", "64k", "--compress", "none", "-m", "8M"];
    let sending = start(&mut receiver.sender_through(proxy.address, &args, &source));
    let is_blocked = || {
        let before = proxy.passed();
        sleep(Duration::from_millis(200));
        before > MIB && proxy.passed() == before
    };
    wait_until("the command is waited for", is_blocked);
    (sending, receiver, proxy, done)
}

#[test]
fn a_command_is_never_told_that_a_transfer_that_failed_is_whole() {
    for (end_the_sender, signal) in [(true, SIGTERM), (false, SIGTERM), (true, SIGKILL), (false, SIGKILL)] {
        let scratch = scratch_in_memory();
        let go = scratch.path().join("go");
        let waits = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
        let (sending, receiver, _proxy, done) = into_a_command(scratch.path(), &waits);
        if end_the_sender { &sending } else { &receiver.running }.signal(signal);
        let received = receiver.running.end_within(PROMPTLY);
        assert!(!received.status.success(), "{received}");
        std::fs::write(&go, "").expect("written");
        drop(sending);
        sleep(Duration::from_millis(500));
        assert!(scratch.path().join("done.begun").exists() && !done.exists(), "{signal} {end_the_sender}");
    }
}

#[test]
fn a_command_that_reads_while_its_receiver_is_killed_sees_no_end() {
    let scratch = scratch_in_memory();
    let (source, done) = (scratch.path().join("image"), scratch.path().join("done"));
    Image::full(8 * MIB).write(&source);
    // Not the first process of the command reads.
    let command = format!("(cat > /dev/null; touch {}) | cat", done.display());
    for _ in 0..5 {
        let receiver = listen_as(&mut lvpipe(["recv", "-I", "127.0.0.1:0", "--insecure", "--exec", &command]));
        let proxy = Proxy::to(receiver.address);
        let args = ["-n", "2", "-s", "64k", "--compress", "none", "-r", "2M"];
        let sending = start(&mut receiver.sender_through(proxy.address, &args, &source));
        wait_until("it is under way", || proxy.passed() > MIB / 2);
        receiver.running.signal(SIGKILL);
        drop(receiver.running.end_within(PROMPTLY));
        drop(sending);
        sleep(Duration::from_millis(200));
        assert!(!done.exists());
    }
}

#[test]
fn a_command_that_takes_long_to_end_is_ended_by_a_signal() {
    for (signal, over_a_link) in [(SIGTERM, true), (SIGINT, false)] {
        let scratch = scratch_in_memory();
        let (source, all, done) =
            (scratch.path().join("image"), scratch.path().join("all"), scratch.path().join("done"));
        Image::full(MIB).write(&source);
        let command = format!("cat > /dev/null; touch {}; sleep 20; touch {}", all.display(), done.display());
        let (sending, receiving) = if over_a_link {
            let receiver = listen_as(&mut lvpipe(["recv", "-I", "127.0.0.1:0", "--insecure", "--exec", &command]));
            (start(&mut receiver.sender(&[], &source)), receiver.running)
        } else {
            start_pair(&mut send(&[], &source), &mut lvpipe(["recv", "--exec", &command]))
        };
        wait_until("it has all", || all.exists());
        receiving.signal(signal);
        receiving.end_within(PROMPTLY).expect_failure(128 + signal as i32, &[&format!("ended: {signal}")]);
        let sent = sending.end_within(PROMPTLY);
        assert_eq!(sent.status.success(), !over_a_link, "a pipe tells nothing back\n{sent}");
        assert!(!done.exists());
    }
}

#[test]
fn a_signal_ends_whoever_waits_for_the_other_side() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::full(1).write(&source);
    let ended = |running: Running, signal: Signal| {
        running.signal(signal);
        running.end_within(PROMPTLY).expect_failure(128 + signal as i32, &["ended:"]);
    };
    let receiver = listen(INSECURE, &scratch.path().join("copy"));
    ended(receiver.running, SIGINT);

    // It takes the connection, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for security in [INSECURE, ENCRYPTED] {
        let mut sender = send_to(silent.local_addr().expect("bound"), security, &source);
        let key = listen(ENCRYPTED, &scratch.path().join("copy")).key();
        let sending = start(sender.env("LVPIPE_KEY", key));
        let connection = silent.accept().expect("it connects");
        ended(sending, SIGTERM);
        drop(connection);
    }
    assert_eq!(names(scratch.path()), ["image"]);
}

#[test]
fn a_receiver_whose_reader_does_not_read_is_ended_and_so_is_its_sender() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::full(32 * MIB).write(&source);
    for end_the_sender in [true, false] {
        let mut command = lvpipe(["recv", "-I", "127.0.0.1:0", "--insecure", "-m", "8M", "--retry-for", "1", "-"]);
        let mut receiver = listen_as(command.stdout(Stdio::piped()));
        let pipe = receiver.running.stdout();
        let proxy = Proxy::to(receiver.address);
        let args = ["-n", "3", "-s", "64k", "--compress", "none", "-m", "8M"];
        let sending = start(&mut receiver.sender_through(proxy.address, &args, &source));
        wait_until("it is under way", || proxy.passed() > MIB);
        if end_the_sender {
            sending.signal(SIGINT);
            sending.end_within(PROMPTLY).expect_failure(130, &["ended: SIGINT"]);
            let received = receiver.running.end_within(PROMPTLY);
            assert!(!received.status.success(), "{received}");
        } else {
            receiver.running.signal(SIGTERM);
            receiver.running.end_within(PROMPTLY).expect_failure(143, &["ended: SIGTERM"]);
            sending.end_within(PROMPTLY).expect_failure(1, &["receiver failed", "ended: SIGTERM"]);
        }
        drop(pipe);
    }
}

#[test]
fn a_killed_side_is_missed_by_the_other_after_the_time_that_was_given() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(64 * MIB).write(&source);
    for kill_the_sender in [true, false] {
        let receiver = listen(&["--insecure", "--retry-for", "0.5"], &target);
        let proxy = Proxy::to(receiver.address);
        let args = ["-n", "3", "-s", "64k", "--compress", "none", "-r", "4M", "--retry-for", "0.5"];
        let sending = start(&mut receiver.sender_through(proxy.address, &args, &source));
        wait_until("it is under way", || proxy.passed() > MIB / 2);
        if kill_the_sender {
            sending.signal(SIGKILL);
            receiver.running.end_within(PROMPTLY).expect_failure(1, &["the sender is gone", "none has come for"]);
        } else {
            receiver.running.signal(SIGKILL);
            sending.end_within(PROMPTLY).expect_failure(1, &["receiver lost", "tried for 0.5 s"]);
        }
    }
}
