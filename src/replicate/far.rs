//! The far side of a replica: what it finds, and what it keeps with the target.
//!
//! In: an order, one at a time, on the caller's thread. Out: its answer. All of it is LVM's commands and a look at the
//! pool's metadata, seconds at most; each step is one of LVM's, so that killed at any moment the next run finds one
//! state or the other, and can go on from both.
//!
//! With a thin target are kept: what it holds (as after any transfer), whose copy it is, and its snapshots, each with a
//! tag that names the target by its UUID, and one that says what it holds.

use std::ffi::OsStr;

use super::order::{Begun, CopyOf, Found, Holds, Keep, Snapshot, TargetName, There};
use super::prune::prune_to;
use super::put_back::state_of;
use crate::error::{Error, Result};
use crate::journal::{About, Journal};
use crate::moment::Moment;
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::volume::lvm::{CreatedLv, Kept, LogicalVolume, Lvm, holds_tag};
use crate::volume::{FoundTarget, JournalPlace, NewVolume, Standing, State, find_target, found_lv};
use crate::wire::DigestKind;

/// On every snapshot that is kept of a target.
const RECEIVED: &str = "lvpipe.received";

/// Looks what is there.
///
/// # Errors
/// A guard's for what cannot be a target; LVM's, or the system's.
pub fn look(target: &TargetName, stop: &Stop) -> Result<Found> {
    let (found, place) = find(target, stop)?;
    let begun = place.map_or(Ok(None), |place| Journal::about(&place))?.and_then(begun);
    let Some(found) = found else { return Ok(Found { target: None, begun, notices: Vec::new() }) };
    let FoundTarget { kind, size, is_empty, standing, is_as_it_was, volume, notices } = found;
    let copy_of = volume.as_ref().and_then(LogicalVolume::copy_of).and_then(|text| text.parse().ok());
    let kept = volume.map_or(Ok(Vec::new()), |volume| kept(&Lvm::default(), &volume))?;
    let snapshots = kept.iter().filter_map(|kept| Some(Snapshot { moment: kept.moment, state: state_of(kept)? }));
    let (snapshots, holds) = (snapshots.collect(), holds(standing));
    let there = There { kind, size, is_empty, holds, is_as_it_was, copy_of, snapshots };
    Ok(Found { target: Some(there), begun, notices })
}

/// Without digests nothing of what is there can be compared.
fn begun(about: About) -> Option<Begun> {
    let digest = Some(about.digest).filter(|digest| *digest != DigestKind::None)?.to_string();
    let part_size = about.part_size.bytes() as u64;
    Some(Begun { snapshot: about.lineage.uuid?, base: about.lineage.base, part_size, digest })
}

fn holds(standing: Option<Standing>) -> Holds {
    match standing {
        None => Holds::Unknown,
        Some(Standing::At { state, .. }) => Holds::At(state),
        Some(Standing::Between { base, state, .. }) => Holds::Between { base, state },
    }
}

/// Makes the target ready for a transfer; what the user should know.
///
/// # Errors
/// A guard's where it cannot be made; LVM's: the group may have no more room.
pub fn prepare(
    target: &TargetName,
    source: &str,
    size: u64,
    becomes_copy: bool,
    stop: &Stop,
) -> Result<Vec<String>> {
    let lvm = Lvm::default();
    let mut notices = Vec::new();
    stop.check()?;
    let volume = match (resolve(&lvm, target)?, to_be_made(target)?) {
        (Some(volume), _) => volume,
        (None, Some(new)) => {
            let reservations = Reservations::open();
            let created = CreatedLv::create(&lvm, new.vg(), new.pool(), new.name(), size, &reservations)?;
            let volume = created.volume().clone();
            // It stays when the transfer fails: what has arrived is gone on from.
            created.keep()?;
            volume
        }
        (None, None) => return Ok(notices),
    };
    let copy_of = volume.copy_of().and_then(|text| text.parse::<CopyOf>().ok());
    let is_copy = copy_of.is_some_and(|copy_of| copy_of.source == source);
    if is_copy && volume.size < size {
        lvm.extend(&volume, size)?;
        notices.push(format!("{} is made larger: the source is", volume.full_name()));
    }
    if becomes_copy {
        let copy_of = CopyOf { source: source.into(), state: None };
        lvm.set_copy_of(&volume, &copy_of.to_string())?;
    }
    Ok(notices)
}

