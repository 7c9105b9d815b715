//! An LV that is made active for the time of a run.
//!
//! In: an LV that has no device. Out: a guard; while it lives, the device is there. An LV that somebody else has
//! open when the run ends stays active until a later run finds it unused: better than to fail for that.

use super::held::patiently;
use super::{LogicalVolume, Lvm};
use crate::error::Result;
use crate::reserve::{Held, Record, Reservations};

/// The LV is active; deactivated on drop. Close its device before.
#[derive(Debug)]
pub struct Activation {
    lvm: Lvm,
    volume: LogicalVolume,
    /// None once it is deactivated.
    record: Option<Record>,
}

impl Activation {
    /// Activates an LV, even one that is left out of automatic activation, as thin snapshots are. One that is
    /// active already stays so, and there is nothing to hold.
    ///
    /// # Errors
    /// When LVM refuses, in its words.
    pub fn of(lvm: &Lvm, volume: &LogicalVolume, reservations: &Reservations) -> Result<Option<Self>> {
        if volume.is_active() {
            return Ok(None);
        }
        let record = reservations.record(Held::ActivatedLv { vg: volume.vg.clone(), lv: volume.name.clone() })?;
        let activation = Activation { lvm: lvm.clone(), volume: volume.clone(), record: Some(record) };
        lvm.run("lvchange", &["-qq", "--activate=y", "--ignoreactivationskip", &volume.full_name()])?;
        Ok(Some(activation))
    }

    /// Deactivates it, unless somebody else has it open by now, and says if that failed. In both cases a later run
    /// tries again.
    pub fn end(mut self) -> Result<()> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<()> {
        let Some(record) = self.record.take() else { return Ok(()) };
        let Err(why) = patiently(|| deactivate(&self.lvm, &self.volume.full_name())) else {
            return record.clear();
        };
        let now = self.lvm.find(&self.volume.vg, &self.volume.name)?;
        if now.is_some_and(|volume| volume.is_open()) { Ok(()) } else { Err(why) }
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        // Whoever drops it has an error of its own to tell; if this fails too, the record stays for a later run.
        let _ = self.let_go();
    }
}

pub(super) fn deactivate(lvm: &Lvm, name: &str) -> Result<()> {
    lvm.run("lvchange", &["-qq", "--activate=n", name]).map(drop)
}
