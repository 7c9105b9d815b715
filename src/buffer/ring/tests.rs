use super::*;
use crate::buffer::log::Log;
use crate::buffer::memory::Place;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn ring(block: u64, blocks: u64, marks: Watermarks, drains: usize) -> (Arc<Ring>, Filler, Vec<Drain>) {
    let memory = Memory::new(&Place::Anonymous, block * blocks, &Log::new("mbuffer")).expect("a small mapping");
    Ring::new(memory, Geometry { block, blocks }, marks, drains)
}

/// The stream all tests use: byte `n` is known from `n`, so that a misplaced byte cannot pass.
fn byte_at(n: usize) -> u8 {
    (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]
}

/// Puts `total` bytes in, `step` at a time.
fn fill(mut filler: Filler, total: usize, step: usize) {
    let mut at = 0;
    let mut added = 0;
    while at < total {
        let Some(space) = filler.next(added) else { return };
        added = space.len().min(step).min(total - at);
        for byte in &mut space[..added] {
            *byte = byte_at(at);
            at += 1;
        }
    }
    filler.finish(added);
}

/// Takes everything out, `step` at a time, and says how many bytes came; the content is checked.
fn drain(mut drain: Drain, step: usize) -> usize {
    let mut at = 0;
    let mut taken = 0;
    while let Some(data) = drain.next(taken) {
        taken = data.len().min(step);
        for byte in &data[..taken] {
            assert_eq!(*byte, byte_at(at), "at {at}");
            at += 1;
        }
    }
    at
}

#[test]
fn every_drain_gets_every_byte_in_order_whatever_the_sizes() {
    for (block, blocks) in [(1, 5), (7, 5), (100, 33), (4096, 256), (300_000, 6)] {
        for total in [0, 1, block as usize * 3, 250_000, 250_001] {
            let (_, filler, drains) = ring(block, blocks, Watermarks::default(), 2);
            let counts: Vec<usize> = thread::scope(|scope| {
                scope.spawn(|| fill(filler, total, 3001));
                let steps = [97, usize::MAX];
                let threads: Vec<_> = drains
                    .into_iter()
                    .zip(steps)
                    .map(|(end, step)| scope.spawn(move || drain(end, step)))
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert_eq!(counts, [total, total], "block {block}, blocks {blocks}");
        }
    }
}

#[test]
fn only_whole_blocks_are_seen_before_the_end() {
    let (_, mut filler, mut drains) = ring(10, 20, Watermarks::default(), 1);
    assert_eq!(filler.next(0).map(|space| space.len()), Some(10));
    assert!(filler.next(9).is_some());
    assert!(filler.next(1).is_some());
    assert!(filler.next(3).is_some());
    let drain = &mut drains[0];
    assert_eq!(drain.next(0).map(<[u8]>::len), Some(10));
    filler.finish(1);
    assert_eq!(drain.next(10).map(<[u8]>::len), Some(4));
    assert_eq!(drain.next(4), None);
    assert_eq!(drain.next(0), None);
}

#[test]
fn memory_is_reused_from_the_low_end_while_the_buffer_is_nearly_empty() {
    let (ring, mut filler, mut drains) = ring(1000, 1000, Watermarks::default(), 1);
    let slot = ring.slot;
    filler.next(0);
    let mut taken = 0;
    for _ in 0..100 {
        filler.next(slot).expect("space");
        taken = drains[0].next(taken).expect("data").len();
    }
    assert!(ring.lock().fresh <= 3, "{} slots touched", ring.lock().fresh);
}

#[test]
fn a_drain_that_is_gone_holds_nobody_up_and_the_last_one_ends_the_filler() {
    let (ring, filler, mut drains) = ring(1000, 5, Watermarks::default(), 2);
    let stuck = drains.pop().expect("two drains");
    let other = drains.pop().expect("one drain");
    thread::scope(|scope| {
        scope.spawn(|| fill(filler, 100_000, 1000));
        let got = scope.spawn(|| drain(other, 1000));
        while !ring.fill().reader_waits {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!got.is_finished());
        drop(stuck);
        assert_eq!(got.join().expect("no panic"), 100_000);
    });
    let (_, mut filler, drains) = super::tests::ring(1000, 5, Watermarks::default(), 1);
    filler.next(0);
    drop(drains);
    assert!(filler.next(1000).is_none());
}

#[test]
fn writing_starts_at_the_high_mark_again_each_time_the_buffer_ran_empty() {
    let marks = Watermarks { start_writing: Some(50.0), ..Watermarks::default() };
    let (ring, mut filler, mut drains) = ring(1000, 10, marks, 1);
    let mut end = drains.pop().expect("one drain");
    let got = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            end.next(0).expect("data");
            got.store(true, Ordering::SeqCst);
        });
        filler.next(0);
        for _ in 0..4 {
            filler.next(1000);
        }
        thread::sleep(Duration::from_millis(50));
        assert!(!got.load(Ordering::SeqCst), "four of ten blocks are less than half");
        filler.next(1000);
    });
    assert!(got.load(Ordering::SeqCst));
    assert_eq!(ring.fill().empty, 1);
}

