//! The target of a run, opened or gone on with, and what becomes of it at the end.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::{Holds, Record};
use crate::error::{Error, Result, Status};
use crate::journal::{About, Held, Journal};
use crate::stop::Stop;
use crate::volume::{
    Arrival, ExecOutput, Expected, HeldForTarget, JournalPlace, NewVolume, OpenTarget, Target, create_target,
    exec_target, find_journal, open_target,
};
use crate::wire::{Digest, DigestKind, Prelude};

/// Where a run writes, as its options say it.
pub(super) struct Destination<'a> {
    /// `--create`.
    pub(super) create: Option<&'a NewVolume>,
    /// `--exec`, and where the command's own output goes.
    pub(super) exec: Option<(&'a str, ExecOutput)>,
    /// TARGET.
    pub(super) target: Option<&'a OsStr>,
    /// `--resume`.
    pub(super) resume: bool,
    /// `--assume-base`.
    pub(super) assume_base: bool,
}

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
    is_delta: bool,
    /// How it is verified.
    pub(super) digest: DigestKind,
}

impl Destination<'_> {
    /// Opens the target for what the prelude announces.
    pub(super) fn land(&self, prelude: &Prelude, stream: Option<&Metadata>, stop: &Stop) -> Result<Landing> {
        let arrival = self.arrival(prelude)?;
        self.refuse_another(prelude)?;
        let expected = Expected {
            arrival: Some(&arrival),
            source: prelude.lineage.identity.as_deref(),
            size: prelude.volume_size,
            used: prelude.used,
            stream,
        };
        let open = match (self.create, self.exec, self.target) {
            (Some(new), ..) => create_target(new, expected, stop)?,
            // A target beside a command can only be the `-` that ssh://HOST/- stands for.
            (None, Some((command, output)), None) => exec_target(command, output, stop)?,
            (None, Some((command, output)), Some(target)) if target == "-" => exec_target(command, output, stop)?,
            (None, Some(_), Some(_)) => return Err(Error::usage("two targets", "--exec", "and TARGET")),
            (None, None, Some(name)) => open_target(name, expected, stop)?,
            (None, None, None) => {
                return Err(Error::usage("no target", "", "neither TARGET nor --create is given"));
            }
        };
        let OpenTarget { target, held, in_place, journal: place, mut notices } = open;
        if let (true, Some(base), Some(name)) = (self.assume_base, &arrival.base, self.target) {
            let name = name.display();
            notices.insert(0, format!("it is taken on trust that {name} holds {base}, and nothing else"));
        }
        let mut landed =
            Landed { held, journal: None, in_place, is_delta: prelude.is_delta(), digest: prelude.digest };
        let mut holds: Option<Arc<dyn Holds>> = None;
        let earlier = match &place {
            Some(place) if self.resume && prelude.resumes => earlier(place, prelude, &target, stop)?,
            _ => None,
        };
        let journal = match (earlier, place) {
            (Some((journal, held)), Some(place)) => {
                holds = Some(Arc::new(Earlier(held)));
                Some((journal, place))
            }
            (_, place) => {
                refuse_to_guess(prelude, self.target)?;
                match place {
                    Some(_) if prelude.resumes && self.resume => {
                        notices.push("nothing to go on with: it begins anew".into())
                    }
                    Some(_) if self.resume => notices.push("the sender does not resume: all of it is sent".into()),
                    _ => {}
                }
                // Where it cannot be gone on with, what an earlier one left is not believed any more either: a journal
                // in which nothing is recorded is removed.
                let can_go_on = prelude.digest != DigestKind::None && !stream.is_some_and(Metadata::is_file);
                place
                    .and_then(|place| Some((begin(&place, prelude, &target, &mut notices, stop)?, place)))
                    .filter(|_| can_go_on)
            }
        };
        landed.journal = journal.map(|(journal, place)| (Arc::new(Journaling(RwLock::new(Some(journal)))), place));
        let record = landed.journal.as_ref().map(|(journal, _)| journal.clone() as Arc<dyn Record>);
        Ok(Landing { target, record, holds, notices, landed })
    }

    /// Refuses to go on with another transfer than the one that was begun, before it is noted with the target that it is
    /// about to change: after that nobody would know any more what it holds.
    fn refuse_another(&self, prelude: &Prelude) -> Result<()> {
        let Some(name) = self.target.filter(|_| self.resume && prelude.resumes) else { return Ok(()) };
        let Some(place) = find_journal(name)? else { return Ok(()) };
        Journal::about(&place)?.map_or(Ok(()), |about| about.check(prelude, place.name()))
    }

    /// Which state of the volume the stream brings. A base that cannot be understood cannot be looked for.
    fn arrival(&self, prelude: &Prelude) -> Result<Arrival> {
        let lineage = &prelude.lineage;
        let base = lineage.base.as_deref().map(str::parse).transpose();
        let base = base.map_err(|why| Error::stream("cannot read stream", "its lineage", why))?;
        if self.assume_base && base.is_none() {
            return Err(Error::usage("no base", "--assume-base", "the stream is no delta")
                .way_out("leave it away: all of the volume is sent"));
        }
        let state = lineage.state.as_deref().and_then(|state| state.parse().ok());
        let resumes = self.resume && prelude.resumes;
        Ok(Arrival { base, state, assume_base: self.assume_base, resumes })
    }
}

