//! `lvpipe attend`: the far side of a migration or a replica, started over ssh, which does what it is told.
//!
//! Orders come through ssh's pipes, one after the other, and so do their answers and each transfer's link 0; the
//! other links come over TCP. When the pipes end, so does this, and what is not kept by then is let go.

mod measuring;
mod migration;
mod replica;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::{RecvTimeoutError, bounded};
use nix::poll::{PollFd, PollFlags, poll};
use serde::Serialize;

use super::links::LinkArgs;
use super::recv::behind_ssh::{Beside, Greeted, greet};
use super::recv::{Arrivals, Recv};
use super::shared::Resources;
use crate::error::{Error, Result, Status};
use crate::link::Link;
use crate::link::ssh::Reply;
use crate::link::turns::Turns;
use crate::migrate::Order;
use crate::stop::Stop;
use crate::wire::Prelude;
use migration::{Migration, consider};

/// How often it is looked whether the sender is still there.
const LOOK: Duration = Duration::from_millis(200);

/// How often the sender hears that an order is still being carried out for which somebody stands still.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Do what `lvpipe migrate`, `lvpipe replicate` or `lvpipe bench` on the other side says: it starts this over ssh
#[derive(Debug, Args)]
pub struct Attend {
    #[command(flatten)]
    both: LinkArgs,

    #[command(flatten)]
    resources: Resources,
}

impl Attend {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        let way_out = "it is for `lvpipe migrate`, `lvpipe replicate` and `lvpipe bench` to start";
        let Greeted { from, to, beside } = greet(way_out, stop)?;
        let pipe = from.try_clone().map_err(|e| Error::io("cannot be started", "stdin", &e))?;
        let commander = Commander { turns: Turns::new(from, to), beside, pipe };
        let mut migration = Migration::new(&self.both, &self.resources, stop);
        // What became of a replica's last transfer.
        let mut received = Ok(());
        while let Some(order) = commander.next_order(stop)? {
            match order {
                Order::Receive { target, create } => {
                    // The sender hears how it ended over the transfer's own links, and decides how to go on.
                    if let Err(error) = self.receive(&commander, target, create, stop) {
                        stop.check().map_err(|_| error)?;
                    }
                }
                Order::Consider { target, create, size, identity } => {
                    commander.answer(consider(&target, create, size, identity.as_deref(), stop), stop)?;
                }
                Order::Round { target, create } => migration.round(&commander, &target, create)?,
                Order::Ready => commander.answer(migration.prepare(), stop)?,
                Order::Switch { done, about } => migration.switch(&commander, done.as_deref(), &about)?,
                Order::End => {
                    migration.end();
                    return commander.answer(Ok(()), stop);
                }
                Order::Measure(wanted) => {
                    commander.answer(self.measure(&commander, &wanted, stop), stop)?;
                }
                Order::Swallow => {
                    // The sender breaks it off when it has seen enough.
                    if let Err(error) = self.swallow(&commander, stop) {
                        stop.check().map_err(|_| error)?;
                    }
                }
                Order::Replica(order) => self.replica(&commander, order, &mut received, stop)?,
            }
        }
        Ok(())
    }

    fn receive(&self, commander: &Commander, target: String, create: bool, stop: &Stop) -> Result<()> {
        let recv = Recv::behind_ssh(target, create, self.both.clone(), self.resources.clone())?;
        receive(commander, &recv, stop)
    }
}

/// Receives the transfer that was announced last. What ends it does not end the run.
fn receive(commander: &Commander, recv: &Recv, stop: &Stop) -> Result<()> {
    let stop = stop.child();
    let arrivals = commander.arrivals(&stop)?;
    recv.receive_links(arrivals, &stop)
}

/// Who gives the orders.
pub(super) struct Commander {
    turns: Turns,
    beside: Beside,
    /// What orders come through, to see whether it is still there.
    pipe: File,
}

impl Commander {
    /// `None` when there are no more.
    fn next_order(&self, stop: &Stop) -> Result<Option<Order>> {
        let heard = self.turns.hear(stop).map_err(|e| lost(&e, stop))?;
        let odd = |_| Error::stream("cannot understand order", "ssh", "it is none that is known");
        heard.map(|order| serde_json::from_slice(&order).map_err(odd)).transpose()
    }

    /// Answers the last order.
    ///
    /// # Errors
    /// When the sender is gone.
    pub(super) fn answer<A: Serialize>(&self, done: Result<A>, stop: &Stop) -> Result<()> {
        self.reply(
            &match done {
                Ok(answer) => Reply::Done(answer),
                Err(error) => Reply::Failed { status: error.status().code(), reason: error.to_string() },
            },
            stop,
        )
    }

    /// Does something, with a sign of life every now and then. Where the sender does not take those, it is no reason to
    /// do it any less.
    fn with_signs_of_life<T>(&self, work: impl FnOnce() -> T) -> T {
        let ended = Stop::new();
        // Not broken off when the work ends just then: what is left of it would be taken for the answer. A pipe has room
        // for an hour of them, and who reads none for so long does not hear the answer either.
        let sign = || self.reply(&Reply::<()>::Working, &Stop::new());
        thread::scope(|scope| {
            scope.spawn(|| while ended.sleep(SIGN_OF_LIFE).is_ok() && sign().is_ok() {});
            let result = work();
            ended.fail(Error::new(Status::Io, "it is over", "", ""));
            result
        })
    }

    fn reply<A: Serialize>(&self, reply: &Reply<A>, stop: &Stop) -> Result<()> {
        let reply = serde_json::to_vec(reply).map_err(|e| lost(&e.into(), stop))?;
        self.turns.say(&reply, stop).map_err(|e| lost(&e, stop))
    }

    /// Whether nothing more can come through ssh: the sender has ended, or ssh has.
    fn has_gone(&self) -> bool {
        let mut ready = [PollFd::new(self.pipe.as_fd(), PollFlags::empty())];
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        poll(&mut ready, 0u8).is_ok_and(|count| count > 0)
            && ready[0].revents().is_some_and(|events| events.intersects(gone))
    }

    /// Does something that fails when the sender is gone, without waiting for links beside ssh to tell.
    fn while_it_is_there<T>(&self, stop: &Stop, work: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            let (working, done) = bounded::<()>(0);
            scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(LOOK) {
                    if self.has_gone() {
                        return stop.fail(Error::new(Status::Io, "sender lost", "ssh", "it has ended"));
                    }
                }
            });
            let result = work();
            drop(working);
            result
        })
    }

    /// The links of the transfer that the last order has announced.
    ///
    /// # Errors
    /// When the sender is gone, or begins no transfer.
    pub(super) fn arrivals(&self, stop: &Stop) -> Result<Arrivals> {
        let mut link: Link = self.turns.link("ssh", stop);
        let prelude = Prelude::read(&mut link.reader).map_err(|e| e.at("ssh", ""))?;
        Ok(Arrivals { first: (link, prelude), more: self.beside.more.clone(), from_ssh: true, listening: None })
    }
}

/// What ended the run is the reason, if something did.
fn lost(why: &io::Error, stop: &Stop) -> Error {
    stop.check().err().unwrap_or_else(|| Error::io("sender lost", "ssh", why))
}
