//! Who gets which frame, and who is woken for it.

use super::*;
use crate::progress::Role;
use crate::wire::{FrameHeader, Segments};

const SOON: Duration = Duration::from_millis(1);
const A: LinkId = LinkId(1);
const B: LinkId = LinkId(2);

fn outbox(frames: u64, window: u32) -> (Outbox, Arc<Figures>) {
    let (outbox, figures) = (Outbox::new(window), Figures::new(Role::Send));
    for turn in 0..frames {
        let header = FrameHeader::hole(turn * 10, 10, 10);
        let frame = Frame { header, segments: Segments::default(), payload: None };
        outbox.offer(&SharedFrame::new(frame, &figures));
    }
    [A, B].iter().for_each(|link| outbox.joined(*link, false));
    (outbox, figures)
}

/// The offset of what the link is given; `None` for nothing.
fn take(outbox: &Outbox, link: LinkId) -> Option<u64> {
    match outbox.next(link, SOON) {
        Next::Frame { frame, .. } => Some(frame.offset()),
        Next::End(_, size) => Some(size),
        Next::Nothing | Next::Over => None,
    }
}

#[test]
fn what_was_on_a_lost_link_goes_first() {
    let (outbox, figures) = outbox(4, 100);
    assert_eq!([take(&outbox, A), take(&outbox, B), take(&outbox, A)], [Some(0), Some(10), Some(20)]);
    outbox.written(&[20]);
    assert_eq!(outbox.lost(A), 1);
    assert_eq!([take(&outbox, B), take(&outbox, B), take(&outbox, B)], [Some(0), Some(30), None]);
    outbox.end(End::default(), 40);
    outbox.written(&[0, 10]);
    assert_eq!(take(&outbox, B), None, "one is not answered");
    outbox.written(&[30]);
    assert_eq!([take(&outbox, B), take(&outbox, B)], [Some(40), None], "the end, once");
    outbox.lost(B);
    let c = LinkId(3);
    assert_eq!(take(&outbox, c), Some(40), "the end of a lost link");
    assert_eq!(figures.snapshot().done, 40);
}

#[test]
fn the_window_begins_at_the_first_unanswered_frame() {
    let (outbox, _) = outbox(5, 2);
    assert_eq!([take(&outbox, A), take(&outbox, B), take(&outbox, A)], [Some(0), Some(10), None]);
    outbox.written(&[10]);
    assert_eq!(take(&outbox, A), None, "the first is still missing");
    outbox.written(&[0]);
    assert_eq!([take(&outbox, A), take(&outbox, A), take(&outbox, A)], [Some(20), Some(30), None]);
}

#[test]
fn a_part_that_always_arrives_damaged_is_given_up() {
    let (outbox, _) = outbox(1, 2);
    let tries = (0..).take_while(|_| take(&outbox, A).is_some() && outbox.again(0)).count();
    assert_eq!(tries + 1, usize::from(MOST_TRIES));
    assert!(outbox.again(777), "an answer that comes late is no failure");
}

#[test]
fn a_link_that_stands_by_takes_over_when_the_others_are_gone() {
    let (outbox, _) = outbox(2, 100);
    let standby = LinkId(9);
    outbox.joined(standby, true);
    assert_eq!(take(&outbox, standby), None);
    assert_eq!(take(&outbox, A), Some(0));
    [A, B].iter().for_each(|link| _ = outbox.lost(*link));
    assert_eq!([take(&outbox, standby), take(&outbox, standby)], [Some(0), Some(10)]);
}

#[test]
fn no_frame_lies_while_a_link_waits_for_one() {
    const FRAMES: usize = 3 * MOST_WAITING;
    let (long, figures) = (Duration::from_secs(60), Figures::new(Role::Send));
    for window in [1, 3, u32::MAX] {
        let outbox = Outbox::new(window);
        let (sent, answers) = crossbeam_channel::unbounded();
        let carry = |link: LinkId, is_standby: bool, sent: crossbeam_channel::Sender<u64>| {
            outbox.joined(link, is_standby);
            loop {
                match outbox.next(link, long) {
                    Next::Frame { frame, .. } => sent.send(frame.offset()).expect("it is heard"),
                    Next::End(..) => outbox.close(),
                    Next::Over => return,
                    Next::Nothing => panic!("link {} was left waiting", link.0),
                }
            }
        };
        std::thread::scope(|scope| {
            for link in 0..8 {
                let (carry, sent) = (&carry, sent.clone());
                scope.spawn(move || carry(LinkId(link), link > 5, sent));
            }
            // Somebody else hears the answers, so that links wait for what these let go.
            scope.spawn(|| answers.iter().for_each(|offset| outbox.written(&[offset])));
            drop(sent);
            for turn in 0..FRAMES as u64 {
                let header = FrameHeader::hole(turn * 10, 10, 10);
                outbox.offer(&SharedFrame::new(
                    Frame { header, segments: Segments::default(), payload: None },
                    &figures,
                ));
            }
            outbox.end(End::default(), FRAMES as u64 * 10);
        });
    }
    assert_eq!(figures.snapshot().done, 3 * FRAMES as u64 * 10);
}

#[test]
fn a_link_has_its_answers_when_all_on_it_is_written() {
    let (outbox, _) = outbox(3, 100);
    assert_eq!([take(&outbox, A), take(&outbox, B), take(&outbox, A)], [Some(0), Some(10), Some(20)]);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| outbox.wait_until_answered(A));
        outbox.written(&[0]);
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished(), "one is on its way");
        outbox.written(&[20]);
    });
    assert_eq!(outbox.lost(B), 1);
}

#[test]
fn whoever_waits_is_woken_at_the_end() {
    let (outbox, _) = outbox(0, 1);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| matches!(outbox.next(A, Duration::from_secs(60)), Next::Over));
        outbox.close();
        assert!(waits.join().expect("no panic"));
    });
}
