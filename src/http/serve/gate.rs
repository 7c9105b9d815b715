//! How many connections there may be: strangers, who have not shown that they may read, and clients, who have.
//!
//! Strangers never take a client's place. There are at most [`MOST_STRANGERS`] of them; one more waits in the kernel's
//! backlog until the oldest has gone, or has been there for [`NEWCOMER`] and is pushed out. So connections that say
//! nothing, however many, hold nobody up. Clients are at most as many as the user says, each of them with the memory
//! of one response.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Connections that have not shown the token yet.
pub const MOST_STRANGERS: usize = 64;
/// A stranger younger than this is not pushed out: its handshake is under way.
const NEWCOMER: Duration = Duration::from_millis(500);

/// Who is there.
pub struct Gate {
    most_clients: usize,
    inside: Mutex<Inside>,
    left: Notify,
}

#[derive(Default)]
struct Inside {
    next: u64,
    strangers: VecDeque<Stranger>,
    clients: usize,
}

struct Stranger {
    number: u64,
    since: Instant,
    task: Option<AbortHandle>,
}

impl Gate {
    /// Lets in so many clients.
    pub fn new(most_clients: usize) -> Arc<Self> {
        Arc::new(Gate { most_clients, inside: Mutex::default(), left: Notify::new() })
    }

    /// Waits until there is room for a stranger. The oldest may be pushed out for it; whether one was.
    pub async fn make_room(&self) -> bool {
        let mut pushed = false;
        loop {
            let left = self.left.notified();
            let wait = {
                let inside = self.lock();
                if inside.strangers.len() < MOST_STRANGERS {
                    return pushed;
                }
                let oldest = inside.strangers.front();
                let wait = oldest.map_or(NEWCOMER, |oldest| NEWCOMER.saturating_sub(oldest.since.elapsed()));
                if wait.is_zero()
                    && let Some(task) = oldest.and_then(|oldest| oldest.task.as_ref())
                {
                    task.abort();
                    pushed = true;
                }
                wait.max(Duration::from_millis(20))
            };
            // Dropped, an aborted connection's place notifies.
            let _ = tokio::time::timeout(wait, left).await;
        }
    }

    /// Takes a stranger in.
    pub fn enter(self: &Arc<Self>) -> Place {
        let mut inside = self.lock();
        inside.next += 1;
        let number = inside.next;
        inside.strangers.push_back(Stranger { number, since: Instant::now(), task: None });
        Place { gate: self.clone(), number, is_client: false }
    }

    /// Says which task a stranger's is, for it to be pushed out by.
    pub fn attach(&self, number: u64, task: AbortHandle) {
        // It may have gone already, or be a client.
        if let Some(stranger) = self.lock().strangers.iter_mut().find(|stranger| stranger.number == number) {
            stranger.task = Some(task);
        }
    }

    /// How many clients and how many strangers there are.
    pub fn count(&self) -> (usize, usize) {
        let inside = self.lock();
        (inside.clients, inside.strangers.len())
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; free again when dropped.
pub struct Place {
    gate: Arc<Gate>,
    number: u64,
    is_client: bool,
}

impl Place {
    /// For [`Gate::attach`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// It has shown that it may read; whether there is room for another client.
    pub fn become_client(&mut self) -> bool {
        if self.is_client {
            return true;
        }
        let mut inside = self.gate.lock();
        if inside.clients >= self.gate.most_clients {
            return false;
        }
        inside.clients += 1;
        inside.strangers.retain(|stranger| stranger.number != self.number);
        self.is_client = true;
        drop(inside);
        self.gate.left.notify_one();
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        if self.is_client {
            inside.clients -= 1;
        } else {
            inside.strangers.retain(|stranger| stranger.number != self.number);
        }
        drop(inside);
        self.gate.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test);
    }

    #[test]
    fn clients_are_bounded_and_strangers_do_not_count() {
        let gate = Gate::new(2);
        let mut places: Vec<Place> = (0..10).map(|_| gate.enter()).collect();
        let admitted = places.iter_mut().filter_map(|place| place.become_client().then_some(())).count();
        assert_eq!((admitted, gate.count()), (2, (2, 8)));
        assert!(places[0].become_client(), "it is one already");
        drop(places.remove(0));
        assert!(places[5].become_client());
        drop(places);
        assert_eq!(gate.count(), (0, 0));
    }

    #[test]
    fn the_oldest_stranger_is_pushed_out_and_not_before_its_time() {
        run(async {
            let gate = Gate::new(1);
            let mut tasks = Vec::new();
            for _ in 0..MOST_STRANGERS {
                let place = gate.enter();
                let number = place.number();
                let task = tokio::spawn(async move {
                    let _place = place;
                    std::future::pending::<()>().await;
                });
                gate.attach(number, task.abort_handle());
                tasks.push(task);
            }
            let began = Instant::now();
            assert!(gate.make_room().await);
            assert!(began.elapsed() >= NEWCOMER.mul_f64(0.9), "{:?}", began.elapsed());
            assert!(tasks.remove(0).await.is_err_and(|e| e.is_cancelled()));
            assert_eq!(gate.count(), (0, MOST_STRANGERS - 1));
            assert!(!gate.make_room().await, "there is room");
        });
    }
}
