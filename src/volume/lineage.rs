//! What a target holds, and whether a delta may be applied to it.
//!
//! Kept where it survives: an LV's tag, a file's extended attribute. A full copy forgets what was kept before its first
//! byte is written, and a delta that is applied in place says that the target is between two states, so that a transfer
//! that breaks off never leaves a target that is taken for whole. When all of it is on stable storage the new state is
//! kept, with a mark by which the next delta sees whether somebody has written to the target since.
//!
//! A thin volume's mark is a time of its pool. A snapshot is taken of it and removed again: from then on its chunks
//! count as shared, so that dm-thin maps anew what is written, with a later time. It costs the next writes to each chunk
//! a copy of it, once, as any snapshot does, and nothing is left of it. What is discarded leaves fewer mappings.
//!
//! A delta is applied to a snapshot of a thin target, which then takes its place. The marks of both are kept before that:
//! killed at any moment, the target is in one of two states, each of which it is known for and has a mark.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use super::lvm::{LogicalVolume, Lvm, TemporarySnapshot};
use super::standing::{Apart, Mark, Standing};
use super::verdict::{Admitted, Refused, judge};
use super::{State, xattr};
use crate::error::{Error, Result, Status};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{Dmsetup, ThinVolume};
use crate::usedmap::{Stamp, stamp_of_thin_device};

/// Where it is kept what a target holds.
#[derive(Debug)]
pub(super) enum Place {
    /// With an LV.
    Lv(Lvm, Box<LogicalVolume>),
    /// With a file.
    File(File),
    /// Nowhere.
    Nowhere,
}

/// What a stream brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrival {
    /// What the target must hold already, if it is a delta.
    pub base: Option<State>,
    /// What the target holds afterwards, if that has a name.
    pub state: Option<State>,
    /// Whether it is taken on trust that the target holds the base.
    pub assume_base: bool,
    /// Whether it goes on with a transfer that broke off, if there is one to go on with.
    pub resumes: bool,
}

/// A target's name, where it is kept what it holds, and what it is to hold.
#[derive(Debug)]
pub(super) struct Lineage {
    name: String,
    place: Place,
    arrival: Arrival,
    /// Whether the target itself is written; else another volume, that takes its place when all of it is there.
    in_place: bool,
    /// What a delta is applied to, and how to see whether that has been written to: known once it is begun.
    before: Option<(State, Mark)>,
    /// The mark that the target has when another volume has taken its place; why there is none.
    becomes: Option<Result<Mark>>,
}

impl Lineage {
    pub(super) fn new(name: &str, place: Place, arrival: Arrival, in_place: bool) -> Self {
        Lineage { name: name.into(), place, arrival, in_place, before: None, becomes: None }
    }

    /// Refuses a delta to a target that does not hold its base; then notes that the target is about to change. What
    /// the user should know.
    ///
    /// # Errors
    /// A guard's, with a reason of its own for each case; or when it cannot be read or kept.
    pub(super) fn begin(&mut self, stop: &Stop) -> Result<Vec<String>> {
        let Some(base) = self.arrival.base.clone() else { return self.keep(None).map(|()| Vec::new()) };
        let notice = if self.arrival.assume_base {
            self.before = Some((base, Mark::Unknown));
            None
        } else {
            self.check(&base, stop)?
        };
        if self.in_place {
            self.keep_between(None)?;
        }
        Ok(notice.into_iter().collect())
    }

