//! Sending over links to one or several receivers that answer.
//!
//! The stages up to the sequence of frames are those of every sender. From there each frame goes into the [`outbox`]
//! of every receiver, where the [links](carry) of that receiver take it, whichever is free. A frame, and the buffer it
//! is in, is kept until all receivers have written it: what is on its way is bounded by the run's buffers, and a
//! receiver that is slow slows the others down. A receiver that fails is left behind.
//!
//! Nothing waits in a circle: links wait for frames, for the receiver, or for its answers, which come on a thread of
//! their own that never waits for anything but the link; the sequence waits for room in the outboxes, which the
//! answers make.
//!
//! A receiver that was started again in the middle has another incarnation and knows what its journal says. Then the
//! pass ends and the source, which is still open and still the same, is gone through once more: what the receiver
//! holds is only compared.

mod carry;
mod flying;
mod greet;
mod growth;
mod guard;
mod outbox;
mod peer;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::crew::{Blocks, Crew, panicked};
use super::held_at_target::HeldAtTarget;
use super::rate::Rate;
use super::send::{Input, Production, Sending};
use super::sequence::{Frame, FrameSink};
use crate::error::{Error, Result, Status};
use crate::link::{Dial, Link};
use crate::progress::Figures;
use crate::stop::{Stop, Stopped};
use crate::wire::{End, FrameHeader, Prelude, Welcome};
use greet::{Greeted, Unmet, greet};
pub use growth::LinkCount;
use outbox::SharedFrame;
use peer::{Ended, NewPeer, Peer};

/// How long the first link is tried for: a connection may break at once, a receiver be just starting; but a wrong
/// address is to be known soon.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

/// How links are used.
#[derive(Clone)]
pub struct Terms {
    /// How many to each receiver.
    pub links: LinkCount,
    /// How long to try for a link when there is none left.
    pub retry_for: Duration,
    /// How long nothing may come over a link.
    pub stall: Duration,
    /// A limit for all links together, if any.
    pub rate: Option<Arc<Rate>>,
    /// What the user should know at once: a receiver that failed while others go on, a port that is closed.
    pub notice: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What became of a transfer to several receivers.
pub struct Sent {
    /// What was sent.
    pub end: End,
    /// The receivers that do not have it, and why.
    pub failed: Vec<Error>,
}

impl Sent {
    /// What was sent, if every receiver has it.
    ///
    /// # Errors
    /// What the last of those failed with that do not.
    pub fn by_all(mut self) -> Result<End> {
        self.failed.pop().map_or(Ok(self.end), Err)
    }
}

/// Sends `input` to all receivers that `dials` lead to; two dials may be two ways to one receiver. Returns when every
/// receiver has it on stable storage, or failed.
///
/// # Errors
/// The first failure of any stage; where no receiver is left, what the last one failed with; or what the run's
/// [`Stop`] was set to.
pub fn send_over(input: Input, dials: &[Arc<dyn Dial>], sending: Sending, terms: &Terms) -> Result<Sent> {
    let mut again = match &input {
        Input::Volume { source, map, discarded } => Some((source.clone(), map.clone(), discarded.clone())),
        // What was read from a pipe is gone.
        Input::Stream(_) => None,
    };
    let mut input = Some(input);
    let mut successor = None;
    loop {
        let pass = Pass { dials, terms, stop: sending.stop.child() };
        let this = Sending { stop: pass.stop.clone(), ..sending.again() };
        // The first pass takes the input itself, later ones what is kept of it.
        let input = match (input.take(), &mut again) {
            (Some(input), _) => input,
            (None, Some((source, map, discarded))) => {
                Input::Volume { source: source.clone(), map: map.clone(), discarded: discarded.clone() }
            }
            (None, None) => return Err(restarted(dials)),
        };
        match pass.run(input, this, successor)? {
            Outcome::Sent(sent) => return Ok(sent),
            Outcome::Restarted(greeted) => {
                (terms.notice)("the receiver was started again: going on with what it has");
                sending.figures.restart();
                successor = Some(greeted);
            }
        }
    }
}

fn restarted(dials: &[Arc<dyn Dial>]) -> Error {
    let name = dials.first().map(|dial| dial.name()).unwrap_or_default();
    Error::new(Status::Io, "receiver lost", name, "it was started again, and a stream cannot be sent twice")
}

/// Once through the source.
struct Pass<'a> {
    dials: &'a [Arc<dyn Dial>],
    terms: &'a Terms,
    stop: Stop,
}

/// How a pass ended.
enum Outcome {
    Sent(Sent),
    /// The receiver was started again: a link to it.
    Restarted(Greeted),
}

