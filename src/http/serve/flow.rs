//! A body that is made while it is sent: steps in order, the next few of them under way on the workers.
//!
//! In: a plan, an iterator of [`Step`]s. Out: frames, as hyper asks for them. Each step that is work (reading,
//! digesting, compressing) runs on tokio's blocking pool; up to `ahead` of them at once, in any order, and what they
//! give is sent in the order of the plan. So one response keeps the disk and several processors busy while the socket
//! is being written to, and a client that takes nothing stops its own plan and no worker: nobody waits for a client
//! but its own connection. What a response holds of memory is what `ahead` steps make, and what hyper is writing.
//!
//! When the client goes, the body is dropped: what has not begun is called off, what has is finished and thrown away.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::tuner::Tuner;
use crate::error::{Error, Result, Status};

/// What a step makes: pieces of the body, in order.
pub type Made = Result<Vec<Bytes>>;

/// A piece of a body.
pub enum Step {
    /// It is there already.
    Ready(Bytes),
    /// It is to be made.
    Work(Box<dyn FnOnce() -> Made + Send>),
}

impl Step {
    /// A step that has to be worked for.
    pub fn work(work: impl FnOnce() -> Made + Send + 'static) -> Self {
        Step::Work(Box::new(work))
    }
}

/// The body.
pub struct Flow {
    plan: Box<dyn Iterator<Item = Step> + Send>,
    ahead: usize,
    under_way: VecDeque<UnderWay>,
    made: VecDeque<Bytes>,
    clock: Option<Clock>,
}

/// Tells a tuner who waits for whom.
struct Clock {
    tuner: Arc<Tuner>,
    state: Waiting,
    since: Instant,
}

/// What a body waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    ForWorkers,
    ForSocket,
}

impl Clock {
    /// From now on it waits for this.
    fn turn(&mut self, to: Waiting) {
        let now = Instant::now();
        let time = now.duration_since(self.since);
        match self.state {
            Waiting::ForWorkers => self.tuner.waited(time),
            Waiting::ForSocket => self.tuner.sent(time),
        }
        (self.state, self.since) = (to, now);
    }
}

enum UnderWay {
    Ready(Bytes),
    Working(JoinHandle<Made>),
}

impl Flow {
    /// Follows `plan`, with up to `ahead` steps under way.
    pub fn new(plan: impl Iterator<Item = Step> + Send + 'static, ahead: usize) -> Self {
        Flow {
            plan: Box::new(plan),
            ahead: ahead.max(1),
            under_way: VecDeque::new(),
            made: VecDeque::new(),
            clock: None,
        }
    }

    /// Tells this tuner who waits for whom.
    #[must_use]
    pub fn tuned(mut self, tuner: Arc<Tuner>) -> Self {
        self.clock = Some(Clock { tuner, state: Waiting::ForWorkers, since: Instant::now() });
        self
    }

    /// The next piece; `None` at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        // Asked again, the socket has taken the last piece.
        self.turn(Waiting::ForWorkers);
        let next = self.poll_steps(context);
        if next.is_ready() {
            self.turn(Waiting::ForSocket);
        }
        next
    }

    fn turn(&mut self, to: Waiting) {
        if let Some(clock) = &mut self.clock {
            clock.turn(to);
        }
    }

    fn poll_steps(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some(bytes) = self.made.pop_front() {
                self.begin();
                return Poll::Ready(Some(Ok(bytes)));
            }
            self.begin();
            let made = match self.under_way.front_mut() {
                None => return Poll::Ready(None),
                Some(UnderWay::Ready(bytes)) => Ok(vec![std::mem::take(bytes)]),
                Some(UnderWay::Working(task)) => match ready!(Pin::new(task).poll(context)) {
                    Ok(made) => made,
                    // It panicked, which was reported on standard error.
                    Err(e) => Err(Error::new(Status::Io, "cannot serve", "a worker", e)),
                },
            };
            self.under_way.pop_front();
            self.made.extend(made?);
        }
    }

    /// Begins steps as long as there may be more under way.
    fn begin(&mut self) {
        while self.under_way.len() < self.ahead {
            self.under_way.push_back(match self.plan.next() {
                None => return,
                Some(Step::Ready(bytes)) => UnderWay::Ready(bytes),
                Some(Step::Work(work)) => UnderWay::Working(spawn_blocking(work)),
            });
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        for step in &self.under_way {
            if let UnderWay::Working(task) = step {
                task.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    }

    async fn next(flow: &mut Flow) -> Option<Result<Bytes>> {
        std::future::poll_fn(|context| flow.poll_next(context)).await
    }

    #[test]
    fn pieces_come_in_order_whoever_is_faster() {
        let steps = (0..50u8).map(|number| {
            Step::work(move || {
                std::thread::sleep(Duration::from_millis(u64::from(number % 7)));
                Ok(vec![Bytes::from(vec![number]), Bytes::from(vec![number])])
            })
        });
        let with_ready = steps.flat_map(|step| [step, Step::Ready(Bytes::from_static(b"-"))]);
        runtime().block_on(async {
            let mut flow = Flow::new(with_ready, 5);
            let mut all = Vec::new();
            while let Some(bytes) = next(&mut flow).await {
                all.extend_from_slice(&bytes.expect("it is made"));
            }
            let expected: Vec<u8> = (0..50).flat_map(|number| [number, number, b'-']).collect();
            assert_eq!(all, expected);
        });
    }

    #[test]
    fn no_more_is_under_way_than_may_be() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = begun.clone();
        let steps = std::iter::repeat_with(move || {
            let counter = counter.clone();
            Step::work(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(vec![Bytes::from_static(b"x")])
            })
        });
        runtime().block_on(async {
            let mut flow = Flow::new(steps, 3);
            next(&mut flow).await.expect("endless").expect("it is made");
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(begun.load(Ordering::SeqCst) <= 4, "{begun:?}");
        });
    }

    #[test]
    fn what_fails_ends_the_body_and_a_panic_is_a_failure() {
        let failures: [fn() -> Made; 2] =
            [|| Err(Error::signal(2)), || panic!("on purpose: a worker's panic is its response's alone")];
        for failure in failures {
            runtime().block_on(async {
                let steps = vec![Step::Ready(Bytes::from_static(b"x")), Step::work(failure)];
                let mut flow = Flow::new(steps.into_iter(), 2);
                assert!(next(&mut flow).await.expect("a piece").is_ok());
                assert!(next(&mut flow).await.expect("a failure").is_err());
            });
        }
    }
}
