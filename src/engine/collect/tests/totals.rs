//! What is said at the end, and what is not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::scene::{Scene, Terms};
use super::volume::{MemoryTarget, Volume};
use crate::error::{Error, Status};
use crate::volume::FileTarget;
use crate::wire::{Answer, FrameHeader};

fn target() -> Arc<MemoryTarget> {
    Arc::default()
}

#[test]
fn one_link_brings_the_volume_and_hears_that_it_is_done() {
    let (volume, target) = (Volume::new(12), target());
    let (scene, peer) = Scene::start(&volume, target.clone(), Terms::default());
    let welcome = peer.welcome();
    assert_eq!((welcome.incarnation, welcome.window, welcome.most_links, welcome.have), ([5; 16], 1 << 16, 8, 0));
    volume.frames.iter().for_each(|frame| peer.send(&frame.bytes()));
    peer.expect_written(volume.frames.iter().map(|frame| frame.header.offset));
    peer.send(&volume.end);
    peer.expect_done(&volume);
    peer.close();
    let figures = scene.figures.clone();
    scene.expect_whole(&volume, &target);
    assert!(!target.resumed.load(Ordering::SeqCst));
    let figures = figures.snapshot();
    assert_eq!((figures.parts, figures.again, figures.twice, figures.held, figures.links), (10, 0, 0, 0, 0));
}

#[test]
fn an_end_before_all_has_come_is_refused() {
    let (volume, target) = (Volume::new(12), target());
    let (scene, peer) = Scene::start(&volume, target.clone(), Terms::default());
    peer.welcome();
    for (n, frame) in volume.frames.iter().enumerate() {
        if n != 6 {
            peer.send(&frame.bytes());
        }
    }
    peer.send(&volume.end);
    let (status, reason) = peer.expect_failed();
    assert!(status == Status::Stream && reason.starts_with("stream is corrupt: the sender"), "{reason}");
    drop(peer);
    assert_eq!(scene.result().expect_err("it is not whole").status(), Status::Stream);
    assert!(!target.is_finished());
}

#[test]
fn a_root_that_does_not_fit_is_refused() {
    let (volume, target) = (Volume::new(4), target());
    let (scene, peer) = Scene::start(&volume, target.clone(), Terms::default());
    volume.frames.iter().for_each(|frame| peer.send(&frame.bytes()));
    peer.welcome();
    peer.expect_written(volume.frames.iter().map(|frame| frame.header.offset));
    peer.send(&volume.wrong_end());
    assert_eq!(peer.expect_failed().0, Status::Stream);
    drop(peer);
    assert_eq!(scene.result().expect_err("the root is wrong").status(), Status::Stream);
    assert!(!target.is_finished());
}

#[test]
fn a_target_that_fails_is_told_on_all_links_and_by_the_result() {
    let volume = Volume::new(12);
    let target = Arc::new(MemoryTarget { fails_at: Some(volume.frames[5].header.offset), ..Default::default() });
    let (scene, first) = Scene::start(&volume, target.clone(), Terms::default());
    let second = scene.link(volume.prelude(1));
    second.welcome();
    volume.frames.iter().for_each(|frame| first.send(&frame.bytes()));
    for peer in [&first, &second] {
        let (status, reason) = peer.expect_failed();
        assert_eq!(status, Status::Io);
        assert!(
            reason.starts_with("cannot write target: ") && reason.ends_with("No space left on device"),
            "{reason}"
        );
    }
    drop((first, second));
    assert_eq!(scene.result().expect_err("it failed").status(), Status::Io);
    assert!(!target.is_finished());
}

#[test]
fn a_target_that_cannot_be_finished_is_not_said_to_be_done() {
    let volume = Volume::new(4);
    let target = Arc::new(MemoryTarget { fails_to_finish: true, ..Default::default() });
    let (scene, peer) = Scene::start(&volume, target, Terms::default());
    volume.frames.iter().for_each(|frame| peer.send(&frame.bytes()));
    peer.welcome();
    peer.expect_written(volume.frames.iter().map(|frame| frame.header.offset));
    peer.send(&volume.end);
    assert_eq!(peer.expect_failed(), (Status::Io, "cannot sync target: memory: Input/output error".into()));
    drop(peer);
    assert_eq!(scene.result().expect_err("it failed").status(), Status::Io);
}

