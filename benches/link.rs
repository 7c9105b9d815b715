//! What a link carries over loopback, plain and encrypted: frames of a header and a part, written as the engine does
//! and read into a buffer of a part's size. `cargo bench --bench link`; the figures are bytes a second.
//!
//! Sender, receiver and the kernel share the processors, so that encryption at one end and decryption at the other
//! both count, as they would not on two hosts.

use std::io::{IoSlice, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::bounded;
use lvpipe::link::dial::Dialer;
use lvpipe::link::key::Key;
use lvpipe::link::listen::Listener;
use lvpipe::link::{Link, Security};
use lvpipe::stop::Stop;
use lvpipe::wire::{DigestKind, Lineage, PartSize, Prelude};

const HEADER: usize = 84;
const PART: usize = 1 << 20;

/// Both ends of this many links, on this host.
fn links(security: &Security, count: u16) -> Vec<(Link, Link)> {
    let listener = Listener::bind(&"127.0.0.1:0".parse().expect("a place")).expect("loopback");
    let address = listener.local_addresses()[0].to_string().parse().expect("an address");
    let dialer =
        Dialer::new(vec![address], Vec::new(), Duration::from_secs(10), security.clone()).expect("an address");
    let (closer, stop, (to, arrived)) = (listener.closer(), Stop::new(), bounded(1));
    thread::scope(|scope| {
        scope.spawn(|| listener.serve(security, &to, &|message| eprintln!("{message}"), &stop));
        let joined = (0..count).map(|number| {
            let mut near = dialer.dial(number, &stop).expect("it listens");
            near.writer.write_all(&prelude(number, count).encode()).expect("it is read");
            (near, arrived.recv().expect("it is let in").0)
        });
        let joined = joined.collect();
        closer.close();
        joined
    })
}

fn prelude(link: u16, links: u16) -> Prelude {
    Prelude {
        transfer: [7; 16],
        link,
        links,
        part_size: PartSize::default(),
        volume_size: None,
        used: None,
        digest: DigestKind::Sha256,
        answers: true,
        resumes: false,
        lineage: Lineage::default(),
    }
}

/// Sends `count` parts over each link at once; how long it took until all were read.
fn carry(links: &mut [(Link, Link)], count: u64) -> Duration {
    let started = Instant::now();
    thread::scope(|scope| {
        for (near, far) in links {
            scope.spawn(move || {
                let (header, part) = ([1; HEADER], vec![2; PART]);
                for _ in 0..count {
                    let mut slices = [IoSlice::new(&header), IoSlice::new(&part)];
                    let mut left = &mut slices[..];
                    while !left.is_empty() {
                        let length = near.writer.write_vectored(left).expect("it is read");
                        IoSlice::advance_slices(&mut left, length);
                    }
                }
                near.writer.flush().expect("it is read");
            });
            scope.spawn(move || {
                let (mut header, mut part) = ([0; HEADER], vec![0; PART]);
                for _ in 0..count {
                    far.reader.read_exact(&mut header).expect("it is written");
                    far.reader.read_exact(&mut part).expect("it is written");
                }
            });
        }
    });
    started.elapsed()
}

fn link(criterion: &mut Criterion) {
    let key = Security::Key(Key::generate().expect("random numbers"));
    for count in [1, 4] {
        let mut group = criterion.benchmark_group(format!("{count} over loopback"));
        group.throughput(Throughput::Bytes(u64::from(count) * (PART + HEADER) as u64)).sample_size(20);
        for (name, security) in [("plain", &Security::Insecure), ("encrypted", &key)] {
            let mut links = links(security, count);
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|parts| carry(&mut links, parts));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, link);
criterion_main!(benches);
