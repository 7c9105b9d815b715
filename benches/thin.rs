//! How long it takes to read the used map of one thin device with 3 million single-chunk mappings.
//!
//! `cargo bench --bench thin` measures the reader alone with criterion, from the page cache. Before that it runs
//! lvpipe's reader and `thin_dump` by turns, five times each, with the page cache dropped before every run where
//! the user may do so (root), and prints medians and their ratio. thin_dump's output goes to /dev/null.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use lvpipe::stop::Stop;
use lvpipe::usedmap::{UsedMap, from_metadata_file};

#[path = "../tests/generated_pool/mod.rs"]
mod generated_pool;

const MAPPINGS: u64 = 3_000_000;
const ROUNDS: usize = 5;

fn main() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = dir.path().join("metadata");
    generated_pool::restore(&[generated_pool::scattered(1, MAPPINGS)], 128, 256, &path);
    Command::new("sync").status().expect("sync");
    by_turns(&path);

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

/// A B A B: both see the same machine.
fn by_turns(path: &Path) {
    let mut times = [Vec::new(), Vec::new()];
    let mut cold = true;
    for _ in 0..ROUNDS {
        cold &= drop_caches();
        times[0].push(timed(|| assert_eq!(map(path).extents().len() as u64, MAPPINGS)));
        cold &= drop_caches();
        times[1].push(timed(|| thin_dump(path)));
    }
    let [ours, theirs] = times.map(median);
    println!(
        "{}: lvpipe {:.3} s, thin_dump {:.3} s, ratio {:.4}",
        if cold { "cold" } else { "cached (dropping the page cache takes root)" },
        ours.as_secs_f64(),
        theirs.as_secs_f64(),
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

fn thin_dump(path: &Path) {
    let status = Command::new("thin_dump").arg(path).stdout(Stdio::null()).status().expect("thin_dump starts");
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
