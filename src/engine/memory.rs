//! The memory budget, spent as buffers of one part each.
//!
//! What `-m` allows is divided into what every worker needs for itself (a scratch buffer and the compressor's
//! state) and buffers in flight. A buffer is mapped when it is first needed and used again last in, first out, so
//! that a run that needs few of them touches few.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use memmap2::MmapMut;

use crate::byte_size::ByteSize;
use crate::error::{Error, Result};
use crate::progress::Figures;
use crate::stop::{Stop, Stopped};
use crate::wire::PartSize;
use crate::wire::codec::LEVELS;

/// What zstd keeps for one thread up to a level, in bytes: sizeof of its context after compressing a part of 64 MiB,
/// rounded up.
const COMPRESSOR_STATE: [(i32, u64); 8] = [
    (2, 1 << 20),
    (3, 3 << 19),
    (6, 13 << 18),
    (8, 6 << 20),
    (9, 11 << 20),
    (11, 21 << 20),
    (12, 42 << 20),
    (19, 84 << 20),
];
/// What decompressing needs, likewise.
const DECOMPRESSOR_STATE: u64 = 256 << 10;
/// Fewer buffers in flight than this would make the stages wait for each other.
const LEAST_BUFFERS: u64 = 4;

/// What the workers do, as far as their memory is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Compress at up to this level.
    Compress(i32),
    /// Compress at what level the memory allows.
    CompressAdaptively,
    /// Decompress.
    Decompress,
}

/// How many workers and how many buffers a budget gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workshop {
    /// Threads that compress or decompress.
    pub workers: usize,
    /// Buffers in flight, each of the part size.
    pub buffers: usize,
    /// The part size.
    pub part_size: PartSize,
    /// The highest level whose state fits for all workers.
    pub highest_level: i32,
}

impl Work {
    /// What it takes of memory for each worker, at the least.
    fn least_state(self) -> u64 {
        match self {
            Work::Compress(level) => state_at(level),
            Work::CompressAdaptively => COMPRESSOR_STATE[0].1,
            Work::Decompress => DECOMPRESSOR_STATE,
        }
    }
}

impl Workshop {
    /// The bytes without which one worker and a few buffers do not fit.
    pub fn least_memory(part_size: PartSize, work: Work) -> u64 {
        let part = part_size.bytes() as u64;
        part + work.least_state() + LEAST_BUFFERS * part
    }

    /// Divides `memory` bytes: workers get at most half, the rest is for parts in flight. With many processors and
    /// little memory the highest levels are given up first, then workers.
    ///
    /// # Errors
    /// A usage error, when not even one worker and a few buffers fit.
    pub fn plan(memory: u64, threads: Option<usize>, part_size: PartSize, work: Work) -> Result<Self> {
        let part = part_size.bytes() as u64;
        let least_state = work.least_state();
        let least = Self::least_memory(part_size, work);
        if memory < least {
            return Err(Error::usage(
                "cannot use so little memory",
                format_args!("-m {memory}"),
                format_args!("parts of {part_size} need at least {least} bytes"),
            )
            .way_out(format!("-m {}M; a sender can make smaller parts with -s", least.div_ceil(1 << 20))));
        }
        let wanted = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
        let for_workers = (memory / 2).min(memory - LEAST_BUFFERS * part);
        let affordable = (for_workers / (part + least_state)).max(1) as usize;
        let workers = wanted.clamp(1, affordable);
        let (highest_level, state) = match work {
            Work::Compress(level) => (level, least_state),
            Work::Decompress => (*LEVELS.end(), least_state),
            Work::CompressAdaptively => {
                let each = (for_workers / workers as u64).saturating_sub(part);
                let fitting = COMPRESSOR_STATE.into_iter().rev().find(|(_, state)| *state <= each);
                fitting.unwrap_or(COMPRESSOR_STATE[0])
            }
        };
        let buffers = (memory - workers as u64 * (part + state)) / part;
        let buffers = usize::try_from(buffers).unwrap_or(usize::MAX).min(1 << 16);
        Ok(Workshop { workers, buffers, part_size, highest_level })
    }

    /// The workers. A panic in one of them ends the run.
    pub(super) fn hire(&self, stop: &Stop) -> Result<rayon::ThreadPool> {
        let stop = stop.clone();
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.workers)
            .thread_name(|n| format!("worker-{n}"))
            .panic_handler(move |_| stop.fail(super::crew::panicked("a worker")))
            .build()
            .map_err(|e| Error::io("cannot start workers", self.workers, &std::io::Error::other(e)))
    }
}

/// The compressor's state at a level.
fn state_at(level: i32) -> u64 {
    let row = COMPRESSOR_STATE.into_iter().find(|(highest, _)| level <= *highest);
    row.unwrap_or(COMPRESSOR_STATE[COMPRESSOR_STATE.len() - 1]).1
}

/// Buffers of one size, a bounded number of them.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    size: usize,
    count: usize,
    free: Mutex<Vec<MmapMut>>,
    permits: (Sender<()>, Receiver<()>),
    figures: Option<Arc<Figures>>,
}

impl Pool {
    /// `count` buffers of the part size. With `figures`, how many are in use is shown.
    pub(super) fn new(count: usize, part_size: PartSize, figures: Option<Arc<Figures>>) -> Self {
        let permits = bounded(count);
        (0..count).for_each(|_| permits.0.send(()).expect("the channel holds `count` permits"));
        let shared = Shared { size: part_size.bytes(), count, free: Mutex::default(), permits, figures };
        shared.show();
        Pool { shared: Arc::new(shared) }
    }

