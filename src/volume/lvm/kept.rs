//! Snapshots that stay when a run ends: what `replicate` keeps of a volume, until there are enough newer ones.
//!
//! In: a thin LV, a moment, tags. Out: `LV.lvpipe-20261123T022506Z`, a read-only snapshot that is not active and left
//! out of automatic activation; names sort as time goes. It has its tags from the moment it exists. By those it is found
//! and removed, never by its name, which may be that of another LV by then; an LV that an admin has renamed does not have
//! a moment in its name any more, and is the admin's from then on.

use std::str::FromStr;

use super::held::remove;
use super::report::quoted;
use super::snapshot::{INFIX, name_of};
use super::{LogicalVolume, Lvm};
use crate::error::Result;
use crate::moment::Moment;

/// A snapshot that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The snapshot.
    pub volume: LogicalVolume,
    /// The moment in its name.
    pub moment: Moment,
}

impl Kept {
    /// `None` where there is no moment in its name.
    pub fn of(volume: LogicalVolume) -> Option<Self> {
        let moment = Moment::from_str(volume.name.rsplit_once(INFIX)?.1).ok()?;
        Some(Kept { volume, moment })
    }
}

impl Lvm {
    /// Takes a snapshot of a thin LV, to be kept. `None` where there is an LV of its name already.
    ///
    /// # Errors
    /// When LVM refuses: the pool is full or needs repair, the group is exported, and so on, in its words.
    pub fn take_kept(&self, origin: &LogicalVolume, moment: Moment, tags: &[&str]) -> Result<Option<Kept>> {
        let name = name_of(origin, &moment.to_string());
        let origin_name = origin.full_name();
        let mut arguments = vec!["--snapshot", "-qq", "--name", &name, "--permission=r", "--setactivationskip=y"];
        arguments.extend(tags.iter().flat_map(|tag| ["--addtag", tag]));
        arguments.push(&origin_name);
        let taken = self.run("lvcreate", &arguments);
        let found = self.find(&origin.vg, &name)?;
        match (taken, found) {
            (Ok(_), found) => Ok(found.and_then(Kept::of)),
            (Err(_), Some(_)) => Ok(None),
            (Err(why), None) => Err(why),
        }
    }

    /// The snapshots in this group that bear all of these tags, of which there is one at least, the oldest first.
    ///
    /// # Errors
    /// When LVM cannot be asked.
    pub fn kept(&self, vg: &str, tags: &[&str]) -> Result<Vec<Kept>> {
        let first = tags.first().copied().unwrap_or_default();
        let found = self.select(&format!("vg_name={} && lv_tags={}", quoted(vg), quoted(first)))?;
        let found = found.into_iter().filter(|volume| tags.iter().all(|tag| volume.has_tag(tag)));
        let mut kept: Vec<Kept> = found.filter_map(Kept::of).collect();
        kept.sort_by_key(|kept| kept.moment);
        Ok(kept)
    }

    /// Takes a tag from a snapshot.
    ///
    /// # Errors
    /// LVM's words.
    pub fn untag_kept(&self, kept: &Kept, tag: &str) -> Result<()> {
        let Kept { volume: LogicalVolume { uuid, vg, .. }, .. } = kept;
        let selection = format!("lv_uuid={}", quoted(uuid));
        self.run("lvchange", &["-qq", "--deltag", tag, "--select", &selection, vg]).map(drop)
    }

    /// Removes a snapshot, if it still bears the tag by which it was found. One that is gone is removed already.
    ///
    /// # Errors
    /// LVM's words; that it is open is one of them.
    pub fn remove_kept(&self, kept: &Kept, tag: &str) -> Result<()> {
        let Kept { volume: LogicalVolume { uuid, vg, .. }, .. } = kept;
        remove(self, vg, &format!("lv_uuid={} && lv_tags={}", quoted(uuid), quoted(tag)))
    }
}
