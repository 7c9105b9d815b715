//! One link of the transfer, and its two threads.
//!
//! Both are blocked in the link's calls for as long as the other side makes them wait; hanging up ends them. They
//! tell the [session](super::session) what it must know through one bounded channel, and end when it is gone.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::super::answers::{Answers, Next};
use super::super::crew::{Blocks, Crew};
use super::super::decode::Halt;
use super::super::frame_reader::{Event, FrameReader};
use super::super::intake::Intake;
use super::super::ledger::Bringer;
use super::super::pulse::{Answering, Counted, Pulse};
use crate::error::{Error, Result, Status};
use crate::link::{HangUp, Link};
use crate::progress::Figures;
use crate::stop::Stop;
use crate::wire::answer::MOST_EXTENTS;
use crate::wire::{Answer, End, FrameHeader, Welcome, WireError, frame};

/// What all links of a transfer have in common.
pub(super) struct Terms {
    /// What each link is told first; with `have` 0.
    pub(super) welcome: Welcome,
    /// What the target holds of an earlier transfer.
    pub(super) extents: Vec<(u64, u64)>,
    /// How often each link gives a sign of life.
    pub(super) alive_every: Duration,
    /// A link with more frames to answer than this has a sender that does not listen.
    pub(super) most_waiting: usize,
    /// All has come, and what is waited for is the target.
    pub(super) finishing: AtomicBool,
    pub(super) reports: Sender<Report>,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

/// What a link's threads tell.
pub(super) enum Report {
    /// The end frame came.
    End(FrameHeader, End),
    /// Nothing more is read from this link.
    Read { id: u64, why: Why },
    /// Nothing more is answered on it; whether the last answer was written.
    Answered { id: u64, last: bool },
    /// The target is finished.
    Finished,
}

/// Why nothing more is read from a link.
pub(super) enum Why {
    /// The sender closed it between two frames.
    Closed,
    /// It broke, was damaged, or was hung up.
    Broken(WireError),
    /// The run has ended.
    Stopped,
}

/// One link.
pub(super) struct Connection {
    pub(super) id: u64,
    /// From its prelude.
    pub(super) number: u16,
    pub(super) name: String,
    pub(super) hang_up: HangUp,
    pub(super) answers: Arc<Answers>,
    pub(super) pulse: Arc<Pulse>,
    /// Why it was hung up here.
    pub(super) dropped: Option<String>,
    /// How reading it ended, once it did.
    pub(super) read: Option<Why>,
    /// Whether the last answer was written on it, once nothing more is.
    pub(super) answered: Option<bool>,
}

impl Connection {
    /// Starts a link's threads. `have` says whether it hears what the target holds.
    ///
    /// # Errors
    /// When there cannot be more threads.
    pub(super) fn open(
        crew: &mut Crew,
        link: Link,
        (id, number): (u64, u16),
        have: bool,
        intake: &Arc<Intake>,
        terms: &Arc<Terms>,
    ) -> Result<Self> {
        let Link { name, reader, writer, hang_up } = link;
        let (answers, pulse) = (Arc::<Answers>::default(), Arc::<Pulse>::default());
        let connection = Connection {
            id,
            number,
            name: name.clone(),
            hang_up: hang_up.clone(),
            answers: answers.clone(),
            pulse: pulse.clone(),
            dropped: None,
            read: None,
            answered: None,
        };
        let answering = AnswerThread {
            link: Answering { link: writer, pulse: pulse.clone() },
            answers: answers.clone(),
            terms: terms.clone(),
        };
        let (terms, over) = (terms.clone(), hang_up.clone());
        let reading = ReadThread {
            id,
            name,
            reader: FrameReader {
                link: Counted { link: reader, figures: terms.figures.clone(), pulse },
                intake: intake.clone(),
                from: Some(answers.clone() as Arc<dyn Bringer>),
            },
            answers,
            terms: terms.clone(),
        };
        crew.start("answers", Blocks::OnPipe, move || {
            let last = answering.run(have);
            if last.is_err() {
                over.hang_up();
            }
            // The session may be over.
            let _ = terms.reports.send(Report::Answered { id, last: last.unwrap_or(false) });
        })?;
        crew.start("link", Blocks::OnPipe, move || reading.run(&hang_up))?;
        Ok(connection)
    }