    /// Takes a buffer, waiting for one to come back.
    pub(super) fn take(&self, stop: &Stop) -> Result<Buffer, Stopped> {
        // The pool holds a sender, so a permit always comes.
        stop.recv(&self.shared.permits.1)?.ok_or(Stopped)?;
        let free = self.shared.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = match free.map_or_else(|| MmapMut::map_anon(self.shared.size), Ok) {
            Ok(memory) => memory,
            Err(e) => {
                stop.fail(
                    Error::io("cannot get memory", ByteSize(self.shared.size as u64), &e).way_out("lower -m"),
                );
                return Err(Stopped);
            }
        };
        self.shared.show();
        Ok(Buffer { memory: Some(memory), pool: self.shared.clone() })
    }
}

impl Shared {
    fn show(&self) {
        if let Some(figures) = &self.figures {
            let used = self.count - self.permits.1.len().min(self.count);
            figures.set_buffer(used as u64, self.count as u64);
        }
    }
}

/// A page-aligned buffer of one part; goes back to its pool when dropped.
pub(super) struct Buffer {
    // `None` only while being dropped.
    memory: Option<MmapMut>,
    pool: Arc<Shared>,
}

impl Buffer {
    /// Exchanges the contents with another buffer's. Each stays its own pool's: what one pool lends must come back
    /// to it, however long the contents travel on.
    pub(super) fn swap_contents(&mut self, other: &mut Buffer) {
        std::mem::swap(&mut self.memory, &mut other.memory);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = self.memory.take();
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).extend(memory);
        // Never full: this buffer's own permit was taken out of it.
        let _ = self.pool.permits.0.try_send(());
        self.pool.show();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_budget_is_never_overspent() {
        for memory in [6, 14, 32, 256, 1024, 100_000] {
            for part in [64 << 10, MIB, 8 * MIB, 64 * MIB] {
                for work in [Work::CompressAdaptively, Work::Compress(19), Work::Compress(-5), Work::Decompress] {
                    let part_size = PartSize::new(part).expect("a power of two");
                    let Ok(plan) = Workshop::plan(memory * MIB, Some(64), part_size, work) else { continue };
                    let state = match work {
                        Work::Decompress => DECOMPRESSOR_STATE,
                        _ => state_at(plan.highest_level),
                    };
                    let spent = plan.workers as u64 * (part + state) + plan.buffers as u64 * part;
                    assert!(spent <= memory * MIB, "{memory} MiB, parts of {part}, {work:?}: {plan:?}");
                    assert!(plan.workers >= 1 && plan.buffers as u64 >= LEAST_BUFFERS);
                }
            }
        }
    }

    #[test]
    fn many_processors_give_up_the_highest_levels_before_they_stand_idle() {
        let plan = |threads| {
            Workshop::plan(256 * MIB, Some(threads), PartSize::default(), Work::CompressAdaptively).expect("enough")
        };
        assert!(plan(2).highest_level >= 9);
        assert_eq!((plan(64).workers, plan(64).highest_level), (64, 2));
    }

    #[test]
    fn too_little_memory_says_how_much_would_do() {
        let plan = Workshop::plan(MIB, None, PartSize::default(), Work::CompressAdaptively);
        let error = plan.expect_err("1 MiB is too little");
        assert!(error.to_string().contains("-m 6M"), "{error}");
    }

    /// The table holds for this version of zstd: a newer one that takes more must be seen here.
    #[test]
    fn compressors_take_no_more_than_the_table_says() {
        let raw: Vec<u8> = (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x3f).collect();
        let mut out = vec![0; raw.len()];
        for level in [-7, 1, 2, 3, 6, 8, 9, 11, 12, 19] {
            let mut zstd = zstd::bulk::Compressor::new(level).expect("memory");
            zstd.compress_to_buffer(&raw, &mut out[..]).expect("it compresses");
            let taken = zstd.context_mut().sizeof() as u64;
            assert!(taken <= state_at(level), "level {level} takes {taken}");
        }
    }

    #[test]
    fn swapping_contents_does_not_swap_owners() {
        let stop = Stop::new();
        let (flight, scratch) = (Pool::new(1, PartSize::default(), None), Pool::new(1, PartSize::default(), None));
        let (mut payload, mut out) = (flight.take(&stop).expect("one"), scratch.take(&stop).expect("one"));
        out[0] = 7;
        payload.swap_contents(&mut out);
        drop(out);
        assert_eq!(payload[0], 7);
        assert_eq!((flight.shared.permits.1.len(), scratch.shared.permits.1.len()), (0, 1));
    }

    #[test]
    fn a_pool_gives_no_more_buffers_than_it_has() {
        let (pool, stop) = (Pool::new(2, PartSize::default(), None), Stop::new());
        let first = pool.take(&stop).expect("one of two");
        let second = pool.take(&stop).expect("two of two");
        assert!(pool.shared.permits.1.is_empty());
        drop(first);
        let third = pool.take(&stop).expect("the first again");
        assert_eq!(third.as_ptr() as usize % 4096, 0);
        drop((second, third));
        assert_eq!(pool.shared.free.lock().expect("no panic").len(), 2);
    }
}
