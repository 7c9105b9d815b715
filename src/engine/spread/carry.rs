//! One link at work: a thread that writes frames, one that reads answers, one that guards.

use std::io::{self, Write};
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use super::greet::refusal;
use super::guard::Guarded;
use super::outbox::{LinkId, Next, SharedFrame};
use super::peer::{Ended, Peer};
use crate::engine::link_writer::LinkWriter;
use crate::error::{Error, Result, Status};
use crate::link::Link;
use crate::wire::{Answer, FrameHeader, FrameKind, WireError};

/// How often a link gives a sign of life, at least.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

impl Peer {
    /// Carries frames over a link until it breaks, is not needed any more, or all is done.
    ///
    /// Whether anything was answered on it, and why it broke if it did. What was on its way on it waits for another.
    pub(super) fn carry(&self, link: Link, id: LinkId, is_standby: bool) -> (bool, Result<()>) {
        let Link { name, mut reader, writer, hang_up } = link;
        let guarded = Guarded::new(hang_up.clone());
        self.outbox.joined(id, is_standby);
        let carried = guarded.watch(self.terms.stall, &self.stop, || {
            thread::scope(|scope| {
                let listening = thread::Builder::new().name("answers".into()).spawn_scoped(scope, || {
                    let heard = self.listen(&mut reader, &guarded);
                    // The writer may be waiting for its next frame, or be blocked in a write.
                    self.outbox.broke(id);
                    if heard.is_err() {
                        hang_up.hang_up();
                    }
                    heard
                });
                let listening = listening.map_err(|e| Error::io("cannot start thread", "answers", &e))?;
                let mut writer = LinkWriter {
                    link: writer,
                    rate: self.terms.rate.clone(),
                    figures: self.figures.clone(),
                    stop: self.stop.clone(),
                };
                let written = self.write_frames(&mut writer, id, &guarded);
                // Its end is what the receiver sees of an orderly good-bye.
                drop(writer);
                // Where this side has given up the receiver is left the time to read why, and closes the link: a
                // connection that is closed before its answers are read is reset, and all that was said is lost.
                if written.is_err() || self.outcome().is_some() {
                    hang_up.hang_up();
                }
                let heard = listening.join().unwrap_or(Ok(()));
                hang_up.hang_up();
                written.and(heard.map_err(io::Error::other)).map_err(|e| Error::io("link broke", &name, &e))
            })
        });
        self.figures.add_twice(self.outbox.lost(id) as u64);
        let carried = carried.map_err(|error| match guarded.is_stalled() {
            true => {
                let why = format_args!("nothing moved for {} s", self.terms.stall.as_secs_f64());
                Error::new(Status::Io, "link broke", &name, why)
            }
            false => error,
        });
        (guarded.has_helped(), carried)
    }

    fn write_frames(
        &self,
        to: &mut LinkWriter<Box<dyn Write + Send>>,
        id: LinkId,
        guarded: &Guarded,
    ) -> io::Result<()> {
        // Often enough for the other side's patience too, which may be shorter.
        let patience = (self.terms.stall / 4).min(ALIVE_EVERY);
        loop {
            match self.outbox.next(id, patience) {
                Next::Frame { frame, whole } => self.write_frame(to, &frame, whole, guarded)?,
                Next::End(end, size) => {
                    let payload = end.encode();
                    self.write(to, &[&FrameHeader::end(size, &payload).encode(), &payload], guarded)?;
                    to.link.flush()?;
                }
                Next::Nothing => {
                    self.write(to, &[&FrameHeader::alive().encode()], guarded)?;
                    to.link.flush()?;
                }
                Next::Over => return self.take_leave(to, id),
            }
        }
    }

    fn write_frame(
        &self,
        to: &mut LinkWriter<Box<dyn Write + Send>>,
        frame: &SharedFrame,
        whole: bool,
        guarded: &Guarded,
    ) -> io::Result<()> {
        if whole && frame.header.kind == FrameKind::Held {
            let (header, payload) = frame.made_whole();
            return self.write(to, &[&header.encode(), frame.segments.as_bytes(), payload], guarded);
        }
        self.write(to, &[&frame.header.encode(), frame.segments.as_bytes(), frame.payload()], guarded)
    }

    fn write(
        &self,
        to: &mut LinkWriter<Box<dyn Write + Send>>,
        pieces: &[&[u8]],
        guarded: &Guarded,
    ) -> io::Result<()> {
        guarded.sending(pieces.iter().map(|piece| piece.len()).sum());
        to.write(pieces)
    }

    /// Where this side gives up, it says why; a link that is one too many waits for its answers.
    fn take_leave(&self, to: &mut LinkWriter<Box<dyn Write + Send>>, id: LinkId) -> io::Result<()> {
        if let Some(reason) = self.reason_to_abort() {
            let reason = &reason.as_bytes()[..reason.floor_char_boundary(crate::wire::frame::LONGEST_REASON)];
            to.link.write_all(&[&FrameHeader::abort(reason).encode(), reason].concat())?;
        }
        to.link.flush()?;
        self.outbox.wait_until_answered(id);
        Ok(())
    }

    /// Hears answers until the link ends.
    fn listen(&self, from: &mut impl io::Read, guarded: &Guarded) -> Result<(), WireError> {
        loop {
            let answer = match Answer::read(from) {
                Ok(answer) => answer,
                Err(_) if self.is_over() => return Ok(()),
                Err(e) => return Err(e),
            };
            guarded.heard();
            match answer {
                Answer::Written(offsets) => {
                    guarded.helped();
                    self.outbox.written(&offsets);
                }
                Answer::Again(offset) => {
                    self.figures.add_again(1);
                    if !self.outbox.again(offset) {
                        self.end(Ended::Failed(Error::stream(
                            "receiver failed",
                            &self.name,
                            format_args!("the part at offset {offset} arrives damaged every time"),
                        )));
                    }
                }
                Answer::Alive { received, hungry } => guarded.heard_of(received, hungry),
                Answer::Done { end, size } => {
                    self.done(end, size);
                    return Ok(());
                }
                Answer::Failed { status, reason } => {
                    self.end(Ended::Failed(refusal(&self.name, status, &reason)));
                    return Ok(());
                }
                Answer::Welcome(_) | Answer::Have(_) => {
                    return Err(WireError::Field { what: "kind of an answer after the welcome", value: 1 });
                }
            }
        }
    }

    fn done(&self, end: crate::wire::End, size: u64) {
        self.end(match self.outbox.totals() == Some((end, size)) {
            true => Ended::Done,
            false => Ended::Failed(Error::stream(
                "receiver failed",
                &self.name,
                "it confirms another volume than the one that was sent",
            )),
        });
    }

    /// What to tell a receiver when the run has failed on this side.
    fn reason_to_abort(&self) -> Option<String> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_some() {
            return None;
        }
        drop(ended);
        self.stop.check().err().map(|error| error.to_string())
    }
}
