//! Connections that break, lie, die and crawl: what was sent arrives, and the run ends.

use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::image::{Image, names, scratch_in_memory};
use crate::party::{ENCRYPTED, INSECURE, expect_ok, figure, listen, listen_as, send_to, transfer};
use crate::process::{Ran, lvpipe, start, wait_until};
use crate::proxy::{Fault, Proxy};

const MIB: u64 = 1 << 20;

/// Sends an image through a proxy with this plan; what both sides said.
#[track_caller]
fn through(
    size: u64,
    security: &[&str],
    args: &[&str],
    plan: impl Fn(usize) -> Fault + Send + Sync + 'static,
) -> (Proxy, Ran, Ran) {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(size);
    image.write(&source);
    let stall = args.iter().skip_while(|arg| **arg != "-W").take(2);
    let both: Vec<_> = ["--progress", "json"].iter().chain(stall).copied().collect();
    let receiver = listen(&[security, &both].concat(), &target);
    let proxy = Proxy::start(receiver.address, plan);
    let all = [&["-s", "64k", "--compress", "none", "--progress", "json"], args].concat();
    let mut sender = receiver.sender_through(proxy.address, &all, &source);
    let (sent, received) = expect_ok(transfer(receiver, &mut sender));
    image.assert_is(&target);
    (proxy, sent, received)
}

/// Pseudo-random, the same in every run: up to half a megabyte.
fn place(n: usize) -> u64 {
    (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 45
}

#[test]
fn links_that_are_cut_at_200_places_lose_nothing() {
    let plan = |n| if n < 200 { Fault::CutAfter(place(n)) } else { Fault::None };
    let (proxy, _, received) = through(64 * MIB, INSECURE, &["-n", "12"], plan);
    assert!(proxy.connections() > 200, "{} connections", proxy.connections());
    // What was on its way when a link broke went out again, some of it though it was written: the answer was lost.
    let twice = figure(&received, "twice");
    assert!((1..1000).contains(&twice), "{twice} of 1024 parts came twice");
}

#[test]
fn encrypted_links_that_are_cut_lose_nothing() {
    let plan = |n| if n < 60 { Fault::CutAfter(place(n)) } else { Fault::None };
    let (proxy, ..) = through(16 * MIB, ENCRYPTED, &["-n", "6"], plan);
    assert!(proxy.connections() > 60, "{} connections", proxy.connections());
}

#[test]
fn a_thousand_bits_that_turn_over_are_found_and_their_parts_sent_again() {
    // A quarter of the parts is hit: the same one ten times over in one of a thousand runs.
    let plan = |_| Fault::Flip { bits: 4, every: 300_007 };
    let (proxy, sent, received) = through(80 * MIB, INSECURE, &["-n", "6"], plan);
    assert!(proxy.flipped() >= 1000, "{} bits", proxy.flipped());
    let again = figure(&received, "again");
    assert!((150..400).contains(&again), "{again} parts for {} places", proxy.flipped() / 4);
    assert!(figure(&sent, "again") <= again, "some of the answers may have been lost with their links");
}

#[test]
fn bits_that_turn_over_in_headers_cost_a_link_and_nothing_else() {
    // Frames of little more than a header: holes between parts that compress to nothing.
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let data: Vec<_> = (0..2000).map(|n| n * 128 * 1024..n * 128 * 1024 + 5).collect();
    let image = Image::new(2000 * 128 * 1024, &data);
    image.write(&source);
    let receiver = listen(INSECURE, &target);
    let proxy = Proxy::start(receiver.address, |n| match n {
        0..200 => Fault::Flip { bits: 1, every: 3_001 },
        _ => Fault::None,
    });
    let mut sender = receiver.sender_through(proxy.address, &["-n", "6", "-s", "64k"], &source);
    expect_ok(transfer(receiver, &mut sender));
    assert!(proxy.flipped() > 20 && proxy.connections() > 20, "{} bits", proxy.flipped());
    image.assert_is(&target);
}

#[test]
fn a_thousand_bits_that_turn_over_on_encrypted_links_are_found() {
    // Each ends its link, which has brought a part before.
    let plan = |n| if n < 1000 { Fault::Flip { bits: 1, every: 80_000 } } else { Fault::None };
    let (proxy, ..) = through(96 * MIB, ENCRYPTED, &["-n", "24"], plan);
    assert!(proxy.flipped() >= 1000, "{} bits", proxy.flipped());
}

#[test]
fn half_of_the_links_may_go_silent_or_be_refused() {
    let silent = |n: usize| if n % 2 == 1 { Fault::SilentAfter(300_000) } else { Fault::None };
    through(16 * MIB, INSECURE, &["-n", "6", "-W", "1"], silent);
    through(16 * MIB, ENCRYPTED, &["-n", "6", "-W", "1"], silent);
    let refused = |n: usize| if n % 2 == 1 { Fault::Refused } else { Fault::None };
    through(4 * MIB, INSECURE, &["-n", "6"], refused);
}

#[test]
fn one_link_a_hundred_times_slower_than_the_others_does_not_stop_a_pipe() {
    let image = Image::full(24 * MIB);
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    image.write(&source);
    let mut receiver = lvpipe(["recv", "-I", "127.0.0.1:0", "--insecure", "-m", "16M", "-"]);
    let mut receiver = listen_as(receiver.stdout(Stdio::piped()));
    let mut pipe = receiver.running.stdout();
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    });
    let plan = |n| if n == 0 { Fault::Crawl(300_000) } else { Fault::Crawl(30_000_000) };
    let proxy = Proxy::start(receiver.address, plan);
    let args = ["-n", "6", "-s", "64k", "--compress", "none", "-m", "16M"];
    let mut sender = receiver.sender_through(proxy.address, &args, &source);
    let (sent, received) = expect_ok(transfer(receiver, &mut sender));
    image.assert_bytes(&reading.join().expect("no panic").expect("its output"));
    for ran in [sent, received] {
        assert!(ran.peak_memory < (16 + 64) * MIB, "{} MiB:\n{ran}", ran.peak_memory / MIB);
    }
}