    /// Notes that a snapshot of the target, to which the delta was applied, is about to take its place. The target is
    /// still as it was when the snapshot was taken.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(super) fn keep_either(&mut self, staged: &LogicalVolume, stop: &Stop) -> Result<()> {
        let (Place::Lv(lvm, target), Some(device)) = (&self.place, staged.thin_id) else {
            let why = "it is no thin volume";
            return Err(Error::new(Status::Io, "cannot apply the delta", staged.full_name(), why));
        };
        let was = match &self.before {
            Some((_, mark @ Mark::Thin { .. })) => *mark,
            // What is there was taken on trust: from now on it is known. A snapshot of it was taken: that one.
            _ => stamp(target, stop).map_or(Mark::Unknown, |stamp| Mark::of_thin(&stamp)),
        };
        let becomes = mark_thin(lvm, staged, stop);
        let apart = Apart { was, becomes: becomes.clone().unwrap_or(Mark::Unknown), device };
        self.becomes = Some(becomes);
        self.keep_between(Some(apart))
    }

    /// Notes that from here on the target holds what it did before, or what the delta brings, or a part of each.
    fn keep_between(&self, apart: Option<Apart>) -> Result<()> {
        let base = self.before.as_ref().map(|(base, _)| base).or(self.arrival.base.as_ref()).cloned();
        let between = base.zip(self.arrival.state.clone());
        let between = between.map(|(base, state)| Standing::Between { base, state, apart });
        self.keep(between.as_ref())
    }

    /// All of the stream is on stable storage: keeps what the target holds now. What the user should know.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(super) fn done(&self, stop: &Stop) -> Result<Option<String>> {
        let Some(state) = &self.arrival.state else { return self.keep(None).map(|()| None) };
        let (mark, notice) = match self.becomes.clone().unwrap_or_else(|| self.mark(stop)) {
            Ok(mark) => (mark, None),
            Err(why) => (
                Mark::Unknown,
                Some(format!(
                    "{why}\n  whether somebody writes to {} will not be seen by the next delta",
                    self.name
                )),
            ),
        };
        let standing = Standing::At { state: state.clone(), mark };
        match self.keep(Some(&standing)) {
            // A file system that keeps no attributes is no reason to fail.
            Err(why) if matches!(self.place, Place::File(_)) => {
                Ok(Some(format!("{why}\n  a delta to it will need --assume-base")))
            }
            kept => kept.map(|()| notice),
        }
    }

    fn check(&mut self, base: &State, stop: &Stop) -> Result<Option<String>> {
        if matches!(self.place, Place::Nowhere) {
            return Err(self
                .refused("it is not kept for such a device what it holds".into())
                .way_out("if it holds the base: recv --assume-base"));
        }
        let brings = self.arrival.state.as_ref();
        let admitted = judge(self.place.told(&self.name)?, self.place.device(), base, brings);
        match admitted.map_err(|refused| self.why_not(refused, base))? {
            Admitted::After { held, mark } => {
                let has_it = (held != *base).then(|| {
                    let name = &self.name;
                    format!("the delta to {name} broke off when all of it was there: it is applied again")
                });
                let unmarked = self.check_mark(mark, stop)?;
                self.before = Some((held, mark));
                Ok(has_it.or(unmarked))
            }
            Admitted::OverPart => {
                let how = if self.arrival.resumes { "it is gone on with" } else { "all of it is applied again" };
                Ok(Some(format!("the delta to {} broke off before: {how}", self.name)))
            }
        }
    }

    fn why_not(&self, refused: Refused, base: &State) -> Error {
        match refused {
            Refused::Unknown => self
                .refused("it has never had the first copy, or something else was copied to it since".into())
                .way_out("send all of it first; if it was copied by other means: recv --assume-base"),
            Refused::Holds(state) => self
                .refused(format!("it holds {state}, the delta is since {base}"))
                .way_out("a delta in between is missing: send that first, or all of it"),
            Refused::Between { base, state } => self
                .refused(format!("a delta to it broke off between {base} and {state}"))
                .way_out("send just that delta again, or all of it"),
        }
    }

    /// Refuses a target to which somebody has written since.
    fn check_mark(&self, mark: Mark, stop: &Stop) -> Result<Option<String>> {
        match self.place.is_as_marked(mark, &self.name, stop)? {
            Some(true) => Ok(None),
            Some(false) => Err(self
                .refused("somebody has written to it since the last transfer".into())
                .way_out("send all of it; what was written to it is lost then")),
            None => Ok(Some(format!(
                "whether somebody has written to {} since the last transfer is not known",
                self.name
            ))),
        }
    }

    /// What would change if somebody wrote to the target.
    fn mark(&self, stop: &Stop) -> Result<Mark> {
        match &self.place {
            Place::Lv(lvm, volume) if volume.is_thin() => mark_thin(lvm, volume, stop),
            Place::File(file) => mark_of_file(file, &self.name),
            Place::Lv(..) | Place::Nowhere => Ok(Mark::Unknown),
        }
    }

    fn keep(&self, standing: Option<&Standing>) -> Result<()> {
        let text = standing.map(ToString::to_string);
        match &self.place {
            Place::Lv(_, volume) if text.is_none() && volume.holds().is_none() => Ok(()),
            Place::Lv(lvm, volume) => lvm.set_holds(volume, text.as_deref()),
            Place::File(file) => match &text {
                Some(text) => xattr::write(file, text),
                None => xattr::remove(file),
            }
            .map_err(|e| Error::io("cannot keep what target holds", &self.name, &e)),
            Place::Nowhere => Ok(()),
        }
    }

    fn refused(&self, why: String) -> Error {
        Error::guard("target refused", &self.name, why)
    }
}

