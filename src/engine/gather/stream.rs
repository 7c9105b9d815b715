//! A volume that comes as one stream of bytes, with nothing known of it but perhaps its length: from a server that
//! cannot be asked for a part of it.
//!
//! One thread reads it part by part into buffers; workers look for zeros, and make digests where a record is kept.
//! Nothing comes twice and nothing can be asked for again: what the connection loses, the reader makes good below.

use std::sync::{Arc, Mutex, PoisonError};

use super::assemble::{Gathered, Piece};
use crate::engine::crew::{Blocks, Crew, panicked};
use crate::engine::decode::Halt;
use crate::engine::held::Covers;
use crate::engine::intake::{self, Intake};
use crate::engine::ledger::Order;
use crate::engine::recv::Receiving;
use crate::error::Result;
use crate::progress::Stage;
use crate::stop::{Stop, Stopped};
use crate::usedmap::Extent;
use crate::volume::Target;
use crate::wire::Codec;

/// Where the bytes come from, in order.
pub trait Bytes: Send {
    /// Fills some of `into`, which is not empty; how much. 0 is the end, and only where all has come.
    ///
    /// # Errors
    /// When no more can come.
    fn read(&mut self, into: &mut [u8]) -> Result<usize>;
}

/// Receives the stream into `target`, and finishes the target when all has come; how many bytes that were. The
/// prelude's volume size is the stream's, where it is known.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`] was set to. The target is not finished then.
pub fn gather_stream(bytes: impl Bytes + 'static, target: Arc<dyn Target>, receiving: Receiving) -> Result<u64> {
    let Receiving { figures, stop, .. } = &receiving;
    let mut crew = Crew::new(stop);
    let (intake, accounts) = intake::start(&mut crew, &target, &receiving, Order::Sequential, Covers::Data)?;
    figures.threads(Stage::Link, 1);
    figures.set_links(1);
    let reader = Reader { bytes, intake, stop: stop.clone() };
    let length = Arc::new(Mutex::new(None));
    let result = length.clone();
    crew.start("connection", Blocks::OnPipe, move || {
        if let Ok(end) = reader.run() {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        }
    })?;
    crew.wait()?;
    let length = length.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(length) = length.filter(|length| accounts.is_whole(*length)) else { return Err(panicked("a worker")) };
    figures.set_volume(Some(length));
    stop.check()?;
    target.finish(length)?;
    Ok(length)
}

struct Reader<B> {
    bytes: B,
    intake: Arc<Intake>,
    stop: Stop,
}

impl<B: Bytes> Reader<B> {
    /// Reads to the end; how far that is.
    fn run(mut self) -> Result<u64, Stopped> {
        let part_size = self.intake.prelude.part_size.bytes();
        let mut offset = 0;
        loop {
            let mut buffer = self.intake.buffer()?;
            let filled = self.fill(&mut buffer[..part_size])?;
            if filled == 0 {
                return Ok(offset);
            }
            let place = Extent { offset, length: filled as u64 };
            let piece = Piece { place, coded: place.length, codec: Codec::None, digest: None };
            let part = Gathered { place, pieces: vec![piece], map: None };
            self.intake.pieces(part, buffer, None).map_err(|halt| {
                if let Halt::Wire(error) = halt {
                    self.stop.fail(error.at("the stream", ""));
                }
                Stopped
            })?;
            offset = place.end();
        }
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<usize, Stopped> {
        let mut filled = 0;
        while filled < into.len() {
            match self.bytes.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) => {
                    self.stop.fail(error);
                    return Err(Stopped);
                }
            }
        }
        Ok(filled)
    }
}