#[test]
fn a_network_that_is_gone_for_a_while_is_waited_for() {
    for security in [INSECURE, ENCRYPTED] {
        let scratch = scratch_in_memory();
        let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
        let image = Image::full(8 * MIB);
        image.write(&source);
        let receiver = listen(security, &target);
        let proxy = Proxy::to(receiver.address);
        let args = ["-n", "4", "-s", "64k", "--compress", "none", "-r", "16M"];
        let sending = start(&mut receiver.sender_through(proxy.address, &args, &source));
        wait_until("some of it is under way", || proxy.passed() > 2 * MIB);
        proxy.down();
        wait_until("both have seen it", || {
            sending.said().contains("no link is left") && receiver.running.said().contains("0 left")
        });
        proxy.up();
        expect_ok((sending.end(), receiver.running.end()));
        image.assert_is(&target);
    }
}

#[test]
fn a_network_that_stays_away_ends_both_sides_and_what_has_arrived_is_gone_on_with() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(8 * MIB);
    image.write(&source);
    let receiver = listen(&["--insecure", "--retry-for", "0.5"], &target);
    let proxy = Proxy::to(receiver.address);
    let args = ["-n", "4", "-s", "64k", "--compress", "none", "-r", "16M", "--retry-for", "0.5"];
    let sending = start(&mut receiver.sender_through(proxy.address, &args, &source));
    wait_until("some of it is under way", || proxy.passed() > 4 * MIB);
    proxy.down();
    sending.end().expect_failure(1, &["receiver lost", "tried for 0.5 s", "--resume"]);
    receiver.running.end().expect_failure(1, &["the sender is gone", "go on with --resume"]);
    assert_eq!(names(scratch.path()), ["copy.lvpipe-journal", "copy.partial", "image"]);

    let receiver = listen(&["--insecure", "--resume"], &target);
    let args = ["-n", "4", "-s", "64k", "--compress", "none", "--resume", "--progress", "json"];
    let mut sender = receiver.sender(&[], &source);
    let (sent, _) = expect_ok(transfer(receiver, sender.args(args)));
    let wire = figure(&sent, "wire_bytes");
    assert!(wire < 5 * MIB, "{wire} bytes were sent of the 4 MiB that were missing");
    image.assert_is(&target);
    assert_eq!(names(scratch.path()), ["copy", "image"]);
}

#[test]
fn where_nobody_listens_the_sender_says_so_soon() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let begun = Instant::now();
    start(&mut send_to(port, &["--insecure"], "/dev/null".as_ref()));
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::full(1).write(&source);
    let ran = start(&mut send_to(port, &["--insecure"], &source)).end();
    ran.expect_failure(1, &["cannot connect", "refused", "start the receiver there first"]);
    assert!(begun.elapsed() < Duration::from_secs(8));
}