impl Pass<'_> {
    /// Goes through the source. `successor` is the link to a receiver that was started again.
    fn run(&self, input: Input, mut sending: Sending, successor: Option<Greeted>) -> Result<Outcome> {
        let figures = sending.figures.clone();
        let all_up = Arc::default();
        let new = |dials, welcome| NewPeer {
            dials,
            prelude: sending.prelude.clone(),
            welcome,
            terms: self.terms.clone(),
            figures: figures.clone(),
            stop: self.stop.clone(),
            all_up: Arc::clone(&all_up),
        };
        let (met, mut failed) = match successor {
            None => self.meet(&sending.prelude, new)?,
            // There was only this one, and all ways led to it.
            Some(greeted) => (vec![Met::new(greeted, |welcome| new(self.dials.to_vec(), welcome))], Vec::new()),
        };
        sending.held = common(&met);
        let mut crew = Crew::new(&self.stop);
        let (production, steady_source) = Production::start(&mut crew, input, sending)?;
        let (everyone, links): (Vec<_>, Vec<_>) =
            met.into_iter().map(|met| (Arc::new(Peer::new(met.new)), met.links)).unzip();
        let sink = SpreadSink { peers: everyone.clone(), figures };
        let end = Arc::new(Mutex::new(None));
        let totals = end.clone();
        crew.start("spread", Blocks::OnPipe, move || {
            if let Ok(sent) = production.run(sink) {
                *totals.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
            }
        })?;
        for (peer, links) in everyone.clone().into_iter().zip(links) {
            let (stop, everyone, notice) = (self.stop.clone(), everyone.clone(), self.terms.notice.clone());
            crew.start("receiver", Blocks::OnVolume, move || {
                peer.run(links);
                end_if_none_is_left(&everyone, &stop);
                match peer.outcome() {
                    _ if stop.is_set() => {}
                    Some(Ended::Failed(error)) => (notice)(&error.to_string()),
                    Some(Ended::Restarted) if everyone.len() > 1 => (notice)(&left_behind(&peer).to_string()),
                    _ => {}
                }
            })?;
        }
        let done = crew.wait();
        drop(steady_source);
        let outcomes: Vec<Option<Ended>> = everyone.iter().map(|peer| peer.outcome()).collect();
        if let ([Some(Ended::Restarted)], Some(greeted)) = (&outcomes[..], everyone[0].successor()) {
            return Ok(Outcome::Restarted(greeted));
        }
        done?;
        for (peer, outcome) in everyone.iter().zip(outcomes) {
            match outcome {
                Some(Ended::Done) => {}
                Some(Ended::Failed(error)) => failed.push(error),
                Some(Ended::Restarted) => failed.push(left_behind(peer)),
                None => return Err(panicked("a worker")),
            }
        }
        let end = end.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| panicked("a worker"))?;
        Ok(Outcome::Sent(Sent { end, failed }))
    }

    /// Makes the first link of every dial, and finds out which of them lead to one receiver.
    fn meet(
        &self,
        prelude: &Prelude,
        new: impl Fn(Vec<Arc<dyn Dial>>, Welcome) -> NewPeer,
    ) -> Result<(Vec<Met>, Vec<Error>)> {
        let (greeted, mut failed) = self.greet_all(prelude)?;
        let mut met: Vec<Met> = Vec::new();
        for (dial, greeted) in greeted {
            let incarnation = greeted.welcome.incarnation;
            match met.iter_mut().find(|met| met.new.welcome.incarnation == incarnation) {
                Some(met) => {
                    met.new.dials.push(dial.clone());
                    met.links.push((greeted.number, greeted.link));
                }
                None => met.push(Met::new(greeted, |welcome| new(vec![dial.clone()], welcome))),
            }
        }
        match failed.pop() {
            Some(error) if met.is_empty() => Err(error),
            last => {
                failed.extend(last);
                failed.iter().for_each(|error| (self.terms.notice)(&error.to_string()));
                Ok((met, failed))
            }
        }
    }

    /// One link for every dial, one after the other, for several ssh may ask for passwords on one terminal. Who is
    /// met meanwhile hears every now and then that the sender is there.
    fn greet_all(&self, prelude: &Prelude) -> Result<(Vec<Introduced<'_>>, Vec<Error>)> {
        let mut failed = Vec::new();
        let greeted = thread::scope(|scope| -> Result<Vec<_>> {
            let (meeting, all_met) = bounded::<()>(0);
            let mut waiting = Vec::new();
            for (turn, dial) in (0u16..).zip(self.dials) {
                // Two ways to one receiver have different numbers there.
                let number = if dial.is_standby(0) { 0 } else { turn };
                match self.greet_first(&**dial, number, prelude) {
                    Ok(greeted) => {
                        let all_met = all_met.clone();
                        waiting.push((dial, scope.spawn(move || with_signs_of_life(greeted, &all_met))));
                    }
                    Err(error) => {
                        self.stop.check()?;
                        failed.push(error);
                    }
                }
            }
            drop(meeting);
            // One that panicked has said so, and its receiver is lost.
            Ok(waiting.into_iter().filter_map(|(dial, link)| Some((dial, link.join().ok()?))).collect())
        })?;
        Ok((greeted, failed))
    }

    /// The first link to a receiver. An ssh that fails is not started again: it may ask for a password each time.
    fn greet_first(&self, dial: &dyn Dial, number: u16, prelude: &Prelude) -> Result<Greeted> {
        let begun = Instant::now();
        loop {
            let (error, is_said) = match greet(dial, number, prelude, self.terms.stall, &self.stop) {
                Ok(greeted) => return Ok(greeted),
                Err(Unmet::NoLink(error)) => (error, false),
                Err(Unmet::Refused(error)) => (error, true),
            };
            let may_pass = !is_said && error.status() == Status::Io && !dial.is_standby(number);
            let time = FIRST_PATIENCE.min(self.terms.retry_for);
            if !may_pass || begun.elapsed() >= time || self.stop.sleep(Duration::from_millis(200)).is_err() {
                return Err(error);
            }
        }
    }
}

