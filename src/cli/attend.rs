//! `lvpipe attend`: the far side of a migration, a replica or a benchmark, started over ssh, which does what it is told.
//!
//! Orders come through ssh's pipes, one after the other, and so do their answers and each transfer's link 0; the
//! other links come over TCP. When the pipes end, so does this, and what is not kept by then is let go.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::{RecvTimeoutError, bounded};
use serde::Serialize;

use super::links::LinkArgs;
use super::recv::behind_ssh::{Beside, Greeted, greet};
use super::recv::{Arrivals, RETRY_BEHIND_SSH, Recv};
use super::shared::{Resources, random_id};
use crate::engine::Work;
use crate::engine::collect::{Collecting, collect};
use crate::engine::recv::Receiving;
use crate::error::{Error, Result};
use crate::link::Link;
use crate::link::ssh::Reply;
use crate::link::turns::Turns;
use crate::measure::far::Wanted;
use crate::measure::figures::FarFigures;
use crate::migrate::Order;
use crate::progress::{Figures, Role};
use crate::stop::Stop;
use crate::volume::NullTarget;
use crate::wire::Prelude;

/// How often it is looked whether the sender is there.
const LOOK: Duration = Duration::from_millis(100);

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
        let commander = Commander { turns: Turns::new(from, to), beside };
        while let Some(order) = commander.next_order(stop)? {
            match order {
                Order::Receive { target, create } => {
                    // The sender hears how it ended over the transfer's own links, and decides how to go on.
                    if let Err(error) = self.receive(&commander, target, create, stop) {
                        stop.check().map_err(|_| error)?;
                    }
                }
                Order::Measure(wanted) => {
                    commander.answer(commander.attended(stop, |stop| self.measure(&wanted, stop)), stop)?;
                }
                Order::Swallow => {
                    // The sender breaks it off when it has seen enough.
                    if let Err(error) = self.swallow(&commander, stop) {
                        stop.check().map_err(|_| error)?;
                    }
                }
                Order::End => return commander.answer(Ok(()), stop),
            }
        }
        Ok(())
    }

    fn receive(&self, commander: &Commander, target: String, create: bool, stop: &Stop) -> Result<()> {
        let stop = stop.child();
        let arrivals = commander.arrivals(&stop)?;
        let recv = Recv::behind_ssh(target, create, self.both.clone(), self.resources.clone())?;
        recv.receive_links(arrivals, &stop)
    }

    fn measure(&self, wanted: &Wanted, stop: &Stop) -> Result<FarFigures> {
        let workshop = self.resources.workshop(wanted.part_size()?, Work::CompressAdaptively)?;
        wanted.measure(&workshop, stop)
    }

    /// Receives a transfer into nothing.
    fn swallow(&self, commander: &Commander, stop: &Stop) -> Result<()> {
        let stop = stop.child();
        let Arrivals { first: (link, prelude), more, .. } = commander.arrivals(&stop)?;
        let receiving = Receiving {
            workshop: self.resources.workshop(prelude.part_size, Work::Decompress)?,
            prelude,
            stream: link.name.clone(),
            record: None,
            holds: None,
            figures: Figures::new(Role::Recv),
            stop,
        };
        let collecting = Collecting {
            receiving,
            incarnation: random_id("cannot begin")?,
            stall: self.both.stall_timeout(),
            retry_for: RETRY_BEHIND_SSH,
            notice: Box::new(|_| {}),
        };
        collect(link, more, Arc::new(NullTarget::default()), collecting).map(drop)
    }
}

/// Who gives the orders.
pub(super) struct Commander {
    turns: Turns,
    beside: Beside,
}

impl Commander {
    /// `None` when there are no more.
    fn next_order(&self, stop: &Stop) -> Result<Option<Order>> {
        let heard = self.turns.hear(stop).map_err(|e| lost(&e, stop))?;
        let odd = |_| Error::stream("cannot understand order", "ssh", "it is none that is known");
        heard.map(|order| serde_json::from_slice(&order).map_err(odd)).transpose()
    }

    /// Does what takes its time before it can be answered; it ends when the sender is gone.
    fn attended<T>(&self, stop: &Stop, work: impl FnOnce(&Stop) -> Result<T>) -> Result<T> {
        let stop = stop.child();
        thread::scope(|scope| {
            let (working, done) = bounded::<()>(0);
            scope.spawn({
                let stop = stop.clone();
                move || {
                    while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(LOOK) {
                        if self.turns.has_ended() {
                            return stop.fail(lost(&io::ErrorKind::BrokenPipe.into(), &stop));
                        }
                    }
                }
            });
            let done = work(&stop);
            drop(working);
            done
        })
    }

    /// Answers the last order.
    ///
    /// # Errors
    /// When the sender is gone.
    pub(super) fn answer<A: Serialize>(&self, done: Result<A>, stop: &Stop) -> Result<()> {
        let reply = match done {
            Ok(answer) => Reply::Done(answer),
            Err(error) => Reply::Failed { status: error.status().code(), reason: error.to_string() },
        };
        let reply = serde_json::to_vec(&reply).map_err(|e| lost(&e.into(), stop))?;
        self.turns.say(&reply, stop).map_err(|e| lost(&e, stop))
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