/// Keeps that the target holds this state of its source, which a transfer has just brought.
///
/// The snapshot is taken first and looked at then, for whatever is written after a look is in what is taken after it.
/// Killed in between, a snapshot stays that may hold more than it says: [`super::put_back`] looks again.
///
/// # Errors
/// A guard's where it does not; LVM's.
pub fn keep(target: &TargetName, source: &str, state: &State, moment: Moment, stop: &Stop) -> Result<Keep> {
    let lvm = Lvm::default();
    let Some(volume) = resolve(&lvm, target)? else {
        refuse_other(target, find(target, stop)?.0, state)?;
        return Ok(Keep::NewestOnly);
    };
    let holds = Standing::of_lv(&volume).map(|standing| standing.to_string());
    let taken = match holds.as_deref().filter(|_| volume.is_thin()) {
        Some(holds) => snapshot_of(&lvm, &volume, moment, holds)?,
        None => None,
    };
    // After the snapshot was taken: what was written before that is in it.
    let checked = refuse_other(target, Some(found_lv(&lvm, volume.clone(), stop)?), state);
    if let (Err(why), Some(taken)) = (&checked, &taken)
        && let Err(left) = lvm.remove_kept(taken, RECEIVED)
    {
        let name = taken.volume.full_name();
        return Err(why
            .clone()
            .also(format!("{name} was taken meanwhile and cannot be removed: {}", left.why()))
            .also(format!("lvremove {name} there: it does not hold what it says")));
    }
    checked?;
    if holds.as_deref() != volume.holds() {
        // A run was killed while a delta took its place: which of two states it holds is known now.
        lvm.set_holds(&volume, holds.as_deref())?;
    }
    let copy_of = CopyOf { source: source.into(), state: Some(state.clone()) };
    lvm.set_copy_of(&volume, &copy_of.to_string())?;
    Ok(if volume.is_thin() { Keep::InSnapshot } else { Keep::NewestOnly })
}

/// Removes all snapshots of the target but so many; a sentence for each that cannot be removed.
///
/// # Errors
/// When LVM cannot be asked.
pub fn prune(target: &TargetName, keep: u32) -> Result<Vec<String>> {
    let lvm = Lvm::default();
    let volume = resolve(&lvm, target)?;
    let kept = volume.map_or(Ok(Vec::new()), |volume| kept(&lvm, &volume))?;
    Ok(prune_to(&lvm, kept, keep, RECEIVED))
}

/// Refuses a target that does not hold this, and nothing else.
fn refuse_other(target: &TargetName, found: Option<FoundTarget>, state: &State) -> Result<()> {
    let refused = |why: &str| Err(Error::guard("cannot keep", &target.name, why));
    let (standing, is_as_it_was) = found.map_or((None, None), |found| (found.standing, found.is_as_it_was));
    match standing {
        Some(Standing::At { state: now, .. }) if now == *state && is_as_it_was != Some(false) => Ok(()),
        Some(Standing::At { state: now, .. }) if now == *state => {
            refused("somebody has written to it since the transfer ended")
        }
        _ => refused("it does not hold what was sent"),
    }
}

/// Takes a snapshot of the target, which is to hold what the text says; `None` where there is just that already.
fn snapshot_of(lvm: &Lvm, volume: &LogicalVolume, moment: Moment, holds: &str) -> Result<Option<Kept>> {
    let (of, holds) = (of_tag(&volume.uuid), holds_tag(holds));
    let tags = [of.as_str(), RECEIVED, &holds];
    if let Some(taken) = lvm.take_kept(volume, moment, &tags)? {
        return Ok(Some(taken));
    }
    let is_there = kept(lvm, volume)?
        .iter()
        .any(|kept| kept.moment == moment && tags.iter().all(|tag| kept.volume.has_tag(tag)));
    match is_there {
        true => Ok(None),
        false => {
            let why = format!("there is a volume that has the name of its snapshot of {moment}");
            Err(Error::guard("cannot keep", volume.full_name(), why).way_out("lvrename or lvremove it"))
        }
    }
}

pub(super) fn kept(lvm: &Lvm, volume: &LogicalVolume) -> Result<Vec<Kept>> {
    lvm.kept(&volume.vg, &[&of_tag(&volume.uuid), RECEIVED])
}

/// The tag of all snapshots that are kept of an LV.
pub(super) fn of_tag(uuid: &str) -> String {
    format!("lvpipe.of={uuid}")
}

fn to_be_made(target: &TargetName) -> Result<Option<NewVolume>> {
    let wrong = |why: String| Error::usage("cannot create target", &target.name, why);
    target.create.then(|| target.name.parse().map_err(wrong)).transpose()
}

fn find(target: &TargetName, stop: &Stop) -> Result<(Option<FoundTarget>, Option<JournalPlace>)> {
    find_target(OsStr::new(&target.name), to_be_made(target)?.as_ref(), stop)
}

/// The LV that the target is, if it is one.
fn resolve(lvm: &Lvm, target: &TargetName) -> Result<Option<LogicalVolume>> {
    match to_be_made(target)? {
        Some(new) => lvm.find(new.vg(), new.name()),
        None => lvm.resolve(&target.name),
    }
}

pub(super) fn thin(lvm: &Lvm, target: &TargetName) -> Result<LogicalVolume> {
    let thin = resolve(lvm, target)?.filter(LogicalVolume::is_thin);
    thin.ok_or_else(|| Error::guard("cannot put back", &target.name, "it is no thin volume"))
}

impl TargetName {
    /// As `recv` takes it, once it is there: `vg/lv`, or a path.
    ///
    /// # Errors
    /// A usage error for what is not `VG/POOL:NAME` where it must be.
    pub fn existing(&self) -> Result<String> {
        Ok(to_be_made(self)?.map_or_else(|| self.name.clone(), |new| format!("{}/{}", new.vg(), new.name())))
    }
}
