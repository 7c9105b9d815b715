//! The source's side of a replica: its snapshots, each kept for one destination.
//!
//! In: the source, and the name of the destination. Out: snapshots, found and removed by their tags: one names the source
//! by its UUID, which survives renaming, one the destination, so that two of them do not remove each other's bases. A
//! third says that it was not sent yet: what a killed run leaves is told from what the far side holds.

use std::collections::HashSet;
use std::time::Duration;

use super::far::of_tag;
use super::order::{Found, Holds};
use super::plan::First;
use super::prune::{prune_to, remove};
use crate::error::{Error, Result, Status};
use crate::moment::Moment;
use crate::stop::Stop;
use crate::volume::lvm::{Kept, LogicalVolume, Lvm};

/// On a snapshot until the far side has it.
const UNSENT: &str = "lvpipe.unsent";

/// How often another name is tried, a second later each: other destinations of the source may have the second's own.
const NAMES: u32 = 120;

/// LVM allows 1024 bytes for a tag; so many of a destination's name are enough to know it.
const LONGEST_NAME: usize = 200;

/// A source, and where its copy is.
#[derive(Debug)]
pub struct Near {
    lvm: Lvm,
    /// The source.
    pub volume: LogicalVolume,
    of: String,
    to: String,
}

impl Near {
    /// Of a thin LV, for a destination of this name.
    pub fn new(lvm: Lvm, volume: LogicalVolume, destination: &str) -> Self {
        let (of, to) = (of_tag(&volume.uuid), destination_tag(destination));
        Near { lvm, volume, of, to }
    }

    /// Its snapshots for the destination, the oldest first.
    ///
    /// # Errors
    /// When LVM cannot be asked.
    pub fn snapshots(&self) -> Result<Vec<Kept>> {
        self.lvm.kept(&self.volume.vg, &[&self.to, &self.of])
    }

    /// What a delta can be sent since: these snapshots, and what the far side holds if that is another snapshot in the
    /// same pool, as after a first copy by `send`. By UUID.
    ///
    /// # Errors
    /// When LVM cannot be asked.
    pub fn bases(&self, kept: &[Kept], found: &Found) -> Result<HashSet<String>> {
        let mut bases: HashSet<String> = kept.iter().map(|kept| kept.volume.uuid.clone()).collect();
        if let Some(Holds::At(state)) = found.target.as_ref().map(|there| &there.holds)
            && !bases.contains(state.volume())
        {
            let is_base = |found: &LogicalVolume| {
                found.is_thin() && (&found.vg, &found.pool) == (&self.volume.vg, &self.volume.pool)
            };
            let other = self.lvm.find_by_uuid(state.volume())?.filter(is_base);
            bases.extend(other.map(|other| other.uuid));
        }
        Ok(bases)
    }

    /// One of these snapshots, or another LV, by its UUID.
    ///
    /// # Errors
    /// When it is gone by now.
    pub fn by_uuid(&self, kept: &[Kept], uuid: &str) -> Result<LogicalVolume> {
        if let Some(kept) = kept.iter().find(|kept| kept.volume.uuid == uuid) {
            return Ok(kept.volume.clone());
        }
        self.lvm.find_by_uuid(uuid)?.ok_or_else(|| self.gone(uuid))
    }

    /// That a snapshot with this UUID was there, and is not any more.
    pub fn gone(&self, uuid: &str) -> Error {
        Error::new(Status::Io, "snapshot lost", self.volume.full_name(), format!("{uuid} is gone"))
            .way_out("start it again: it looks anew what both sides have")
    }

    /// Takes a snapshot of this moment. Its name sorts after those that there are on either side, whatever the clock
    /// says: the oldest are what is pruned.
    ///
    /// # Errors
    /// When LVM refuses, in its words; what ended the run.
    pub fn take(&self, kept: &[Kept], found: &Found, stop: &Stop) -> Result<Kept> {
        let there = found.target.as_ref().and_then(|there| there.snapshots.last());
        let last = kept.last().map(|kept| kept.moment).max(there.map(|there| there.moment));
        let after = last.map(Moment::next);
        for _ in 0..NAMES {
            let moment = after.map_or_else(Moment::now, |after| after.max(Moment::now()));
            if let Some(taken) = self.lvm.take_kept(&self.volume, moment, &[&self.of, &self.to, UNSENT])? {
                return Ok(taken);
            }
            let _ = stop.sleep(Duration::from_secs(1));
            stop.check()?;
        }
        let why = "there are volumes that have the names of all moments tried";
        Err(Error::new(Status::Io, "cannot take a snapshot", self.volume.full_name(), why))
    }

    /// The far side holds this snapshot now.
    ///
    /// # Errors
    /// LVM's words.
    pub fn was_sent(&self, kept: &Kept) -> Result<()> {
        if kept.volume.has_tag(UNSENT) { self.lvm.untag_kept(kept, UNSENT) } else { Ok(()) }
    }

    /// Removes a snapshot that was not sent; why not, if it cannot be.
    pub fn discard(&self, kept: &Kept) -> Option<String> {
        remove(&self.lvm, kept, &self.to)
    }

    /// Removes all snapshots that were not sent by runs that broke off, and that this one does not begin with. Those that
    /// stay; and a sentence for each that cannot be removed.
    pub fn discard_unsent(&self, kept: Vec<Kept>, first: &First) -> (Vec<Kept>, Vec<String>) {
        let (unsent, stay): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|kept| kept.volume.has_tag(UNSENT) && !first.needs(&kept.volume.uuid));
        (stay, unsent.iter().filter_map(|kept| self.discard(kept)).collect())
    }

    /// Removes all of these snapshots, of which the oldest is the first, but so many; a sentence for each that cannot be
    /// removed.
    pub fn prune(&self, kept: Vec<Kept>, keep: u32) -> Vec<String> {
        prune_to(&self.lvm, kept, keep, &self.to)
    }
}

/// The tag of all snapshots for a destination: its name as far as LVM allows that in a tag, and a checksum, for names
/// that differ in what is not allowed.
fn destination_tag(destination: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_.-/:".contains(c) { c } else { '_' };
    let name: String = destination.chars().take(LONGEST_NAME).map(allowed).collect();
    format!("lvpipe.to={name}#{:08x}", crc32c::crc32c(destination.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_lvm_allows_and_tells_destinations_apart() {
        assert!(destination_tag("host:22/vg/vm1").starts_with("lvpipe.to=host:22/vg/vm1#"));
        let (one, other) = (destination_tag("[2001:db8::1]//srv/a b"), destination_tag("[2001:db8::1]//srv/a=b"));
        assert!(one.starts_with("lvpipe.to=_2001:db8::1_//srv/a_b#") && one != other, "{one} {other}");
        assert!(destination_tag(&"\u{e4}".repeat(5000)).len() < 1024);
    }
}
