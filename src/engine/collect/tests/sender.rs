//! A sender that keeps to the rules over links that break and damage: 200 random ways, nothing is lost, nothing
//! waits for ever.
//!
//! The rules: no frame beyond the window; of a link that is gone, what was not answered goes out on another; what is
//! asked for again goes out again; the end when all is answered.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::scene::{PATIENCE, Peer, Scene, Terms};
use super::volume::{MemoryTarget, Volume};
use crate::wire::Answer;

const LINKS: u16 = 4;

/// xorshift64: a seed is a whole test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

/// What is still to be sent, and what waits for its answer.
struct State {
    unsent: BTreeSet<usize>,
    /// Which incarnation of which link has the frame now.
    on_way: HashMap<usize, u64>,
    first_unanswered: usize,
    answered: Vec<bool>,
    window: usize,
    dead: BTreeSet<u64>,
    links: u64,
}

struct Sender<'a> {
    volume: &'a Volume,
    scene: &'a Scene,
    state: Mutex<State>,
    change: Condvar,
}

impl<'a> Sender<'a> {
    fn new(volume: &'a Volume, scene: &'a Scene, window: usize) -> Self {
        let frames = volume.frames.len();
        let state = State {
            unsent: (0..frames).collect(),
            on_way: HashMap::new(),
            first_unanswered: 0,
            answered: vec![false; frames],
            window,
            dead: BTreeSet::new(),
            links: 0,
        };
        Sender { volume, scene, state: Mutex::new(state), change: Condvar::new() }
    }

    /// One link, made anew whenever it breaks, until all is answered. `cuts` of its incarnations are cut.
    fn link(&self, number: u16, seed: u64, mut cuts: usize) {
        let mut dice = Dice(seed);
        while self.missing() {
            let peer = self.scene.link(self.volume.prelude(number));
            let id = {
                let mut state = self.state.lock().expect("no panic");
                state.links += 1;
                state.links
            };
            let cut = (cuts > 0).then(|| dice.roll(320 << 10));
            cuts = cuts.saturating_sub(1);
            std::thread::scope(|scope| {
                scope.spawn(|| self.hear(&peer, id));
                self.say(&peer, id, cut, &mut dice);
                let _ = peer.0.shutdown(std::net::Shutdown::Both);
            });
        }
    }

    fn missing(&self) -> bool {
        let state = self.state.lock().expect("no panic");
        state.first_unanswered < state.answered.len()
    }

    /// Sends frames until the link is cut or gone, or all is answered.
    fn say(&self, peer: &Peer, id: u64, mut cut: Option<usize>, dice: &mut Dice) {
        while let Some(turn) = self.next(id) {
            let frame = &self.volume.frames[turn];
            let damage = dice.roll(8) == 0;
            let mut bytes = if damage { frame.damaged().bytes() } else { frame.bytes() };
            if let Some(left) = &mut cut {
                let piece = bytes.len().min(*left);
                *left -= piece;
                if piece < bytes.len() {
                    bytes.truncate(piece);
                    // The frame is still taken for sent, as a system's buffers would have it.
                    let _ = (&peer.0).write_all(&bytes);
                    return self.bury(id);
                }
            }
            if (&peer.0).write_all(&bytes).is_err() {
                return self.bury(id);
            }
        }
    }

    /// The next frame within the window; `None` when the link is dead or all is answered.
    fn next(&self, id: u64) -> Option<usize> {
        let mut state = self.state.lock().expect("no panic");
        loop {
            if state.dead.contains(&id) || state.first_unanswered == state.answered.len() {
                return None;
            }
            let limit = state.first_unanswered + state.window;
            if let Some(turn) = state.unsent.first().copied().filter(|turn| *turn < limit) {
                state.unsent.remove(&turn);
                state.on_way.insert(turn, id);
                return Some(turn);
            }
            let (after, late) = self.change.wait_timeout(state, PATIENCE).expect("no panic");
            assert!(!late.timed_out(), "no answer to {:?}", after.on_way);
            state = after;
        }
    }

    fn hear(&self, peer: &Peer, id: u64) {
        while let Ok(answer) = peer.any_answer() {
            let mut state = self.state.lock().expect("no panic");
            match answer {
                Answer::Written(offsets) => offsets.iter().for_each(|offset| state.answer(self.turn(*offset))),
                Answer::Again(offset) => {
                    let turn = self.turn(offset);
                    if state.on_way.get(&turn) == Some(&id) {
                        state.on_way.remove(&turn);
                        state.unsent.insert(turn);
                    }
                }
                Answer::Failed { reason, .. } => panic!("failed: {reason}"),
                _ => {}
            }
            self.change.notify_all();
        }
        self.bury(id);
    }

    fn turn(&self, offset: u64) -> usize {
        let found = self.volume.frames.binary_search_by_key(&offset, |frame| frame.header.offset);
        found.expect("an answer to a frame that was sent")
    }

    /// What is on its way over a dead link is to be sent again.
    fn bury(&self, id: u64) {
        let mut state = self.state.lock().expect("no panic");
        state.dead.insert(id);
        let lost: Vec<usize> = state.on_way.iter().filter(|(_, on)| **on == id).map(|(turn, _)| *turn).collect();
        for turn in lost {
            state.on_way.remove(&turn);
            if !state.answered[turn] {
                state.unsent.insert(turn);
            }
        }
        self.change.notify_all();
    }
}

impl State {
    fn answer(&mut self, turn: usize) {
        self.answered[turn] = true;
        self.on_way.remove(&turn);
        self.unsent.remove(&turn);
        while self.answered.get(self.first_unanswered) == Some(&true) {
            self.first_unanswered += 1;
        }
    }
}

fn over_breaking_links(volume: &Volume, seed: u64, in_order: bool) {
    let write_takes = Duration::from_micros(if seed.is_multiple_of(3) { 300 } else { 0 });
    let target = Arc::new(MemoryTarget { in_order, write_takes, ..Default::default() });
    let (scene, first) = Scene::start(volume, target.clone(), Terms { buffers: 8, ..Terms::default() });
    let window = first.welcome().window as usize;
    first.close();
    let sender = Sender::new(volume, &scene, window);
    std::thread::scope(|scope| {
        for number in 0..LINKS {
            let sender = &sender;
            scope.spawn(move || sender.link(number, seed * 0x9e37_79b9 + u64::from(number) + 1, 6));
        }
    });
    let last = scene.link(volume.prelude(0));
    last.send(&volume.end);
    last.expect_done(volume);
    last.close();
    scene.expect_whole(volume, &target);
}

#[test]
fn any_order_over_links_that_break_and_damage() {
    let volume = Volume::new(24);
    (1..=100).for_each(|seed| over_breaking_links(&volume, seed, false));
}

#[test]
fn in_order_over_links_that_break_and_damage() {
    let volume = Volume::new(24);
    (1..=100).for_each(|seed| over_breaking_links(&volume, seed, true));
}
