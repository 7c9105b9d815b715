//! Links that come, go, bring damage, or do not belong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::scene::{Peer, Scene, Terms};
use super::volume::{MemoryTarget, Volume};
use crate::error::Status;
use crate::wire::{Answer, FrameHeader, Prelude};

fn offsets(volume: &Volume) -> impl Iterator<Item = u64> {
    volume.frames.iter().map(|frame| frame.header.offset)
}

fn start(frames: usize, terms: Terms) -> (Volume, Arc<MemoryTarget>, Scene, Peer) {
    let (volume, target) = (Volume::new(frames), Arc::<MemoryTarget>::default());
    let (scene, peer) = Scene::start(&volume, target.clone(), terms);
    peer.welcome();
    (volume, target, scene, peer)
}

#[test]
fn what_comes_twice_is_answered_twice_and_written_once() {
    let (volume, target, scene, first) = start(10, Terms::default());
    let second = scene.link(volume.prelude(1));
    second.welcome();
    volume.frames.iter().for_each(|frame| first.send(&frame.bytes()));
    first.expect_written(offsets(&volume));
    volume.frames.iter().for_each(|frame| second.send(&frame.bytes()));
    second.expect_written(offsets(&volume));
    scene.expect("all came twice", |figures| figures.twice == 10);
    assert_eq!(scene.figures.snapshot().parts, 8);
    scene.end(&volume, second, &target);
}

#[test]
fn both_links_are_answered_that_bring_a_part_which_is_still_under_way() {
    let volume = Volume::new(3);
    let target = Arc::new(MemoryTarget { write_takes: Duration::from_millis(300), ..Default::default() });
    let (scene, first) = Scene::start(&volume, target.clone(), Terms::default());
    let second = scene.link(volume.prelude(1));
    first.welcome();
    second.welcome();
    for peer in [&first, &second] {
        volume.frames.iter().for_each(|frame| peer.send(&frame.bytes()));
    }
    first.expect_written(offsets(&volume));
    second.expect_written(offsets(&volume));
    scene.end(&volume, first, &target);
}

#[test]
fn a_damaged_part_is_asked_for_again() {
    let (volume, target, scene, first) = start(6, Terms::default());
    let mut expected = Vec::new();
    for frame in &volume.frames {
        // A hole has nothing that could be damaged but its header.
        if !frame.payload.is_empty() {
            first.send(&frame.damaged().bytes());
            expected.push(frame.header.offset);
            assert_eq!(first.answer(), Answer::Again(frame.header.offset));
            let mut table = frame.clone();
            table.segments[1] ^= 1;
            first.send(&table.bytes());
            assert_eq!(first.answer(), Answer::Again(frame.header.offset));
        }
        first.send(&frame.bytes());
        first.expect_written([frame.header.offset]);
    }
    assert_eq!(scene.figures.snapshot().again, 2 * expected.len() as u64);
    scene.end(&volume, first, &target);
}

#[test]
fn a_part_that_is_always_damaged_ends_it() {
    let (volume, target, scene, first) = start(4, Terms::default());
    let frame = volume.frames[1].damaged().bytes();
    for _ in 0..9 {
        first.send(&frame);
        assert_eq!(first.answer(), Answer::Again(volume.frames[1].header.offset));
    }
    first.send(&frame);
    let (status, reason) = first.expect_failed();
    assert_eq!(status, Status::Stream);
    assert!(reason.contains("in the part at offset 65536") && reason.contains("10 times"), "{reason}");
    drop(first);
    assert!(scene.result().is_err() && !target.is_finished());
}

#[test]
fn a_damaged_header_ends_its_link_alone() {
    let (volume, target, scene, first) = start(6, Terms::default());
    let second = scene.link(volume.prelude(1));
    second.welcome();
    let mut bytes = volume.frames[0].bytes();
    bytes[9] ^= 1;
    first.send(&bytes);
    first.expect_hung_up();
    volume.frames.iter().for_each(|frame| second.send(&frame.bytes()));
    second.expect_written(offsets(&volume));
    let said = scene.first_notice();
    assert!(said.starts_with("link 0 from first broke: the frame header is damaged"), "{said}");
    assert!(said.ends_with("; 1 left"), "{said}");
    scene.end(&volume, second, &target);
}

#[test]
fn what_a_sender_cannot_mean_ends_it() {
    let (volume, _, scene, first) = start(4, Terms::default());
    first.send(&FrameHeader::hole(1 << 40, 4096, 0).encode());
    let (status, reason) = first.expect_failed();
    assert!(status == Status::Stream && reason.contains("offset of a frame"), "{reason}");
    drop((first, volume));
    assert!(scene.result().is_err());
}

#[test]
fn without_links_new_ones_are_waited_for_but_not_for_ever() {
    let (volume, target, scene, first) = start(6, Terms::default());
    first.send(&volume.frames[0].bytes());
    first.expect_written([0]);
    first.close();
    std::thread::sleep(Duration::from_millis(200));
    let second = scene.link(volume.prelude(0));
    second.welcome();
    volume.frames[1..].iter().for_each(|frame| second.send(&frame.bytes()));
    second.expect_written(offsets(&volume).skip(1));
    scene.end(&volume, second, &target);

    let (_, target, scene, first) = start(6, Terms { retry_for: Duration::from_millis(300), ..Terms::default() });
    let began = Instant::now();
    first.close();
    let error = scene.result().expect_err("nobody came");
    assert_eq!(error.status(), Status::Io);
    assert!(error.to_string().starts_with("the sender is gone: its last link was closed by the sender"), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(300) && !target.is_finished());
}

