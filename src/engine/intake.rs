//! What every link's frames go through, be it one pipe or many connections: the ledger, the workers, the sorter, the
//! target's writers.
//!
//! In: frames as [`FrameReader`](super::frame_reader::FrameReader)s read them, each on its link's thread. Out: a
//! target that is written. An [`Intake`] is held by those who read links and by the workers' tasks; when the last of
//! them is gone, the target's writers end. What bounds the memory is said in the [engine's page](super#no-deadlock).

use std::sync::Arc;

use super::accounts::Accounts;
use super::crew::{Blocks, Crew};
use super::decode::{Decoding, Halt};
use super::gather::Gathered;
use super::held::Covers;
use super::ledger::{Bringer, Ledger, Order};
use super::memory::{Buffer, Pool};
use super::recv::Receiving;
use super::sorter::{Content, Incoming, Seat, Sorter};
use super::target_writer::TargetWriter;
use crate::error::Result;
use crate::progress::Stage;
use crate::stop::{Stop, Stopped};
use crate::volume::Target;
use crate::wire::{FrameHeader, FrameKind, Prelude, Segments, WireError};

/// Writes under way at once, on a target that takes them in any order.
pub(super) const WRITERS: usize = 4;

/// From links to the target.
pub(super) struct Intake {
    pub(super) prelude: Prelude,
    pool: Pool,
    workers: rayon::ThreadPool,
    decoding: Decoding,
    sorter: Sorter,
    accounts: Arc<Accounts>,
    stop: Stop,
}

/// Begins with the target and starts those who write it. A sender whose frames come in sequence has no answers, and
/// cannot be asked for anything.
///
/// # Errors
/// When the target cannot take the volume, or threads cannot be started.
pub(super) fn start(
    crew: &mut Crew,
    target: &Arc<dyn Target>,
    receiving: &Receiving,
    order: Order,
    covers: Covers,
) -> Result<(Arc<Intake>, Arc<Accounts>)> {
    let Receiving { prelude, workshop, figures, stop, .. } = receiving;
    match receiving.holds {
        Some(_) => target.resume(prelude.volume_size)?,
        None if prelude.is_delta() => target.begin_delta(prelude.volume_size)?,
        None => target.begin(prelude.volume_size)?,
    }
    let can_ask = matches!(order, Order::Window(_));
    let accounts = Arc::new(Accounts::new(Ledger::new(prelude, order), can_ask, receiving));
    let (sorter, ready) = Sorter::new(workshop.buffers, target.in_order());
    let intake = Arc::new(Intake {
        prelude: prelude.clone(),
        pool: Pool::new(workshop.buffers, workshop.part_size, Some(figures.clone())),
        workers: workshop.hire(stop)?,
        decoding: Decoding {
            digest: prelude.digest,
            scratch: Pool::new(workshop.workers, workshop.part_size, None),
            figures: figures.clone(),
            stop: stop.clone(),
        },
        sorter,
        accounts: accounts.clone(),
        stop: stop.clone(),
    });
    let writers = if target.in_order() { 1 } else { WRITERS.min(workshop.buffers) };
    figures.threads(Stage::Cpu, workshop.workers);
    figures.threads(Stage::Target, writers);
    // A pipe's reader may never come back; a volume's writes do.
    let blocks = if target.in_order() { Blocks::OnPipe } else { Blocks::OnVolume };
    for _ in 0..writers {
        let writer = TargetWriter {
            target: target.clone(),
            accounts: accounts.clone(),
            digest: (prelude.digest, covers),
            figures: figures.clone(),
            stop: stop.clone(),
        };
        let ready = ready.clone();
        crew.start("target", blocks, move || writer.run(&ready))?;
    }
    Ok((intake, accounts))
}

impl Intake {
    /// Whether the frame is here already; see [`Ledger::known`].
    pub(super) fn known(&self, header: &FrameHeader, from: Option<&Arc<dyn Bringer>>) -> Result<bool, WireError> {
        self.accounts.known(header, from)
    }

    /// All of a frame was read over that is here already.
    pub(super) fn came_twice(&self) {
        self.accounts.came_twice();
    }

    /// A buffer to read a payload into.
    pub(super) fn buffer(&self) -> Result<Buffer, Stopped> {
        self.pool.take(&self.stop)
    }

    /// The frame of a range without data was read: a hole, or what is kept.
    pub(super) fn without_data(&self, header: FrameHeader, from: Option<&Arc<dyn Bringer>>) -> Result<(), Halt> {
        if self.accounts.admit(&header, from)? {
            let seat = self.sorter.seat(&self.stop)?;
            self.sorter.put(Incoming { header, content: Content::None, seat }, &self.stop)?;
        }
        Ok(())
    }

    /// A part was read to its end, or a held one, for which the buffer is room.
    pub(super) fn part(
        self: &Arc<Self>,
        header: FrameHeader,
        segments: Segments,
        buffer: Buffer,
        from: Option<&Arc<dyn Bringer>>,
    ) -> Result<(), Halt> {
        if !self.accounts.admit(&header, from)? {
            return Ok(());
        }
        let seat = self.sorter.seat(&self.stop)?;
        if header.kind == FrameKind::Held {
            let content = Content::Held { segments, room: buffer };
            self.sorter.put(Incoming { header, content, seat }, &self.stop)?;
            return Ok(());
        }
        let intake = self.clone();
        self.workers.spawn(move || intake.decode(header, segments, buffer, seat));
        Ok(())
    }

    /// A part was read to its end, and is of no use. Nothing is kept of it but that it came.
    pub(super) fn damaged(
        &self,
        header: &FrameHeader,
        error: WireError,
        from: Option<&Arc<dyn Bringer>>,
    ) -> Result<(), Halt> {
        if self.accounts.admit(header, from)? {
            self.accounts.damaged(header.offset, error);
        }
        Ok(())
    }

    /// All pieces of a part were read into the buffer, one after the other.
    pub(super) fn pieces(
        self: &Arc<Self>,
        part: Gathered,
        buffer: Buffer,
        from: Option<&Arc<dyn Bringer>>,
    ) -> Result<(), Halt> {
        if !self.accounts.admit(&part.header(), from)? {
            return Ok(());
        }
        let seat = self.sorter.seat(&self.stop)?;
        let intake = self.clone();
        self.workers.spawn(move || intake.assemble(&part, buffer, seat));
        Ok(())
    }

    /// Runs on a worker.
    fn assemble(&self, part: &Gathered, buffer: Buffer, seat: Seat) {
        match part.assemble(&self.decoding, buffer, self.accounts.keeps_record()) {
            // Stopped: the run has ended, and its reason is known.
            Ok((header, content)) => _ = self.sorter.put(Incoming { header, content, seat }, &self.stop),
            Err(error) => self.give_up(part.place.offset, error, seat),
        }
    }

    /// Runs on a worker.
    fn decode(&self, header: FrameHeader, segments: Segments, payload: Buffer, seat: Seat) {
        match self.decoding.decode(&header, &segments, payload) {
            Ok(data) => {
                // Stopped: the run has ended, and its reason is known.
                let _ = self
                    .sorter
                    .put(Incoming { header, content: Content::Part { segments, data }, seat }, &self.stop);
            }
            Err(error) => self.give_up(header.offset, error, seat),
        }
    }

    /// A part's buffer is given back already.
    fn give_up(&self, offset: u64, error: Halt, seat: Seat) {
        // As after a write: room first, then the answer that makes the sender use it.
        drop(seat);
        if let Halt::Wire(error) = error {
            self.accounts.damaged(offset, error);
        }
    }
}