/// The journal of an earlier transfer that this one goes on with, if there is one.
fn earlier(
    place: &JournalPlace,
    prelude: &Prelude,
    target: &Arc<dyn Target>,
    stop: &Stop,
) -> Result<Option<(Journal, Held)>> {
    let Some((journal, about, held)) = Journal::resume(place, target.clone(), stop)? else { return Ok(None) };
    about.check(prelude, place.name())?;
    let refused = |why: &str| Err(Error::guard("cannot go on with the transfer", place.name(), why));
    if prelude.digest == DigestKind::None {
        let why = "it has no digests by which what is there could be compared";
        return refused(why).map_err(|e| e.way_out("without --resume all of it is sent"));
    }
    // Over a pipe the sender has not heard what is there, but was told by a token.
    if !prelude.answers && prelude.transfer != about.id {
        let way_out = format!("take the one that `lvpipe recv --resume-token {}` prints now", place.name());
        return refused("the sender's token is of another transfer to it").map_err(|e| e.way_out(way_out));
    }
    Ok(Some((journal, held)))
}

/// A stream from a pipe that goes on with an earlier one lacks what that one has brought.
fn refuse_to_guess(prelude: &Prelude, target: Option<&OsStr>) -> Result<()> {
    if prelude.answers || !prelude.resumes {
        return Ok(());
    }
    let name = target.unwrap_or_default().to_string_lossy();
    let why = "the stream goes on with an earlier one, of which there is no journal";
    Err(Error::guard("cannot go on with the transfer", name, why).way_out("send all of it, without --resume TOKEN"))
}

/// Begins a journal. A transfer that cannot have one goes on without.
fn begin(
    place: &JournalPlace,
    prelude: &Prelude,
    target: &Arc<dyn Target>,
    notices: &mut Vec<String>,
    stop: &Stop,
) -> Option<Journal> {
    let begun = Journal::begin(place, &About::of(prelude, place), target.clone(), stop);
    begun
        .map_err(|error| notices.push(format!("{error}\n  if the transfer ends early it cannot be gone on with")))
        .ok()
}

impl Landed {
    /// The transfer is whole; what the user should know.
    ///
    /// # Errors
    /// When what was made for it cannot be kept.
    pub(super) fn keep(self) -> Result<Vec<String>> {
        // First, for it has the target open.
        let trouble =
            self.journal.and_then(|(journal, _)| journal.close()).and_then(|journal| journal.finish().err());
        let notices = self.held.keep()?;
        Ok(trouble.map(|trouble| trouble.to_string()).into_iter().chain(notices).collect())
    }

    /// The transfer failed: what is left of it.
    pub(super) fn abandon(self, error: &Error) -> Vec<String> {
        let resumable = self.journal.and_then(|(journal, place)| {
            // Records what is still queued, and lets the target go.
            drop(journal.close());
            place.left_behind()
        });
        let mut left = self.held.abandon();
        if self.in_place && error.status() != Status::Guard {
            left.push(match self.is_delta {
                true => "the target holds only a part of the delta now: send that again before it is used".into(),
                false => {
                    "the target holds only a part of the volume now: receive it again before it is used".into()
                }
            });
        }
        left.extend(resumable);
        left
    }
}

/// The journal as the engine wants it, until it is closed: a thread of the engine that is on its way out may have it
/// for longer.
struct Journaling(RwLock<Option<Journal>>);

impl Journaling {
    /// The journal, which records no more.
    fn close(&self) -> Option<Journal> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Record for Journaling {
    fn written(&self, offset: u64, length: u64, digest: Option<Digest>) -> Result<()> {
        if let Some(journal) = &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            journal.written(offset, length, digest);
        }
        Ok(())
    }
}

/// What an earlier transfer has brought, as the engine wants it.
struct Earlier(Held);

impl Holds for Earlier {
    fn extents(&self) -> Vec<(u64, u64)> {
        self.0.extents()
    }

    fn contains(&self, offset: u64, length: u64) -> bool {
        self.0.contains(offset, length)
    }

    fn digest_of(&self, offset: u64) -> Option<Digest> {
        self.0.digest_of(offset)
    }
}
