//! An LV that is made active for the time of a run.
//!
//! In: an LV that has no device. Out: a guard; while it lives, the device is there. An LV that somebody else has
//! open when the run ends stays active, and is theirs from then on: better than to fail for that.

use super::held::patiently;
use super::report::quoted;
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
        let LogicalVolume { vg, name, uuid, .. } = volume.clone();
        let record = reservations.record(Held::ActivatedLv { vg, lv: name, uuid })?;
        let activation = Activation { lvm: lvm.clone(), volume: volume.clone(), record: Some(record) };
        change(lvm, volume, &["--activate=y", "--ignoreactivationskip"])?;
        Ok(Some(activation))
    }

    /// Deactivates it after a run that went well. Where somebody has opened it meanwhile it stays active, and a
    /// notice says so.
    ///
    /// # Errors
    /// LVM's words, when it is not that; a later run tries again then.
    pub fn end(mut self) -> Result<Option<String>> {
        let Some(record) = self.record.take() else { return Ok(None) };
        let notice = match patiently(|| deactivate(&self.lvm, &self.volume)) {
            Ok(()) => None,
            Err(_) if is_open(&self.lvm, &self.volume)? => {
                Some(format!("{} stays active: somebody has opened it meanwhile", self.volume.full_name()))
            }
            Err(why) => return Err(why),
        };
        record.clear()?;
        Ok(notice)
    }

    /// It stays active: from now on that is not this run's to undo.
    ///
    /// # Errors
    /// Where that cannot be recorded; then it is deactivated.
    pub fn stay(mut self) -> Result<()> {
        self.record.take().map_or(Ok(()), Record::clear)
    }

    /// Deactivates it after a run that failed. What has it open may be the run's own I/O, which the kernel holds
    /// back: then it is left to a later run, and a notice says so.
    pub fn abandon(mut self) -> Option<String> {
        let why = self.let_go().err()?;
        let name = self.volume.full_name();
        Some(format!(
            "{name} is still active: {}; the next run of lvpipe deactivates it, unless it is open",
            why.why().trim_end_matches('.')
        ))
    }

    fn let_go(&mut self) -> Result<()> {
        let Some(record) = self.record.take() else { return Ok(()) };
        patiently(|| deactivate(&self.lvm, &self.volume))?;
        record.clear()
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        // Whoever drops it has an error of its own to tell; if this fails too, the record stays for a later run.
        let _ = self.let_go();
    }
}

/// LVM refuses where it is open.
pub(super) fn deactivate(lvm: &Lvm, volume: &LogicalVolume) -> Result<()> {
    change(lvm, volume, &["--activate=n"])
}

/// This very LV, whatever its name is by now: another may have that.
fn change(lvm: &Lvm, volume: &LogicalVolume, how: &[&str]) -> Result<()> {
    let selection = format!("lv_uuid={}", quoted(&volume.uuid));
    let arguments = [&["-qq"], how, &["--select", &selection, &volume.vg]].concat();
    lvm.run("lvchange", &arguments).map(drop)
}

/// Whether somebody has it open right now.
fn is_open(lvm: &Lvm, volume: &LogicalVolume) -> Result<bool> {
    Ok(lvm.find_by_uuid(&volume.uuid)?.is_some_and(|now| now.is_open()))
}
