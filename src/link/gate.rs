//! How many strangers may stand at the gate: connections that are accepted and have not proven themselves.
//!
//! At most [`MOST`], each with a thread and its buffers, so memory is bounded whatever comes. One more waits in the
//! kernel's backlog until a place is free, and makes one free by pushing somebody out: the oldest of those that have
//! not said a word for [`SILENT_PATIENCE`], else the oldest, after [`PATIENCE`].
//!
//! Neither rule alone would do. If new ones only waited, 16 connections that say nothing would hold up everybody
//! for the whole of the deadline, again and again. If the oldest went at once, the links of one sender, dialled
//! together over a long line, would push each other out. A sender's first bytes follow its connection at once, so
//! the silent go first, 160 a second; and a handshake that takes longer than [`PATIENCE`] has its two seconds
//! unless the gate is crowded.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Places at the gate.
pub(super) const MOST: usize = 16;
const SILENT_PATIENCE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(500);

/// The places and who has them.
#[derive(Default)]
pub(super) struct Gate {
    guests: Mutex<Vec<Arc<Guest>>>,
    left: Condvar,
}

/// A connection at the gate.
pub(super) struct Guest {
    socket: Arc<TcpStream>,
    since: Instant,
    heard: AtomicBool,
    // Once known, it has its place until it is taken over, and is not pushed out.
    known: AtomicBool,
    pushed_out: AtomicBool,
}

/// A place at the gate; free again when dropped.
pub(super) struct Place<'a> {
    gate: &'a Gate,
    guest: Arc<Guest>,
}

impl Gate {
    /// Waits until there is a place, for `patience` at most; whether there is. Somebody may be pushed out for it.
    pub(super) fn make_room(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut guests = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if guests.len() < MOST || left.is_zero() {
                return guests.len() < MOST;
            }
            let wait = push_out(&guests).min(left);
            guests = self.left.wait_timeout(guests, wait).map_or_else(|e| e.into_inner().0, |(guests, _)| guests);
        }
    }

    /// Takes a place. Only the accept loop calls it, after [`Gate::make_room`], so that [`MOST`] is kept.
    pub(super) fn enter(&self, socket: Arc<TcpStream>) -> Place<'_> {
        let guest = Arc::new(Guest {
            socket,
            since: Instant::now(),
            heard: AtomicBool::new(false),
            known: AtomicBool::new(false),
            pushed_out: AtomicBool::new(false),
        });
        self.lock().push(Arc::clone(&guest));
        Place { gate: self, guest }
    }

    /// Pushes out all that are not known yet.
    pub(super) fn close(&self) {
        self.lock().iter().filter(|guest| !guest.known.load(Ordering::SeqCst)).for_each(|guest| guest.push_out());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Guest>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pushes somebody out, if one's time is up; how long to wait until somebody's is, or until that one has left.
fn push_out(guests: &[Arc<Guest>]) -> Duration {
    const LONG: Duration = Duration::from_secs(1);
    if guests.iter().any(|guest| guest.pushed_out.load(Ordering::SeqCst)) {
        return LONG; // it is about to leave
    }
    let strangers = || guests.iter().filter(|guest| !guest.known.load(Ordering::SeqCst));
    // In the order they came, so the first is the oldest.
    let silent = strangers().find(|guest| !guest.heard.load(Ordering::SeqCst));
    let candidates = [(silent, SILENT_PATIENCE), (strangers().next(), PATIENCE)];
    let mut soonest = LONG;
    for (guest, patience) in candidates {
        let Some(guest) = guest else { continue };
        let wait = patience.saturating_sub(guest.since.elapsed());
        if wait.is_zero() {
            guest.push_out();
            return LONG;
        }
        soonest = soonest.min(wait);
    }
    soonest
}

impl Guest {
    /// Its thread sees the connection end, and leaves.
    fn push_out(&self) {
        self.pushed_out.store(true, Ordering::SeqCst);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Place<'_> {
    /// It has said something.
    pub(super) fn heard(&self) {
        self.guest.heard.store(true, Ordering::SeqCst);
    }

    /// It has proven itself; false if it is too late, for it was pushed out meanwhile.
    pub(super) fn known(&self) -> bool {
        // Under the lock, so that nobody is pushed out who has been told to be known.
        let _guests = self.gate.lock();
        self.guest.known.store(true, Ordering::SeqCst);
        !self.was_pushed_out()
    }

    /// Whether the gate has ended the connection.
    pub(super) fn was_pushed_out(&self) -> bool {
        self.guest.pushed_out.load(Ordering::SeqCst)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.lock().retain(|guest| !Arc::ptr_eq(guest, &self.guest));
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn socket() -> Arc<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        Arc::new(TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens"))
    }

    fn crowd(gate: &Gate) -> Vec<Place<'_>> {
        (0..MOST).map(|_| gate.enter(socket())).collect()
    }

    #[test]
    fn the_oldest_of_the_silent_goes_first() {
        let gate = Gate::default();
        let mut places = crowd(&gate);
        places.iter().enumerate().filter(|(index, _)| *index != 3 && *index != 5).for_each(|(_, p)| p.heard());
        assert!(!gate.make_room(Duration::from_millis(20)), "all have just come");
        assert!(!gate.make_room(Duration::from_millis(200)), "nobody has left yet");
        let out: Vec<_> = (0..MOST).filter(|index| places[*index].was_pushed_out()).collect();
        assert_eq!(out, [3]);
        drop(places.remove(3));
        assert!(gate.make_room(Duration::ZERO));
    }

    #[test]
    fn of_those_that_speak_the_oldest_goes_after_a_while_and_the_known_never() {
        let gate = Gate::default();
        let places = crowd(&gate);
        places.iter().for_each(Place::heard);
        assert!(places[0].known());
        assert!(!gate.make_room(Duration::from_millis(50)));
        assert!(!places.iter().any(Place::was_pushed_out), "handshakes are under way");
        gate.make_room(PATIENCE);
        assert!(!places[0].was_pushed_out() && places[1].was_pushed_out());
        assert!(!places[1].known(), "too late");
    }

    #[test]
    fn a_place_that_gets_free_is_seen_at_once() {
        let gate = Gate::default();
        let mut places = crowd(&gate);
        places.iter().for_each(|place| assert!(place.known()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.make_room(Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(20));
            places.pop();
            assert!(waiting.join().expect("no panic"));
        });
    }
}