    /// Whether frames may still come.
    pub(super) fn lives(&self) -> bool {
        self.read.is_none() && self.dropped.is_none()
    }

    /// Whether the sender has closed it after the last answer was written, so has read that.
    pub(super) fn was_heard(&self) -> bool {
        matches!((&self.read, self.answered), (Some(Why::Closed), Some(true)))
    }

    /// Hangs up.
    pub(super) fn drop_for(&mut self, why: String) {
        self.dropped.get_or_insert(why);
        self.hang_up.hang_up();
    }
}

/// Reads.
struct ReadThread {
    id: u64,
    name: String,
    reader: FrameReader<Counted<Box<dyn Read + Send>>>,
    answers: Arc<Answers>,
    terms: Arc<Terms>,
}

impl ReadThread {
    fn run(mut self, hang_up: &HangUp) {
        let why = self.frames();
        if matches!(why, Why::Stopped) {
            // The last answer says why, and must arrive: bytes that nobody reads would make the system reset the
            // connection. The sender closes it when it has heard, or the session hangs up.
            let _ = io::copy(&mut self.reader.link, &mut io::sink());
        }
        self.answers.close();
        hang_up.hang_up();
        let _ = self.terms.reports.send(Report::Read { id: self.id, why });
    }

    fn frames(&mut self) -> Why {
        loop {
            match self.reader.next() {
                Ok(Event::Frame) if self.answers.waiting() <= self.terms.most_waiting => {}
                Ok(Event::Frame) => return Why::Broken(io::Error::other("it does not take its answers").into()),
                Ok(Event::End(header, end)) => {
                    if self.terms.reports.send(Report::End(header, end)).is_err() {
                        return Why::Stopped;
                    }
                }
                Ok(Event::Abort(reason)) => {
                    self.terms.stop.fail(Error::new(Status::Stream, "the sender gave up", &self.name, reason));
                    return Why::Stopped;
                }
                Err(Halt::Stopped) => return Why::Stopped,
                Err(Halt::Wire(error)) => return self.broken(error),
            }
        }
    }

    fn broken(&self, error: WireError) -> Why {
        match error {
            WireError::Truncated { missing } if missing == frame::HEADER as u64 => Why::Closed,
            WireError::Io(_) | WireError::Truncated { .. } | WireError::Checksum { .. } => Why::Broken(error),
            // The checksum fits: the sender made it so, and would again on another link.
            error => {
                self.terms.stop.fail(error.at(&self.name, ""));
                Why::Stopped
            }
        }
    }
}

/// Answers.
struct AnswerThread {
    link: Answering<Box<dyn Write + Send>>,
    answers: Arc<Answers>,
    terms: Arc<Terms>,
}

impl AnswerThread {
    /// Whether the last answer was written, when nothing more is to be.
    fn run(mut self, have: bool) -> io::Result<bool> {
        let terms = self.terms.clone();
        let extents = if have { &terms.extents[..] } else { &[] };
        self.write(&Answer::Welcome(Welcome { have: extents.len() as u64, ..terms.welcome.clone() }))?;
        for extents in extents.chunks(MOST_EXTENTS) {
            self.write(&Answer::Have(extents.to_vec()))?;
        }
        let mut due = Instant::now() + terms.alive_every;
        loop {
            match self.answers.next(due) {
                Next::Answer(answer) => self.write(&answer)?,
                Next::Last(answer) => return self.write(&answer).map(|()| true),
                Next::Nothing => {}
                Next::Closed => return Ok(false),
            }
            // Also between other answers: it says more than that somebody is here.
            if Instant::now() >= due {
                due = Instant::now() + terms.alive_every;
                self.alive()?;
            }
        }
    }

    fn alive(&mut self) -> io::Result<()> {
        let hungry = self.link.pulse.hungry() && !self.terms.finishing.load(Ordering::Relaxed);
        self.write(&Answer::Alive { received: self.link.pulse.received(), hungry })
    }

    fn write(&mut self, answer: &Answer) -> io::Result<()> {
        self.link.write(&answer.encode())
    }
}
