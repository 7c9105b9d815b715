//! A thin target is given again what an earlier snapshot of it holds.
//!
//! LVM's own merge takes only snapshots that were taken since the target last got another device, which each delta gives
//! it. So what differs is copied, within the host: by both devices' trees, chunk by chunk, to a snapshot that then takes
//! the target's place, as `recv` does it with a delta. The snapshot stays, the target is as it was until the end.
//!
//! What a snapshot holds is said by a tag that it has from the moment it is taken; whether that was true is looked at
//! only then (see [`super::far::keep`]), and a run that is killed in between looks no more. So its mappings have to agree
//! here, before anything is copied.
//!
//! On the caller's thread, one piece after the other: it is rare, and mostly little.

use std::sync::Arc;

use memmap2::MmapMut;

use super::far::{kept, thin};
use super::order::TargetName;
use crate::error::{Error, Result};
use crate::moment::Moment;
use crate::stop::Stop;
use crate::usedmap::{Extent, UsedMap};
use crate::volume::lvm::{Kept, Lvm};
use crate::volume::{
    Arrival, Expected, OpenSource, OpenTarget, Since, Source, SourceOptions, Standing, State, Target, What,
    found_lv, open_source, open_target,
};

/// What is read and written in one go.
const PIECE: u64 = 1 << 20;

/// What a target is said to hold for the moment in which it gets its place, instead of a base: no snapshot has this name,
/// so a run that was killed then is not taken for a delta that broke off, nor what was written to it for a part of one.
const PUT_BACK: &str = "put-back";

/// Puts a thin target back to what a snapshot of it holds; what the user should know.
///
/// # Errors
/// A guard's where there is no such snapshot, or somebody has the target open; LVM's, or the system's.
pub fn put_back(target: &TargetName, to: Moment, stop: &Stop) -> Result<Vec<String>> {
    let lvm = Lvm::default();
    let volume = thin(&lvm, target)?;
    let gone = || Error::guard("cannot put back", &target.name, "its snapshot is gone");
    let snapshot = kept(&lvm, &volume)?.into_iter().find(|kept| kept.moment == to).ok_or_else(gone)?;
    let state = state_of(&snapshot).ok_or_else(gone)?;
    let mut looked = refuse_written(&lvm, &snapshot, target, stop)?;
    // Whatever it holds by now: all that differs from the snapshot is copied.
    let base = PUT_BACK.parse().expect("letters and a dash are a state");
    let arrival = Arrival { base: Some(base), state: Some(state), assume_base: true, resumes: false };
    let expected = Expected { arrival: Some(&arrival), size: Some(snapshot.volume.size), ..Expected::default() };
    // From here on nobody else has it open, so what differs does not change.
    let name = volume.full_name();
    let OpenTarget { target: open, held, notices, .. } = open_target(name.as_ref(), expected, stop)?;
    looked.extend(notices);
    match copy(&snapshot, &name, open, stop) {
        Ok(told) => {
            looked.extend(told);
            looked.extend(held.keep()?);
            Ok(looked)
        }
        // What is left there is told with what failed.
        Err(error) => Err(held.abandon().into_iter().fold(error, Error::also)),
    }
}

/// Refuses a snapshot that holds something else than it says: of a target that was written to just before it was taken.
fn refuse_written(lvm: &Lvm, snapshot: &Kept, target: &TargetName, stop: &Stop) -> Result<Vec<String>> {
    let found = found_lv(lvm, snapshot.volume.clone(), stop)?;
    if found.is_as_it_was != Some(false) {
        return Ok(found.notices);
    }
    let name = snapshot.volume.full_name();
    let why = format!("{name} was taken when somebody had written to the target: it does not hold what it says");
    Err(Error::guard("cannot put back", &target.name, why)
        .way_out(format!("lvremove {name} there; the next run takes an earlier one")))
}

/// Which state of the source a kept snapshot holds, by its tag.
pub(super) fn state_of(kept: &Kept) -> Option<State> {
    match kept.volume.holds()?.parse().ok()? {
        Standing::At { state, .. } => Some(state),
        Standing::Between { .. } => None,
    }
}

/// Copies to the target what the snapshot has otherwise; the target is on stable storage then, and closed. What the user
/// should know.
fn copy(snapshot: &Kept, name: &str, target: Arc<dyn Target>, stop: &Stop) -> Result<Vec<String>> {
    let options =
        SourceOptions { since: Some(Since::Volume(name.into())), no_snapshot: true, ..Default::default() };
    let OpenSource { what, held, mut notices, .. } =
        open_source(snapshot.volume.full_name().as_ref(), &options, stop)?;
    let copied = match what {
        What::Volume { source, map, discarded: Some(discarded) } => {
            copy_maps(&*source, &*target, &map, &discarded, stop)
        }
        _ => Err(Error::guard("cannot put back", name, "it is not known what has changed")),
    };
    drop(target);
    match copied {
        Ok(()) => {
            notices.extend(held.release()?);
            Ok(notices)
        }
        Err(error) => Err(held.abandon().into_iter().fold(error, Error::also)),
    }
}

fn copy_maps(
    source: &dyn Source,
    target: &dyn Target,
    written: &UsedMap,
    discarded: &UsedMap,
    stop: &Stop,
) -> Result<()> {
    target.begin_delta(Some(source.size()))?;
    let mut room = MmapMut::map_anon(PIECE as usize).map_err(|e| Error::io("cannot put back", "memory", &e))?;
    for piece in written.extents().iter().flat_map(|extent| pieces(*extent)) {
        stop.check()?;
        let room = &mut room[..piece.length as usize];
        source.read_at(piece.offset, room)?;
        target.write(piece.offset, room)?;
        target.written(piece, piece.length)?;
    }
    for extent in discarded.extents() {
        target.hole(extent.offset, extent.length)?;
    }
    target.finish(source.size())
}

fn pieces(extent: Extent) -> impl Iterator<Item = Extent> {
    let step = usize::try_from(PIECE).unwrap_or(usize::MAX);
    (extent.offset..extent.end()).step_by(step).map(move |at| Extent::between(at, extent.end().min(at + PIECE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_is_all_of_its_pieces() {
        let pieces = |offset, end| pieces(Extent::between(offset, end)).collect::<Vec<_>>();
        assert_eq!(pieces(4096, 4096), []);
        assert_eq!(pieces(4096, 8192), [Extent::between(4096, 8192)]);
        let halves = [Extent::between(4096, 4096 + PIECE), Extent::between(4096 + PIECE, 4097 + PIECE)];
        assert_eq!(pieces(4096, 4097 + PIECE), halves);
    }
}
