//! The target of a run, opened or gone on with, and what becomes of it at the end.

use std::fs::Metadata;
use std::sync::Arc;

use super::Recv;
use crate::engine::{Holds, Record};
use crate::error::{Error, Result, Status};
use crate::journal::{About, Held, Journal};
use crate::stop::Stop;
use crate::volume::{
    ExecOutput, ExecTarget, Expected, HeldForTarget, JournalPlace, OpenTarget, Target, create_target, open_target,
};
use crate::wire::{Digest, DigestKind, Prelude};

/// A target that is ready to be written.
pub(super) struct Landing {
    pub(super) target: Arc<dyn Target>,
    pub(super) record: Option<Arc<dyn Record>>,
    pub(super) holds: Option<Arc<dyn Holds>>,
    pub(super) notices: Vec<String>,
    pub(super) landed: Landed,
}

/// What is left to do when the run has ended. Close the target before.
pub(super) struct Landed {
    held: HeldForTarget,
    journal: Option<(Arc<Journaling>, JournalPlace)>,
    /// Whether the target was there before, so that a transfer that fails leaves a part of it.
    in_place: bool,
    /// How it is verified.
    pub(super) digest: DigestKind,
}

impl Recv {
    /// Opens the target for what the prelude announces.
    pub(super) fn land(&self, prelude: &Prelude, stream: Option<&Metadata>, stop: &Stop) -> Result<Landing> {
        let expected = Expected {
            source: prelude.lineage.identity.as_deref(),
            size: prelude.volume_size,
            used: prelude.used,
            stream,
        };
        let open = match (&self.create, &self.exec, &self.target) {
            (Some(new), ..) => create_target(new, expected, stop)?,
            // A target beside a command can only be the `-` that ssh://HOST/- stands for.
            (None, Some(command), None) => self.start_command(command)?,
            (None, Some(command), Some(target)) if target == "-" => self.start_command(command)?,
            (None, Some(_), Some(_)) => return Err(Error::usage("two targets", "--exec", "and TARGET")),
            (None, None, Some(name)) => open_target(name, expected, stop)?,
            (None, None, None) => {
                return Err(Error::usage("no target", "recv", "neither TARGET nor --create is given"));
            }
        };
        let OpenTarget { target, held, in_place, journal: place, mut notices } = open;
        let mut landed = Landed { held, journal: None, in_place, digest: prelude.digest };
        let mut holds: Option<Arc<dyn Holds>> = None;
        if let Some(place) = place {
            let (journal, earlier) = self.journal(&place, prelude, &target, stop)?;
            match earlier {
                Some(earlier) => holds = Some(Arc::new(earlier)),
                None if prelude.resumes => notices.push(format!("{}: nothing to go on with", place.name())),
                None => {}
            }
            landed.journal = journal.map(|journal| (Arc::new(Journaling(journal)), place));
        }
        let record = landed.journal.as_ref().map(|(journal, _)| journal.clone() as Arc<dyn Record>);
        Ok(Landing { target, record, holds, notices, landed })
    }

    fn start_command(&self, command: &str) -> Result<OpenTarget> {
        // Where answers go to standard output, the command cannot.
        let output = if self.links.from_ssh { ExecOutput::ToStderr } else { ExecOutput::Inherited };
        Ok(OpenTarget {
            target: Arc::new(ExecTarget::start(command, output)?),
            held: HeldForTarget::default(),
            in_place: false,
            journal: None,
            notices: Vec::new(),
        })
    }

    /// Goes on with the journal of an earlier transfer where both sides want that, or begins one.
    fn journal(
        &self,
        place: &JournalPlace,
        prelude: &Prelude,
        target: &Arc<dyn Target>,
        stop: &Stop,
    ) -> Result<(Option<Journal>, Option<Earlier>)> {
        if self.resume
            && prelude.resumes
            && let Some((journal, about, held)) = Journal::resume(place, target.clone(), stop)?
        {
            about.check(prelude, place.name())?;
            return Ok((Some(journal), Some(Earlier(held))));
        }
        let about = About::of(prelude, place);
        Journal::begin(place, &about, target.clone(), stop).map(|journal| (Some(journal), None))
    }
}

impl Landed {
    /// The transfer is whole; what the user should know.
    ///
    /// # Errors
    /// When what was made for it cannot be kept.
    pub(super) fn keep(self) -> Result<Vec<String>> {
        let mut notices: Vec<String> = self.held.keep()?.into_iter().collect();
        if let Some((journal, _)) = self.journal
            && let Some(Err(trouble)) = Arc::into_inner(journal).map(|journal| journal.0.finish())
        {
            notices.push(trouble.to_string());
        }
        Ok(notices)
    }

    /// The transfer failed: what is left of it.
    pub(super) fn abandon(self, error: &Error) -> Vec<String> {
        let mut left = self.held.abandon();
        let resumable = self.journal.and_then(|(journal, place)| {
            // Closes it.
            drop(journal);
            place.left_behind()
        });
        if self.in_place && error.status() != Status::Guard && resumable.is_none() {
            left.push("the target holds only a part of the volume now: receive it again before it is used".into());
        }
        left.extend(resumable);
        left
    }
}

/// The journal as the engine wants it.
struct Journaling(Journal);

impl Record for Journaling {
    fn written(&self, offset: u64, length: u64, digest: Option<Digest>) -> Result<()> {
        self.0.written(offset, length, digest);
        Ok(())
    }
}

/// What an earlier transfer has brought, as the engine wants it.
struct Earlier(Held);

impl Holds for Earlier {
    fn extents(&self) -> Vec<(u64, u64)> {
        self.0.extents()
    }

    fn digest_of(&self, offset: u64) -> Option<Digest> {
        self.0.digest_of(offset)
    }
}
