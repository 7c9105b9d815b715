//! What a worker can do: compressing and decompressing a part at the levels that auto moves between, and digesting
//! it. `cargo bench --bench codec`; the figures are bytes of the part a second, on one processor.
//!
//! The part is made to compress about as a file system's data does, some 2:1: words from a vocabulary between runs
//! of noise.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lvpipe::wire::{Decoder, DigestKind, Encoder, PartSize};

/// A part of text-like data and noise, the same in every run.
fn part() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let vocabulary: Vec<Vec<u8>> =
        (0..2048).map(|_| (0..3 + next() % 8).map(|_| b'a' + (next() % 26) as u8).collect()).collect();
    let mut bytes = Vec::new();
    while bytes.len() < PartSize::default().bytes() {
        match next() % 6 {
            0 => bytes.extend((0..24).map(|_| next() as u8)),
            _ => bytes.extend_from_slice(&vocabulary[(next() % 2048) as usize]),
        }
    }
    bytes.truncate(PartSize::default().bytes());
    bytes
}

fn codec(criterion: &mut Criterion) {
    let part = part();
    let mut out = vec![0; part.len()];
    let mut group = criterion.benchmark_group("part of 1 MiB");
    group.throughput(Throughput::Bytes(part.len() as u64));
    for level in [-7, -1, 1, 3, 6, 9] {
        let mut encoder = Encoder::new().expect("memory for a compressor");
        let length = encoder.encode(level, &part, &mut out, part.len()).expect("it compresses");
        println!("level {level}: {:.2}:1", part.len() as f64 / length as f64);
        group.bench_function(BenchmarkId::new("compress", level), |bencher| {
            bencher.iter(|| encoder.encode(level, black_box(&part), &mut out, part.len()));
        });
        let (payload, mut raw) = (out[..length].to_vec(), vec![0; part.len()]);
        let mut decoder = Decoder::new().expect("memory for a decompressor");
        group.bench_function(BenchmarkId::new("decompress", level), |bencher| {
            bencher.iter(|| decoder.decode(black_box(&payload), &mut raw).expect("own encoding"));
        });
    }
    for digest in [DigestKind::Sha256, DigestKind::Blake3] {
        group.bench_function(BenchmarkId::new("digest", digest), |bencher| {
            bencher.iter(|| digest.of(&[black_box(&part)]));
        });
    }
    group.bench_function("crc32c", |bencher| bencher.iter(|| crc32c::crc32c(black_box(&part))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = codec
}
criterion_main!(benches);
