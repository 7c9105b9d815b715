//! -r and -m are kept.

use std::fs::File;
use std::process::Stdio;
use std::time::Instant;

use crate::image::{Image, scratch_in_memory, scratch_on_disk};
use crate::process::{Running, lvpipe, recv, send, start, start_pair, wait_until};

const MIB: u64 = 1 << 20;

#[test]
fn the_rate_is_not_exceeded_and_is_used_up() {
    let scratch = scratch_in_memory();
    let image = scratch.path().join("image");
    Image::full(4 * MIB).write(&image);
    let began = Instant::now();
    let said = start(send(&["-r", "2M", "--compress", "none", "--progress", "json"], &image).stdout(Stdio::null()))
        .end()
        .expect_ok()
        .stderr;
    let took = began.elapsed().as_secs_f64();
    let last: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    let wire = last["wire_bytes"].as_u64().expect("a number");
    assert!(wire > 4 * MIB, "{last}");
    let rate = wire as f64 / took / (2.0 * MIB as f64);
    assert!(rate < 1.1, "{rate:.2} of the rate, in {took:.2} s");
    // A busy machine may lose time, but not as much as a limit that is wrong by a factor.
    assert!(rate > 0.6, "{rate:.2} of the rate, in {took:.2} s");
}

/// More data than -m and its allowance together, on both sides, in the order of a file and of a pipe.
#[test]
fn memory_stays_within_the_budget_and_64_mib() {
    let scratch = scratch_on_disk();
    let (image, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(200 * MIB).write(&image);
    let budget = ["-m", "32M", "-q"];
    let most = (32 + 64) * MIB;
    let mut targets = [recv(&budget, &copy), lvpipe(["recv", "-m", "32M", "-q", "-"])];
    for target in &mut targets {
        let (sending, receiving) = start_pair(&mut send(&budget, &image), target.stdout(Stdio::null()));
        for ran in [sending.end().expect_ok(), receiving.end().expect_ok()] {
            assert!(ran.peak_memory < most, "{} MiB:\n{ran}", ran.peak_memory / MIB);
            // It is the process's own that was measured.
            assert!(ran.peak_memory > 4 * MIB, "{} bytes:\n{ran}", ran.peak_memory);
        }
    }
}

/// Waits for a JSON line that says so.
fn wait_until_all_buffers_are_in_use(running: &Running) {
    wait_until("all buffers are in use", || {
        let said = running.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.into_iter().any(|line| line["buffer_total"] != 0 && line["buffer_used"] == line["buffer_total"])
    });
}

/// Nobody reads what they write, until they have filled all that they may.
#[test]
fn memory_stays_within_the_budget_when_all_of_it_is_used() {
    let scratch = scratch_on_disk();
    let (image, stream) = (scratch.path().join("image"), scratch.path().join("stream"));
    Image::full(128 * MIB).write(&image);
    let saved = File::create(&stream).expect("a file");
    start(send(&["--compress", "none"], &image).stdout(saved)).end().expect_ok();
    let args = ["-m", "64M", "--progress", "json"];
    let mut receiver = lvpipe(["recv"].iter().chain(&args).chain(&["-"]));
    receiver.stdin(File::open(&stream).expect("the stream"));
    for command in [&mut send(&[&args[..], &["--compress", "none"]].concat(), &image), &mut receiver] {
        let mut running = start(command.stdout(Stdio::piped()));
        let mut pipe = running.stdout();
        wait_until_all_buffers_are_in_use(&running);
        std::io::copy(&mut pipe, &mut std::io::sink()).expect("its output");
        let ran = running.end().expect_ok();
        assert!(ran.peak_memory < (64 + 64) * MIB, "{} MiB:\n{ran}", ran.peak_memory / MIB);
        assert!(ran.peak_memory > 32 * MIB, "the budget is not used: {} bytes:\n{ran}", ran.peak_memory);
    }
}

#[test]
fn memory_does_not_grow_with_large_parts_or_levels() {
    let scratch = scratch_on_disk();
    let image = scratch.path().join("image");
    Image::full(64 * MIB).write(&image);
    for (args, budget) in [(&["-m", "128M", "-s", "16M"][..], 128), (&["-m", "32M", "-s", "64k", "-j", "64"], 32)] {
        let ran = start(send(args, &image).stdout(Stdio::null())).end().expect_ok();
        assert!(ran.peak_memory < (budget + 64) * MIB, "{} MiB:\n{ran}", ran.peak_memory / MIB);
    }
}
