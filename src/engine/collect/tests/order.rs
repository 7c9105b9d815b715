//! Frames in any order, and a target that wants them in order.

use std::sync::Arc;

use super::scene::{Scene, Terms};
use super::volume::{Frame, MemoryTarget, Volume};

fn in_order(write_takes: u64) -> Arc<MemoryTarget> {
    let write_takes = std::time::Duration::from_millis(write_takes);
    Arc::new(MemoryTarget { in_order: true, write_takes, ..Default::default() })
}

fn offset(frame: &Frame) -> u64 {
    frame.header.offset
}

#[test]
fn frames_may_come_in_any_order_over_several_links() {
    let (volume, target) = (Volume::new(40), Arc::<MemoryTarget>::default());
    let (scene, first) = Scene::start(&volume, target.clone(), Terms::default());
    let peers =
        [first, scene.link(volume.prelude(1)), scene.link(volume.prelude(2)), scene.link(volume.prelude(3))];
    peers.iter().for_each(|peer| _ = peer.welcome());
    // 7 and 40 have no common divisor: each frame once, neighbours far apart and on different links.
    for n in 0..40 {
        peers[n % 4].send(&volume.frames[(n * 7 + 5) % 40].bytes());
    }
    for (n, peer) in peers.iter().enumerate() {
        // Each is answered on the link that brought it.
        peer.expect_written((0..40).filter(|m| m % 4 == n).map(|m| offset(&volume.frames[(m * 7 + 5) % 40])));
    }
    let [first, ..] = peers;
    scene.end(&volume, first, &target);
}

#[test]
fn a_link_stalled_amid_the_next_part_does_not_stop_it_on_another() {
    let (volume, target) = (Volume::new(30), in_order(0));
    let (scene, stalled) = Scene::start(&volume, target.clone(), Terms { buffers: 8, ..Terms::default() });
    let welcome = stalled.welcome();
    // 8 buffers: 4 for links, 4 for parts.
    assert_eq!((welcome.window, welcome.most_links), (4, 4));
    let peers = [scene.link(volume.prelude(1)), scene.link(volume.prelude(2)), scene.link(volume.prelude(3))];
    peers.iter().for_each(|peer| _ = peer.welcome());
    let whole: Vec<Vec<u8>> = volume.frames.iter().map(Frame::bytes).collect();
    // Three links stop amid a part: the very next one, the one after, and the last of the window.
    let cut = |n: usize| whole[n].len() - 100;
    stalled.send(&whole[0][..cut(0)]);
    peers[0].send(&whole[1][..cut(1)]);
    peers[1].send(&whole[0][..cut(0)]);
    scene.expect("each of them has a buffer", |figures| figures.buffer_used == 3);
    // All of the window comes on the fourth, the next part last.
    let working = &peers[2];
    for n in [3, 2, 1, 0] {
        working.send(&whole[n]);
    }
    working.expect_written((0..4).map(|n| offset(&volume.frames[n])));
    // And all the rest, a window at a time, in reverse.
    for begin in (4..30).step_by(4) {
        let window = begin..(begin + 4).min(30);
        window.clone().rev().for_each(|n| working.send(&whole[n]));
        working.expect_written(window.map(|n| offset(&volume.frames[n])));
    }
    // The stalled ones wake up: what they bring is there already, and answered.
    stalled.send(&whole[0][cut(0)..]);
    stalled.expect_written([offset(&volume.frames[0])]);
    peers[0].send(&whole[1][cut(1)..]);
    peers[0].expect_written([offset(&volume.frames[1])]);
    scene.expect("two came twice", |figures| figures.twice == 2);
    let [_, _, working] = peers;
    scene.end(&volume, working, &target);
}

#[test]
fn an_end_of_file_amid_a_part_leaves_no_trace_of_it() {
    let (volume, target) = (Volume::new(8), in_order(0));
    let (scene, first) = Scene::start(&volume, target.clone(), Terms { buffers: 4, ..Terms::default() });
    first.welcome();
    for n in 0..8 {
        let bytes = volume.frames[n].bytes();
        let breaks = scene.link(volume.prelude(1));
        breaks.send(&bytes[..bytes.len() - 1]);
        breaks.close();
        first.send(&bytes);
        first.expect_written([offset(&volume.frames[n])]);
    }
    assert_eq!(scene.figures.snapshot().twice, 0);
    scene.end(&volume, first, &target);
}

#[test]
fn the_pool_is_never_exceeded_by_a_target_that_is_slow() {
    for (target, buffers) in
        [(in_order(2), 6), (Arc::new(MemoryTarget { in_order: false, ..Default::default() }), 6)]
    {
        let volume = Volume::new(60);
        let (scene, first) = Scene::start(&volume, target.clone(), Terms { buffers, ..Terms::default() });
        let window = first.welcome().window as usize;
        for begin in (0..60).step_by(window.min(60)) {
            let turns = begin..(begin + window).min(60);
            turns.clone().for_each(|n| first.send(&volume.frames[n].bytes()));
            first.expect_written(turns.map(|n| offset(&volume.frames[n])));
            let used = scene.figures.snapshot();
            assert!(used.buffer_used <= buffers as u64 && used.buffer_total == buffers as u64);
        }
        scene.end(&volume, first, &target);
    }
}

#[test]
fn what_is_beyond_the_window_is_refused() {
    let (volume, target) = (Volume::new(20), in_order(0));
    let (scene, first) = Scene::start(&volume, target, Terms { buffers: 8, ..Terms::default() });
    assert_eq!(first.welcome().window, 4);
    // Without the first, as many as there is room for, and one more.
    (1..6).for_each(|n| first.send(&volume.frames[n].bytes()));
    let (status, reason) = first.expect_failed();
    assert_eq!(status, crate::error::Status::Stream);
    assert!(reason.contains("beyond the window"), "{reason}");
    drop(first);
    assert!(scene.result().is_err());
}

#[test]
fn frames_that_overlap_are_refused() {
    let volume = Volume::new(10);
    // A hole of two cells and more stands at 3: one of a single cell within it, and one that reaches into it.
    let hole = &volume.frames[3].header;
    let within = crate::wire::FrameHeader::hole(hole.offset + hole.length - 4096, 4096, 0);
    let into = crate::wire::FrameHeader::hole(hole.offset - 4096, 8192, 0);
    let longer = crate::wire::FrameHeader::hole(hole.offset, hole.length + 4096, 0);
    for other in [within, into, longer] {
        let (scene, peer) = Scene::start(&volume, Arc::<MemoryTarget>::default(), Terms::default());
        peer.welcome();
        peer.send(&hole.encode());
        peer.send(&other.encode());
        let (status, reason) = peer.expect_failed();
        assert!(status == crate::error::Status::Stream && reason.contains("overlaps"), "{reason}");
        drop(peer);
        assert!(scene.result().is_err());
    }
}