/// How often a receiver that waits for the others to be met hears of the sender.
const SIGN_EVERY: Duration = Duration::from_millis(500);

/// Tells the receiver that the sender is there until all are met.
fn with_signs_of_life(mut greeted: Greeted, all_met: &Receiver<()>) -> Greeted {
    while let Err(RecvTimeoutError::Timeout) = all_met.recv_timeout(SIGN_EVERY) {
        let writer = &mut greeted.link.writer;
        if writer.write_all(&FrameHeader::alive().encode()).and_then(|()| writer.flush()).is_err() {
            // It is made again when the frames begin.
            break;
        }
    }
    greeted
}

/// A dial, and the link that it made.
type Introduced<'a> = (&'a Arc<dyn Dial>, Greeted);

/// A receiver that was met.
struct Met {
    new: NewPeer,
    links: Vec<(u16, Link)>,
    held: HeldAtTarget,
}

impl Met {
    fn new(greeted: Greeted, new: impl FnOnce(Welcome) -> NewPeer) -> Self {
        let Greeted { link, number, welcome, have } = greeted;
        Met { new: new(welcome), links: vec![(number, link)], held: HeldAtTarget::new(have) }
    }
}

/// What all receivers hold: only that need not be sent.
fn common(met: &[Met]) -> HeldAtTarget {
    let mut all = met.iter().map(|met| met.held.clone());
    let first = all.next().unwrap_or_default();
    all.fold(first, |common, held| common.intersection(&held))
}

fn left_behind(peer: &Peer) -> Error {
    Error::new(Status::Io, "receiver lost", &peer.name, "it was started again, while others go on")
}

/// The run ends with the last receiver that fails; without one that was lost it ends by itself.
fn end_if_none_is_left(peers: &[Arc<Peer>], stop: &Stop) {
    let outcomes: Vec<_> = peers.iter().map(|peer| peer.outcome()).collect();
    let all_failed = outcomes.iter().all(|outcome| matches!(outcome, Some(Ended::Failed(_) | Ended::Restarted)));
    if !all_failed {
        return;
    }
    let last = outcomes.into_iter().rev().find_map(|outcome| match outcome {
        Some(Ended::Failed(error)) => Some(error),
        _ => None,
    });
    stop.fail(last.unwrap_or_else(|| Error::new(Status::Io, "receiver lost", "", "it was started again")));
}

/// Puts frames into every receiver's outbox.
struct SpreadSink {
    peers: Vec<Arc<Peer>>,
    figures: Arc<Figures>,
}

impl FrameSink for SpreadSink {
    fn frame(&mut self, frame: Frame) -> Result<(), Stopped> {
        let frame = SharedFrame::new(frame, &self.figures);
        self.peers.iter().for_each(|peer| peer.outbox.offer(&frame));
        Ok(())
    }

    fn end(&mut self, end: End, size: u64) -> Result<(), Stopped> {
        self.peers.iter().for_each(|peer| peer.outbox.end(end, size));
        Ok(())
    }
}
