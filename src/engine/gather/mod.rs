//! Receiving from a sender that must be asked: a server of which the receiver fetches the volume, part by part.
//!
//! In: the volume's used map, and for each connection a [`Fetch`] that brings the parts it is asked for, in pieces
//! with a digest each, or without. Out: a target that is verified, written whole and finished.
//!
//! The [plan] walks the map along the grid and hands out *batches* of parts, the lowest first; holes and what
//! the target holds already are seen to on the way. Each connection's thread ([connection]) takes a batch, has it
//! fetched, and hands each part that has all its pieces ([delivery]) to the [intake], where a worker
//! decompresses and verifies them and finds the zeros ([assemble]). What did not come, or came damaged, is handed out
//! again, to whoever asks next. A volume that cannot be asked for by part comes as one [stream].
//!
//! Memory: the buffers of the workshop; in plan and ledger some 200 bytes for each frame of the window; 16 bytes for
//! each extent of the map. That a target which wants order cannot deadlock is argued in the
//! [engine's page](super#no-deadlock).
//!
//! What ends the run: the target's failure; a server that sends ten times what it was not asked for, or the same part
//! damaged; no part for longer than the patience; and what the run's [`Stop`](crate::stop::Stop) is set to. All
//! else only costs the connection, which is made again.

mod assemble;
mod connection;
mod delivery;
mod plan;
pub mod stream;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::crew::{Blocks, Crew, panicked};
use super::held::Covers;
use super::intake;
use super::ledger::{Bringer, Order};
use super::recv::Receiving;
use crate::error::{Error, Result};
use crate::progress::Stage;
use crate::stop::Stopped;
use crate::usedmap::UsedMap;
use crate::volume::Target;

pub(super) use assemble::Gathered;
pub use assemble::Piece;
pub use delivery::Delivery;
pub use plan::Batch;

use connection::{Connection, Patience};
use plan::{Limits, Plan};

/// The window of a target that takes its parts in any order: what bounds it is the ledger's memory, some 10 MB.
const WIDE_WINDOW: usize = 1 << 16;

/// How a volume is gathered.
pub struct Gathering {
    /// As for any stream. The prelude is made up by the one who asked the server: its digest is the one that pieces
    /// have, or that is recorded for want of one.
    pub receiving: Receiving,
    /// What there is to fetch.
    pub map: Arc<UsedMap>,
    /// The most bytes of the volume in a batch; at least one part is in it.
    pub most_bytes: u64,
    /// The most cells of the grid from a batch's first part to its last.
    pub most_cells: u64,
    /// How long to go on trying when no part comes.
    pub retry_for: Duration,
    /// Says what the user should know while the transfer goes on, as that a connection was lost.
    pub notice: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Fetches batches over one connection, which it makes when it needs it, and makes again when it was lost.
pub trait Fetch: Send {
    /// Fetches the parts of a batch and gives their pieces to `delivery`, in order of offset. Returns when the answer
    /// is at its end; what has not come by then is asked for again.
    ///
    /// # Errors
    /// Why it did not come. After any failure the next call begins with a new connection.
    fn fetch(&mut self, batch: &Batch, delivery: &mut Delivery<'_>) -> Result<(), Failure>;
}

/// Why a batch did not come.
#[derive(Debug)]
pub enum Failure {
    /// It may come when asked for again; no sooner than after this time, if the server said so.
    Passing(Box<Error>, Option<Duration>),
    /// What came cannot be, of a server that is well and on a line that is: ten times, and the run ends.
    Wrong(Box<Error>),
    /// It will not come.
    Final(Box<Error>),
    /// The run has ended, and its reason is known.
    Stopped,
}

impl Failure {
    /// It may come later.
    pub fn passing(error: Error, after: Option<Duration>) -> Self {
        Failure::Passing(Box::new(error), after)
    }

    /// It cannot be.
    pub fn wrong(error: Error) -> Self {
        Failure::Wrong(Box::new(error))
    }

    /// It will not come.
    pub fn last(error: Error) -> Self {
        Failure::Final(Box::new(error))
    }
}

impl From<Stopped> for Failure {
    fn from(Stopped: Stopped) -> Self {
        Failure::Stopped
    }
}

/// Fetches the volume with these connections into `target`, and finishes the target when all of it is verified and
/// written.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`](crate::stop::Stop) was set to. The target is not
/// finished then.
pub fn gather(fetches: Vec<Box<dyn Fetch>>, target: Arc<dyn Target>, gathering: Gathering) -> Result<()> {
    let Gathering { receiving, map, most_bytes, most_cells, retry_for, notice } = gathering;
    let Receiving { figures, stop, workshop, .. } = &receiving;
    // A connection that is stalled amid a part has a buffer.
    let connections = fetches.len().min(workshop.buffers / 2).max(1);
    let window = if target.in_order() { workshop.buffers } else { WIDE_WINDOW };
    let limits = Limits { window, connections, most_bytes, most_cells };
    let plan = Plan::new(map.clone(), receiving.prelude.part_size, receiving.holds.clone(), limits, stop);
    let plan = Arc::new(plan);
    let mut crew = Crew::new(stop);
    let (intake, accounts) = intake::start(&mut crew, &target, &receiving, Order::Window(window), Covers::Data)?;
    figures.threads(Stage::Link, connections);
    figures.set_links(connections as u64);
    let patience = Arc::new(Patience::new(retry_for));
    for (number, fetch) in fetches.into_iter().take(connections).enumerate() {
        let connection = Connection {
            number,
            fetch,
            plan: plan.clone(),
            intake: intake.clone(),
            asker: plan.clone() as Arc<dyn Bringer>,
            map: map.clone(),
            holds: receiving.holds.clone(),
            patience: patience.clone(),
            notice: notice.clone(),
            stop: stop.clone(),
        };
        crew.start("connection", Blocks::OnPipe, move || _ = connection.run())?;
    }
    drop(intake);
    crew.wait()?;
    // Nothing failed, so all is written, unless a worker panicked.
    if !accounts.is_whole(map.size()) {
        return Err(panicked("a worker"));
    }
    stop.check()?;
    target.finish(map.size())
}