#[test]
fn where_no_link_can_come_none_is_waited_for() {
    let (_, _, mut scene, first) = start(6, Terms::default());
    scene.close_door();
    let began = Instant::now();
    first.close();
    assert_eq!(scene.result().expect_err("nobody can come").status(), Status::Io);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_silent_link_is_dropped_and_one_that_gives_signs_of_life_is_not() {
    let terms = Terms { stall: Duration::from_millis(400), ..Terms::default() };
    let (volume, target, scene, silent) = start(6, terms);
    let lively = scene.link(volume.prelude(1));
    // Amid a header, where it waits for more.
    silent.send(&volume.frames[0].bytes()[..10]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1200) {
        lively.send(&FrameHeader::alive().encode());
        std::thread::sleep(Duration::from_millis(50));
    }
    silent.expect_hung_up();
    lively.welcome();
    volume.frames.iter().for_each(|frame| lively.send(&frame.bytes()));
    lively.expect_written(offsets(&volume));
    let said = scene.first_notice();
    assert_eq!(said, "link 0 from first was silent for 0.4 s; 1 left");
    scene.end(&volume, lively, &target);
}

#[test]
fn a_slow_target_is_no_silence_of_the_link() {
    let volume = Volume::new(12);
    // A part has two pieces of data, and the link waits for the buffers of four parts.
    let write_takes = Duration::from_millis(250);
    let target = Arc::new(MemoryTarget { write_takes, ..Default::default() });
    let terms = Terms { buffers: 4, stall: Duration::from_millis(300), ..Terms::default() };
    let (scene, first) = Scene::start(&volume, target.clone(), terms);
    std::thread::scope(|scope| {
        let hearing = scope.spawn(|| {
            first.welcome();
            first.expect_written(offsets(&volume));
        });
        volume.frames.iter().for_each(|frame| first.send(&frame.bytes()));
        // From then on the sender has nothing to say but that it is there.
        while !hearing.is_finished() {
            first.send(&FrameHeader::alive().encode());
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(*scene.notices.lock().expect("no panic"), [""; 0]);
    scene.end(&volume, first, &target);
}

#[test]
fn a_link_that_does_not_belong_is_told_so() {
    let (volume, target, scene, first) = start(6, Terms::default());
    let other_transfer = Prelude { transfer: [9; 16], ..volume.prelude(1) };
    let other_size = Prelude { volume_size: Some(4096), ..volume.prelude(1) };
    for (prelude, why) in [(other_transfer, "busy with another transfer"), (other_size, "prelude")] {
        let stranger = scene.link(prelude);
        let (status, reason) = stranger.expect_failed();
        assert!(status == Status::Peer && reason.contains(why), "{reason}");
        stranger.close();
    }
    // 16 buffers: 8 links. The ninth is one too many, but a link made anew takes its own place.
    let more: Vec<Peer> = (1..8).map(|n| scene.link(volume.prelude(n))).collect();
    more.iter().for_each(|peer| _ = peer.welcome());
    let (status, reason) = scene.link(volume.prelude(8)).expect_failed();
    assert!(status == Status::Peer && reason.contains("8 links"), "{reason}");
    let anew = scene.link(volume.prelude(3));
    anew.welcome();
    more[2].expect_hung_up();
    volume.frames.iter().for_each(|frame| anew.send(&frame.bytes()));
    anew.expect_written(offsets(&volume));
    drop(first);
    scene.end(&volume, anew, &target);
}

#[test]
fn who_did_not_hear_that_it_is_done_may_ask_again() {
    let (volume, target, scene, first) = start(6, Terms::default());
    volume.frames.iter().for_each(|frame| first.send(&frame.bytes()));
    first.expect_written(offsets(&volume));
    first.send(&volume.end);
    // Broken amid a frame: nobody knows whether the sender has read the last answer.
    first.expect_done(&volume);
    first.send(&volume.frames[0].bytes()[..20]);
    first.close();
    let again = scene.link(volume.prelude(0));
    again.welcome();
    again.send(&volume.end);
    again.expect_done(&volume);
    let stranger = scene.link(Prelude { transfer: [9; 16], ..volume.prelude(0) });
    assert_eq!(stranger.expect_failed().0, Status::Peer);
    let began = Instant::now();
    again.close();
    scene.expect_whole(&volume, &target);
    assert!(began.elapsed() < Duration::from_secs(5), "it lingers although the sender knows");
}

#[test]
fn who_sends_and_takes_no_answers_is_hung_up() {
    let volume = Volume::new(6);
    let target = Arc::new(MemoryTarget { in_order: true, ..Default::default() });
    let terms = Terms { buffers: 4, ..Terms::default() };
    let (scene, peer) = Scene::start(&volume, target, terms);
    let frame = volume.frames[0].bytes();
    // A socket holds some hundreds of answers, then they wait.
    let began = Instant::now();
    use std::io::Write;
    while (&peer.0).write_all(&frame).is_ok() {
        assert!(began.elapsed() < super::scene::PATIENCE, "it takes frames for ever");
    }
    let second = scene.link(volume.prelude(1));
    second.welcome();
    let said = scene.first_notice();
    assert!(said.contains("it does not take its answers"), "{said}");
    scene.stop.fail(crate::error::Error::signal(2));
    drop((peer, second));
    assert!(scene.result().is_err());
}