#[test]
fn a_target_that_refuses_is_the_first_answer() {
    let mut volume = Volume::new(4);
    volume.prelude.volume_size = Some(1 << 40);
    let (scene, peer) = Scene::start(&volume, target(), Terms::default());
    let refused =
        Answer::Failed { status: Status::Guard, reason: "target refused: memory: it is too small".into() };
    assert_eq!(peer.answer(), refused);
    peer.expect_hung_up();
    assert_eq!(scene.result().expect_err("it is refused").status(), Status::Guard);
}

#[test]
fn a_sender_that_gives_up_says_why() {
    let volume = Volume::new(4);
    let (scene, peer) = Scene::start(&volume, target(), Terms::default());
    let reason = b"cannot read source: /dev/x: Input/output error";
    peer.send(&[&FrameHeader::abort(reason).encode()[..], reason].concat());
    peer.close();
    let error = scene.result().expect_err("it was given up");
    assert_eq!(error.status(), Status::Stream);
    assert_eq!(error.to_string(), "the sender gave up: first: cannot read source: /dev/x: Input/output error");
}

#[test]
fn a_signal_is_told_and_ends_it_soon() {
    let volume = Volume::new(4);
    let (scene, peer) = Scene::start(&volume, target(), Terms::default());
    peer.welcome();
    let began = Instant::now();
    scene.stop.fail(Error::signal(15));
    assert_eq!(peer.expect_failed().0, Status::Signal(15));
    // A sender that does not hang up is not waited for.
    assert_eq!(scene.result(), Err(Error::signal(15)));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn while_the_target_is_put_on_stable_storage_links_are_alive_and_not_hungry() {
    let volume = Volume::new(4);
    let target = Arc::new(MemoryTarget { finish_takes: Duration::from_millis(600), ..Default::default() });
    let terms = Terms { stall: Duration::from_millis(400), ..Terms::default() };
    let (scene, peer) = Scene::start(&volume, target.clone(), terms);
    volume.frames.iter().for_each(|frame| peer.send(&frame.bytes()));
    peer.welcome();
    peer.expect_written(volume.frames.iter().map(|frame| frame.header.offset));
    peer.send(&volume.end);
    let mut last = (0, 0);
    loop {
        // The sender gives its signs of life, too.
        peer.send(&FrameHeader::alive().encode());
        match peer.any_answer().expect("an answer") {
            // The first may have been on its way before the end frame was read.
            Answer::Alive { hungry: true, .. } => last.0 += 1,
            Answer::Alive { .. } => last.1 += 1,
            Answer::Done { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(last.0 <= 1 && last.1 >= 3, "{last:?}");
    peer.close();
    scene.expect_whole(&volume, &target);
}

#[test]
fn a_file_has_its_name_when_all_is_there_and_not_before() {
    let volume = Volume::new(40);
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("image");
    let target = Arc::new(FileTarget::open(&path, "image").expect("a new file"));
    let (scene, first) = Scene::start(&volume, target, Terms::default());
    let links: Vec<_> = (1..4).map(|number| scene.link(volume.prelude(number))).collect();
    for (n, frame) in volume.frames.iter().enumerate() {
        let link = if n % 4 == 0 { &first } else { &links[n % 4 - 1] };
        link.send(&frame.bytes());
    }
    for (n, link) in std::iter::once(&first).chain(&links).enumerate() {
        link.welcome();
        link.expect_written(volume.frames.iter().skip(n).step_by(4).map(|frame| frame.header.offset));
    }
    assert!(!path.exists());
    first.send(&volume.end);
    links[2].expect_done(&volume);
    assert!(std::fs::read(&path).expect("it is there") == volume.bytes);
    first.expect_done(&volume);
    first.close();
    assert_eq!(scene.result().expect("it is whole").size, volume.bytes.len() as u64);
}
