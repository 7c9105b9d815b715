//! One connection's thread: takes tasks from the plan until all is written.
//!
//! What goes wrong with its connection is its own matter: the parts that did not come are given back, it waits a
//! little, longer each time, and asks for the next batch, which makes a new connection. Only when no connection has
//! brought a part for as long as the patience lasts, the run ends.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::plan::{Batch, Plan, Task};
use super::{Failure, Fetch};
use crate::engine::decode::Halt;
use crate::engine::intake::Intake;
use crate::engine::ledger::Bringer;
use crate::engine::record::Holds;
use crate::error::Error;
use crate::stop::{Stop, Stopped};
use crate::usedmap::{Extent, UsedMap};
use crate::wire::{Codec, FrameHeader, SegmentKind, Segments};

/// The first wait before a new attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Answers that cannot be, from a server that is well, until it is not believed any more.
const MOST_WRONG: u32 = 10;

/// What the thread works with.
pub(super) struct Connection {
    pub(super) number: usize,
    pub(super) fetch: Box<dyn Fetch>,
    pub(super) plan: Arc<Plan>,
    pub(super) intake: Arc<Intake>,
    /// The plan, as who is told what became of the parts.
    pub(super) asker: Arc<dyn Bringer>,
    pub(super) map: Arc<UsedMap>,
    pub(super) holds: Option<Arc<dyn Holds>>,
    pub(super) patience: Arc<Patience>,
    pub(super) notice: Arc<dyn Fn(&str) + Send + Sync>,
    pub(super) stop: Stop,
}

/// Since when nothing has come, over any connection.
pub(super) struct Patience {
    lasts: Duration,
    last: Mutex<Instant>,
    /// How often something came that cannot be.
    wrong: AtomicU32,
}

impl Patience {
    /// Begins now.
    pub(super) fn new(lasts: Duration) -> Self {
        Patience { lasts, last: Mutex::new(Instant::now()), wrong: AtomicU32::new(0) }
    }

    /// A part has come.
    pub(super) fn something_came(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How much of it is left.
    fn left(&self) -> Duration {
        self.lasts.saturating_sub(self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed())
    }
}

/// What came of a request.
enum Came {
    /// Parts, if not all.
    Something,
    /// Something else than what was asked for.
    Wrong,
    Nothing,
}

impl Connection {
    /// Runs until all is written, or the run has ended; then why is known.
    pub(super) fn run(mut self) -> Result<(), Stopped> {
        let mut pause = FIRST_PAUSE;
        while let Some(task) = self.plan.next()? {
            match task {
                Task::Hole(hole) => self.hole(hole)?,
                Task::Held(part) => self.held(part)?,
                Task::Fetch { holes, batch } => {
                    holes.into_iter().try_for_each(|hole| self.hole(hole))?;
                    match self.fetch(&batch)? {
                        Came::Something => pause = FIRST_PAUSE,
                        Came::Wrong => self.plan.pause(FIRST_PAUSE)?,
                        Came::Nothing => {
                            self.plan.pause(pause.min(self.patience.left()))?;
                            pause = (2 * pause).min(LONGEST_PAUSE);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Fetches a batch, as far as it comes.
    fn fetch(&mut self, batch: &Batch) -> Result<Came, Stopped> {
        let mut delivery = Delivery::new((&self.intake, &self.asker), &self.map, &self.patience, batch);
        let fetched = self.fetch.fetch(batch, &mut delivery);
        let Delivery { missing, filling, from, .. } = delivery;
        let came = batch.parts.len() - missing.len();
        let first_missing = missing.front().copied();
        // Its buffer is free before the part is another connection's.
        drop(filling);
        self.plan.give_back(missing);
        let is_wrong = matches!(fetched, Ok(()) | Err(Failure::Wrong(_)));
        let (error, after) = match (fetched, first_missing) {
            (Ok(()), None) => return Ok(Came::Something),
            (Ok(()), Some(part)) => {
                let why = format!("its answer lacks the part at offset {}", part.offset);
                let error = Error::stream("the server leaves something out", from, why);
                (self.count_wrong(error)?, None)
            }
            (Err(Failure::Wrong(error)), _) => (self.count_wrong(*error)?, None),
            (Err(Failure::Passing(error, after)), _) => (*error, after),
            (Err(Failure::Final(error)), _) => {
                self.stop.fail(*error);
                return Err(Stopped);
            }
            (Err(Failure::Stopped), _) => return Err(Stopped),
        };
        if self.patience.left().is_zero() {
            self.stop.fail(error);
            return Err(Stopped);
        }
        // A server that is restarted, or is full, is asked often: once is enough to say.
        if came > 0 || self.is_news() {
            (self.notice)(&format!("connection {}: {error}; trying again", self.number + 1));
        }
        if let Some(after) = after {
            self.plan.pause(after.min(self.patience.left()))?;
        }
        Ok(match is_wrong {
            true => Came::Wrong,
            false if came > 0 => Came::Something,
            false => Came::Nothing,
        })
    }

    /// What no accident makes so often ends the run.
    fn count_wrong(&self, error: Error) -> Result<Error, Stopped> {
        if self.patience.wrong.fetch_add(1, Ordering::Relaxed) + 1 < MOST_WRONG {
            return Ok(error);
        }
        self.stop.fail(error.way_out(format!("it was so {MOST_WRONG} times over")));
        Err(Stopped)
    }

    /// Whether the patience has only just begun to be needed.
    fn is_news(&self) -> bool {
        self.patience.lasts.saturating_sub(self.patience.left()) < Duration::from_secs(1)
    }

    fn hole(&self, hole: Extent) -> Result<(), Stopped> {
        let hole = FrameHeader::hole(hole.offset, hole.length, 0);
        self.intake.without_data(hole, Some(&self.asker)).map_err(|halt| self.halted(halt))
    }

    /// Has a part compared that the target should hold. Its digest is the one on record: that it was written, not that
    /// it is the server's by now. For that, the volume's entity tag stands, which is the same.
    fn held(&self, part: Extent) -> Result<(), Stopped> {
        let digest = self.holds.as_ref().and_then(|holds| holds.digest_of(part.offset));
        let Some(digest) = digest else {
            // On record as a hole by another map, or not to be read any more.
            self.asker.again(part.offset);
            return Ok(());
        };
        let mut segments = Segments::default();
        let (mut end, mut used) = (part.offset, 0);
        for extent in self.map.extents_in(part) {
            // A part is at most 64 MiB.
            segments.push(SegmentKind::Hole, (extent.offset - end) as u32);
            segments.push(SegmentKind::Data, extent.length as u32);
            used += extent.length;
            end = extent.end();
        }
        segments.push(SegmentKind::Hole, (part.end() - end) as u32);
        let header = FrameHeader::part(part.offset, &segments, used, Codec::None, &[], digest).into_held();
        let buffer = self.intake.buffer()?;
        self.intake.part(header, segments, buffer, Some(&self.asker)).map_err(|halt| self.halted(halt))
    }

    fn halted(&self, halt: Halt) -> Stopped {
        if let Halt::Wire(error) = halt {
            // The plan has handed something out twice, or where it cannot be: lvpipe's own mistake.
            self.stop.fail(error.at("the plan of the transfer", ""));
        }
        Stopped
    }
}
