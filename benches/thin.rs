//! How long it takes to read the used map of one thin device with 3 million single-chunk mappings.
//!
//! `cargo bench --bench thin` measures the reader alone with criterion, from the page cache. Before that it runs
//! lvpipe's reader and `thin_dump` by turns, five times each, with the page cache dropped before every run where
//! the user may do so (root), and prints medians and their ratio. thin_dump's output goes to /dev/null. Then the same
//! with the difference of two such devices, which differ in 1,000 mappings, and `thin_delta`: once with trees that share
//! what a snapshot shares, and once with trees that share nothing.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use lvpipe::stop::Stop;
use lvpipe::usedmap::{Delta, UsedMap, delta_from_metadata_file, from_metadata_file};
use shared_trees::{FULL, Tree};

#[path = "../tests/generated_pool/mod.rs"]
mod generated_pool;
#[path = "../tests/shared_trees/mod.rs"]
mod shared_trees;

const MAPPINGS: u64 = 3_000_000;
const DIFFERENCES: u64 = 1000;
const ROUNDS: usize = 5;

fn main() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    generated_pool::restore(&[generated_pool::scattered(1, MAPPINGS)], 128, 256, &path);
    by_turns(
        "used map",
        || assert_eq!(map(&path).extents().len() as u64, MAPPINGS),
        || tell("thin_dump", &[], &path),
    );
    for (share, what) in [(true, "delta, trees shared"), (false, "delta, nothing shared")] {
        let path = dir.path().join("two");
        shared_trees::write(&trees(), share, 256, &path);
        let ours = || assert_eq!(delta(&path).written.extents().len() as u64, DIFFERENCES);
        by_turns(what, ours, || tell("thin_delta", &["--thin1=1", "--thin2=2"], &path));
    }

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("thin");
    group.throughput(Throughput::Elements(MAPPINGS)).sample_size(20);
    group.bench_function("used map, 3 million mappings, cached", |bench| bench.iter(|| black_box(map(&path))));
    group.finish();
    criterion.final_summary();
}

fn map(path: &Path) -> UsedMap {
    from_metadata_file(path, 1, None, &Stop::new()).expect("whole")
}

/// Two devices of scattered mappings. Leaves are half full and a little more, as random writes leave them.
fn trees() -> [Tree; 2] {
    let leaves = |times: u64| {
        let mapping = |n: u64| match n % (MAPPINGS / DIFFERENCES) {
            0 => (n * 2, n + times * MAPPINGS, times),
            _ => (n * 2, n, 0),
        };
        let all: Vec<_> = (0..MAPPINGS).map(mapping).collect();
        all.chunks(FULL * 2 / 3).map(<[_]>::to_vec).collect()
    };
    [0, 1].map(|times| Tree { leaves: leaves(times), fan_out: FULL * 2 / 3 })
}

fn delta(path: &Path) -> Delta {
    delta_from_metadata_file(path, 1, 2, None, &Stop::new()).expect("whole")
}

/// A B A B: both see the same machine.
fn by_turns(what: &str, ours: impl Fn(), theirs: impl Fn()) {
    Command::new("sync").status().expect("sync");
    let mut times = [Vec::new(), Vec::new()];
    let mut cold = true;
    for _ in 0..ROUNDS {
        cold &= drop_caches();
        times[0].push(timed(&ours));
        cold &= drop_caches();
        times[1].push(timed(&theirs));
    }
    let [ours, theirs] = times.map(median);
    println!(
        "{what}, {}: lvpipe {:.4} s, thin-provisioning-tools {:.3} s, ratio {:.4}",
        if cold { "cold" } else { "cached (dropping the page cache takes root)" },
        ours.as_secs_f64(),
        theirs.as_secs_f64(),
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

fn tell(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success());
}

fn drop_caches() -> bool {
    std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn timed(run: impl FnOnce()) -> Duration {
    let since = Instant::now();
    run();
    since.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
