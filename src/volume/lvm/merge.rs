//! A target gets what a snapshot of it holds: LVM's merge, which of thin volumes takes no time.
//!
//! The target keeps its name, UUID, tags and flags, and is active or not as before; the snapshot is gone. LVM does it in
//! one step: killed at any moment, the target is as it was or as the snapshot.

use super::{LogicalVolume, Lvm};
use crate::error::{Error, Result};

impl Lvm {
    /// Merges a snapshot into the LV that it was taken of. Neither may be open. `what` cannot be done if that fails.
    /// `merged` is called as soon as LVM has the snapshot for its own.
    ///
    /// # Errors
    /// A guard's when somebody has the target open; else LVM's words. The target is as it was then, unless it was
    /// opened in the very moment of the merge, which the error says.
    pub(super) fn merge(
        &self,
        what: &str,
        target: &LogicalVolume,
        snapshot: &LogicalVolume,
        merged: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let name = target.full_name();
        let refused = |why: &str| Error::guard(what, &name, why);
        self.refuse_open(what, target)?;
        self.run("lvconvert", &["-qq", "--yes", "--merge", &snapshot.full_name()])?;
        merged()?;
        // LVM puts it off where the target is open.
        match self.find_by_uuid(&snapshot.uuid)? {
            None => Ok(()),
            Some(_) => Err(refused("somebody has opened it in this moment: LVM does it when it is next activated")
                .way_out(format!("close it; lvchange -an {name} && lvchange -ay {name}"))),
        }
    }

    /// Puts an LV back to what a snapshot of it holds, which is used up thereby. `holds` is kept of it afterwards; while
    /// that is under way, `between`.
    ///
    /// # Errors
    /// A guard's when somebody has the LV open; else LVM's words.
    pub fn roll_back(
        &self,
        volume: &LogicalVolume,
        snapshot: &LogicalVolume,
        between: &str,
        holds: &str,
    ) -> Result<()> {
        let what = "cannot put back";
        self.refuse_open(what, volume)?;
        self.set_holds(volume, Some(between))?;
        self.merge(what, volume, snapshot, || Ok(()))?;
        self.set_holds(volume, Some(holds))
    }

    fn refuse_open(&self, what: &str, volume: &LogicalVolume) -> Result<()> {
        let refused = |why: &str| Error::guard(what, volume.full_name(), why);
        match self.find_by_uuid(&volume.uuid)? {
            None => Err(refused("it is gone")),
            Some(now) if now.is_open() => {
                Err(refused("somebody has it open").way_out("close it and do the same again"))
            }
            Some(_) => Ok(()),
        }
    }
}