#[test]
fn marks_never_lose_a_wake_up() {
    for mark in [0.0, 10.0, 99.9, 100.0] {
        let marks = Watermarks { start_writing: Some(mark), start_reading: None };
        let other = Watermarks { start_reading: Some(mark), start_writing: None };
        for marks in [marks, other] {
            for _ in 0..20 {
                let (_, filler, mut drains) = ring(64, 5, marks, 1);
                let end = drains.pop().expect("one drain");
                thread::scope(|scope| {
                    scope.spawn(|| fill(filler, 10_000, 64));
                    assert_eq!(drain(end, 64), 10_000);
                });
            }
        }
    }
}

#[test]
fn reading_starts_again_below_the_low_mark() {
    let marks = Watermarks { start_reading: Some(20.0), ..Watermarks::default() };
    let (ring, mut filler, mut drains) = ring(1000, 10, marks, 1);
    filler.next(0);
    for _ in 0..9 {
        filler.next(1000);
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| filler.next(1000).is_some());
        while !ring.fill().reader_waits {
            thread::sleep(Duration::from_millis(1));
        }
        let mut taken = 0;
        for _ in 0..8 {
            assert!(!waiting.is_finished(), "{} bytes are still above the mark", ring.fill().bytes);
            taken = drains[0].next(taken).expect("data").len();
        }
        drains[0].next(taken);
        assert!(waiting.join().expect("no panic"));
    });
    assert_eq!(ring.fill().full, 1);
}

#[test]
fn pages_that_were_given_away_are_not_written_again() {
    const MEMORY: u64 = 64 << 20;
    let (ring, filler, mut drains) = ring(128 << 10, MEMORY >> 17, Watermarks::default(), 1);
    let mut end = drains.pop().expect("one drain");
    let total = 20 << 20;
    let (mut kept, keeper) = std::io::pipe().expect("a pipe");
    thread::scope(|scope| {
        scope.spawn(|| fill(filler, total, usize::MAX));
        let (mut at, mut taken) = (0, 0);
        while let Some(data) = end.next(taken) {
            // The first page of it all stays in the pipe, where the system can do that.
            taken = if at == 0 { 4096 } else { data.len() };
            assert_eq!(data[0], byte_at(at), "at {at}");
            if at == 0 {
                crate::buffer::descriptor::give(std::os::fd::AsFd::as_fd(&keeper), &data[..taken]).expect("room");
                end.gave();
            }
            at += taken;
        }
        assert_eq!(at, total);
    });
    drop(keeper);
    let mut page = Vec::new();
    std::io::Read::read_to_end(&mut kept, &mut page).expect("data");
    let same = page.iter().enumerate().all(|(at, byte)| *byte == byte_at(at));
    assert!(same && page.len() == 4096, "{} bytes of the page", page.len());
    assert_eq!(ring.lock().given, Vec::<usize>::new());
}
