//! Receiving from a pipe: one link, one way, its frames in order of offset.
//!
//! Nobody can be asked for anything here, so the first damage ends the run. Over links that go both ways see
//! [`collect`](super::collect).

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use super::accounts::Accounts;
use super::crew::{Blocks, Crew, panicked};
use super::decode::Halt;
use super::frame_reader::{Event, FrameReader};
use super::held::Covers;
use super::intake;
use super::ledger::Order;
use super::memory::Workshop;
use super::pulse::{Counted, Pulse};
use super::record::{Holds, Record};
use super::tally::Received;
use crate::error::Result;
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::volume::Target;
use crate::wire::{End, FrameHeader, Prelude, WireError};

/// How a stream is received.
pub struct Receiving {
    /// What the link said first.
    pub prelude: Prelude,
    /// Where frames come from, for messages.
    pub stream: String,
    /// Workers and buffers.
    pub workshop: Workshop,
    /// Where it is kept what is written, if anywhere.
    pub record: Option<Arc<dyn Record>>,
    /// What the target holds of an earlier transfer. Then the target resumes, and held parts are compared.
    pub holds: Option<Arc<dyn Holds>>,
    /// What is counted.
    pub figures: Arc<Figures>,
    /// What ends the run early.
    pub stop: Stop,
}

/// Receives what follows the prelude on `link` into `target`, and finishes the target when all of it is verified.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`] was set to. The target is not finished then.
pub fn recv(link: impl Read + Send + 'static, target: Arc<dyn Target>, receiving: Receiving) -> Result<Received> {
    let Receiving { figures, stop, .. } = &receiving;
    let mut crew = Crew::new(stop);
    let (intake, accounts) =
        intake::start(&mut crew, &target, &receiving, Order::Sequential, Covers::TableAndData)?;
    figures.threads(Stage::Link, 1);
    figures.set_links(1);
    let link = Counted { link, figures: figures.clone(), pulse: Arc::new(Pulse::default()) };
    let reader = FrameReader { link, intake, from: None };
    let last = Arc::new(Mutex::new(None));
    let read = LinkThread { accounts: accounts.clone(), stream: receiving.stream.clone(), stop: stop.clone() };
    let result = last.clone();
    crew.start("link", Blocks::OnPipe, move || {
        if let Ok(end) = read.run(reader) {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        }
    })?;
    crew.wait()?;
    let last = last.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Nothing failed, so all that came before the end frame is written, unless a worker panicked.
    let Some((header, end)) = last.filter(|_| accounts.all_written()) else { return Err(panicked("a worker")) };
    let received = accounts.finish(&header, end)?;
    figures.set_volume(Some(received.size));
    stop.check()?;
    target.finish(received.size)?;
    Ok(received)
}

/// What the link's thread needs besides its reader.
struct LinkThread {
    accounts: Arc<Accounts>,
    stream: String,
    stop: Stop,
}

impl LinkThread {
    /// Reads to the end frame; says what is wrong with the stream where something is.
    fn run(self, mut reader: FrameReader<impl Read>) -> Result<(FrameHeader, End), Stopped> {
        loop {
            let error = match reader.next() {
                Ok(Event::Frame) => continue,
                Ok(Event::End(header, end)) => return Ok((header, end)),
                // Not on a pipe: the header would not have been believed.
                Ok(Event::Abort(_)) => WireError::Field { what: "kind of a frame on a pipe", value: 6 },
                Err(Halt::Stopped) => return Err(Stopped),
                Err(Halt::Wire(error)) => error,
            };
            let at = format_args!("at offset {} of the volume", self.accounts.reached());
            self.stop.fail(error.at(&self.stream, at));
            return Err(Stopped);
        }
    }
}