impl Place {
    /// What is kept there. What does not say anything that is understood says nothing.
    fn told(&self, name: &str) -> Result<Option<Standing>> {
        let text = match self {
            Place::Lv(_, volume) => volume.holds().map(String::from),
            Place::File(file) => {
                xattr::read(file).map_err(|e| Error::io("cannot read what target holds", name, &e))?
            }
            Place::Nowhere => None,
        };
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// A thin volume's own, in its pool.
    fn device(&self) -> Option<u32> {
        if let Place::Lv(_, volume) = self { volume.thin_id } else { None }
    }

    /// What the target holds, by what is kept there.
    pub(super) fn standing(&self, name: &str) -> Result<Option<Standing>> {
        Ok(self.told(name)?.map(|told| told.settled(self.device())))
    }

    /// Whether nobody has written to the target since it got this mark, if that can be known. An LV must be active.
    pub(super) fn is_as_marked(&self, mark: Mark, name: &str, stop: &Stop) -> Result<Option<bool>> {
        Ok(match (mark, self) {
            (Mark::Thin { .. }, Place::Lv(_, volume)) => Some(mark.fits(&stamp(volume, stop)?)),
            (Mark::File { .. }, Place::File(file)) => Some(mark_of_file(file, name)? == mark),
            _ => None,
        })
    }
}

/// Marks an active thin volume, by a snapshot that is removed again.
fn mark_thin(lvm: &Lvm, volume: &LogicalVolume, stop: &Stop) -> Result<Mark> {
    let snapshot = TemporarySnapshot::take(lvm, volume, &Reservations::open());
    snapshot
        .and_then(TemporarySnapshot::remove)
        .map_err(|why| Error::new(why.status(), "cannot take a snapshot", why.on(), why.why()))?;
    Ok(Mark::of_thin(&stamp(volume, stop)?))
}

fn mark_of_file(file: &File, name: &str) -> Result<Mark> {
    let found = file.metadata().map_err(|e| Error::io("cannot read target", name, &e))?;
    Ok(Mark::File { size: found.len(), seconds: found.mtime(), nanoseconds: found.mtime_nsec() })
}

pub(super) fn stamp(volume: &LogicalVolume, stop: &Stop) -> Result<Stamp> {
    let thin = ThinVolume::at(&volume.path, &Dmsetup::default())?
        .ok_or_else(|| Error::guard("cannot read thin metadata", volume.full_name(), "it is no thin volume"))?;
    stamp_of_thin_device(&thin, &Reservations::open(), stop)
}
