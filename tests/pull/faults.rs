//! Connections that break, lie, stall and crawl, and servers that die: what is served arrives all the same.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::SIGKILL;

use crate::image::{Image, assert_not_there, scratch_in_memory};
use crate::process::{Ran, run, start, wait_until};
use crate::proxy::{Fault, Proxy};
use crate::server::{figure, serve, serve_at};

const MIB: u64 = 1 << 20;

/// Pulls a full image through a proxy with this plan, into a file and a pipe.
#[track_caller]
fn through(
    serving: &[&str],
    args: &[&str],
    target_is_pipe: bool,
    plan: impl Fn(usize) -> Fault + Send + Sync + 'static,
) -> (Proxy, Ran) {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(48 * MIB);
    image.write(&source);
    let server = serve(&[&["-s", "64k", "--compress", "none"], serving].concat(), &source);
    let proxy = Proxy::pulling(server.address, plan);
    let target = if target_is_pipe { "-".as_ref() } else { copy.as_path() };
    let args = [&["--progress", "json"], args].concat();
    let ran = run(&mut server.pull_through(proxy.address, &args, target)).expect_ok();
    if target_is_pipe {
        image.assert_bytes(&ran.stdout);
    } else {
        image.assert_is(&copy);
    }
    (proxy, ran)
}

/// Pseudo-random, the same in every run: up to half a megabyte, behind the first answers.
fn place(n: usize) -> u64 {
    20_000 + ((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 45)
}

/// The first connection asks what there is, and is not tried again.
fn after_the_first(fault: impl Fn(usize) -> Fault) -> impl Fn(usize) -> Fault {
    move |n| if n == 0 { Fault::None } else { fault(n) }
}

#[test]
fn connections_that_are_cut_at_60_places_lose_nothing() {
    for (serving, pipe) in [(&["--insecure"][..], false), (&[], true)] {
        let plan = after_the_first(|n| if n < 60 { Fault::CutAfter(place(n)) } else { Fault::None });
        let (proxy, _) = through(serving, &["-n", "8"], pipe, plan);
        assert!(proxy.connections() > 60, "{} connections", proxy.connections());
    }
}

#[test]
fn bits_that_turn_over_are_found_and_asked_for_again() {
    let plan = after_the_first(|n| if n < 9 { Fault::Flip { bits: 1, every: 3_000_017 } } else { Fault::None });
    let (proxy, ran) = through(&["--insecure"], &["-n", "4"], false, plan);
    assert!(proxy.flipped() > 0, "nothing was damaged");
    assert!(figure(&ran, "again") > 0 || proxy.connections() > 5, "{ran}");
    // Over TLS a record that is damaged ends its connection.
    let plan = after_the_first(|n| if n < 9 { Fault::Flip { bits: 1, every: 3_000_017 } } else { Fault::None });
    let (proxy, _) = through(&[], &["-n", "4"], true, plan);
    assert!(proxy.flipped() > 0 && proxy.connections() > 5, "{} connections", proxy.connections());
}

#[test]
fn a_connection_that_goes_silent_is_given_up() {
    for pipe in [false, true] {
        let plan = after_the_first(|n| if n < 4 { Fault::SilentAfter(place(n)) } else { Fault::None });
        let began = Instant::now();
        let (_, ran) = through(&["--insecure"], &["-n", "4", "-W", "1"], pipe, plan);
        assert!(ran.stderr.contains("the server was silent for 1 s"), "{ran}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[test]
fn a_connection_that_crawls_does_not_hold_up_the_others() {
    let plan = after_the_first(|n| if n == 1 { Fault::Crawl(1_000_000) } else { Fault::None });
    let (_, ran) = through(&["--insecure"], &["-n", "8"], false, plan);
    assert!(ran.status.success());
}

#[test]
fn a_server_that_is_killed_and_started_again_is_gone_on_with() {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    let image = Image::full(64 * MIB);
    image.write(&source);
    let args = ["--insecure", "-s", "64k", "--compress", "none"];
    let server = serve(&args, &source);
    let listen = server.address.to_string();
    let proxy = Proxy::pulling(server.address, |_| Fault::Crawl(6 << 20));
    let pulling = start(&mut server.pull_through(proxy.address, &["-n", "4", "--retry-for", "20"], &copy));
    wait_until("a third has come", || proxy.passed() > 20 * MIB);
    server.running.signal(SIGKILL);
    let _ = server.running.end();
    wait_until("the puller has noticed", || pulling.said().contains("trying again"));
    let _again = serve_at(&listen, &args, &source);
    pulling.end().expect_ok();
    image.assert_is(&copy);
}

#[test]
fn a_server_that_stays_away_is_waited_for_so_long() {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(64 * MIB).write(&source);
    let server = serve(&["--insecure", "-s", "64k", "--compress", "none"], &source);
    let proxy = Proxy::pulling(server.address, |_| Fault::Crawl(6 << 20));
    let pulling = start(&mut server.pull_through(proxy.address, &["-n", "4", "--retry-for", "1"], &copy));
    wait_until("a part has come", || proxy.passed() > 5 * MIB);
    drop(proxy);
    pulling.end().expect_failure(1, &["cannot connect", "Connection refused", "go on with --resume"]);
    assert_not_there(scratch.path(), &["image"]);
}

#[test]
fn a_volume_that_changes_in_the_middle_is_refused() {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(64 * MIB).write(&source);
    let server = serve(&["--insecure", "-s", "64k", "--compress", "none"], &source);
    let proxy = Proxy::pulling(server.address, |_| Fault::Crawl(6 << 20));
    let pulling = start(&mut server.pull_through(proxy.address, &["-n", "4", "--retry-for", "2"], &copy));
    wait_until("a part has come", || proxy.passed() > 5 * MIB);
    let file = OpenOptions::new().write(true).open(&source).expect("the source");
    file.write_all_at(b"changed", 3).expect("written");
    file.sync_all().expect("synced");
    let ran = pulling.end();
    assert!(!ran.status.success(), "{ran}");
    assert_not_there(scratch.path(), &["image"]);
}
