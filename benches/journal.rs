//! What the journal costs: `cargo bench --bench journal`, in the directory whose disk is to be measured, or with
//! `LVPIPE_BENCH_DIR` saying where.
//!
//! A new file of 2 GiB is written in parts of 1 MiB by four threads and finished, in turns with a journal and without,
//! ten times each; the figure is the ratio of the medians. Then a journal of ten million records is read, and digests
//! are looked up in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lvpipe::journal::{About, Journal};
use lvpipe::stop::Stop;
use lvpipe::volume::{Expected, NullTarget, find_journal, open_target};
use lvpipe::wire::{Digest, DigestKind, Lineage, PartSize};
use memmap2::MmapMut;

const PART: u64 = 1 << 20;
const SIZE: u64 = 2 << 30;
const RUNS: usize = 10;
const RECORDS: u64 = 10_000_000;

fn about(target: &str, volume_size: Option<u64>) -> About {
    About {
        id: [1; 16],
        volume_size,
        part_size: PartSize::default(),
        digest: DigestKind::Sha256,
        lineage: Lineage::default(),
        target: target.into(),
    }
}

/// Writes a file; how long until it is finished.
fn write_file(path: &Path, with_journal: bool) -> Duration {
    let stop = Stop::new();
    let since = Instant::now();
    let open = open_target(path.as_os_str(), Expected::default(), &stop).expect("a new file");
    let place = open.journal.expect("a file has a place");
    let about = about(place.identity(), Some(SIZE));
    let begin = || Journal::begin(&place, &about, open.target.clone(), &stop).expect("begun");
    let journal = with_journal.then(begin);
    open.target.begin(Some(SIZE)).expect("begun");
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut part = MmapMut::map_anon(PART as usize).expect("memory");
                part.fill(1);
                loop {
                    let offset = next.fetch_add(PART, Ordering::Relaxed);
                    if offset >= SIZE {
                        return;
                    }
                    open.target.write(offset, &part).expect("written");
                    if let Some(journal) = &journal {
                        journal.written(offset, PART, Some(Digest::default()));
                    }
                }
            });
        }
    });
    open.target.finish(SIZE).expect("finished");
    journal.map_or(Ok(()), Journal::finish).expect("removed");
    let took = since.elapsed();
    fs::remove_file(path).expect("removed");
    took
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn cost(directory: &Path) {
    let path = directory.join("lvpipe-bench-journal");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    write_file(&path, false); // not counted
    for _ in 0..RUNS {
        without.push(write_file(&path, false));
        with.push(write_file(&path, true));
    }
    let spread = |times: &[Duration]| {
        let (least, most) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
        format!("{:.2} to {:.2} s", least.as_secs_f64(), most.as_secs_f64())
    };
    println!("2 GiB without a journal: median {:.2} s, {}", median(without.clone()), spread(&without));
    println!("2 GiB with a journal:    median {:.2} s, {}", median(with.clone()), spread(&with));
    println!("ratio: {:.3}", median(with) / median(without));
}

fn large(directory: &Path) {
    let path = directory.join("lvpipe-bench-journal");
    fs::write(&path, "").expect("written");
    let place = find_journal(path.as_os_str()).expect("fine").expect("a file");
    let stop = Stop::new();
    let about = about(place.identity(), None);
    let since = Instant::now();
    let journal = Journal::begin(&place, &about, Arc::new(NullTarget::default()), &stop).expect("begun");
    for number in 0..RECORDS {
        // As several links bring them: a little out of order.
        journal.written((number ^ 0x2a) * PART, PART, Some(Digest([number as u8; 32])));
    }
    drop(journal);
    println!("{RECORDS} records written: {:.2} s", since.elapsed().as_secs_f64());
    let since = Instant::now();
    let (_, held) = Journal::read(&place, &stop).expect("read").expect("there");
    println!("{RECORDS} records read: {:.2} s, {} extents", since.elapsed().as_secs_f64(), held.extents().len());
    let since = Instant::now();
    let lookups = 1000;
    for number in 0..lookups {
        assert!(held.digest_of(number * 7919 % RECORDS * PART).is_some());
    }
    println!("a digest looked up: {:.0} µs", since.elapsed().as_secs_f64() * 1e6 / lookups as f64);
    drop(held);
    fs::remove_file(place.path()).and_then(|()| fs::remove_file(path)).expect("removed");
}

fn main() {
    let directory = std::env::var_os("LVPIPE_BENCH_DIR").unwrap_or_else(|| ".".into());
    cost(directory.as_ref());
    large(directory.as_ref());
}
