//! An LV that is to be removed again, on record from before it exists until it is gone.
//!
//! In: its name. Out: a guard that removes it on drop, and leaves the record for the next run where that fails.

use std::thread::sleep;
use std::time::Duration;

use super::Lvm;
use crate::error::Result;
use crate::reserve::{Held, Record, Reservations};

/// How long to wait before each further try. A scanner that looks into each new device (udev's blkid) has it open
/// for a moment, and LVM itself waits too.
const WAITS: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)];

/// An LV that is removed on drop.
#[derive(Debug)]
pub(super) struct HeldLv {
    lvm: Lvm,
    vg: String,
    lv: String,
    /// None once it is gone or kept.
    record: Option<Record>,
}

impl HeldLv {
    /// Records the LV. Create it next.
    pub(super) fn record(lvm: &Lvm, vg: &str, lv: &str, reservations: &Reservations) -> Result<Self> {
        let record = reservations.record(Held::TemporaryLv { vg: vg.into(), lv: lv.into() })?;
        Ok(HeldLv { lvm: lvm.clone(), vg: vg.into(), lv: lv.into(), record: Some(record) })
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.vg, self.lv)
    }

    /// Removes it, and says if that failed; the next run tries again then.
    pub(super) fn remove(&mut self) -> Result<()> {
        let Some(record) = self.record.take() else { return Ok(()) };
        remove(&self.lvm, &self.vg, &self.lv)?;
        record.clear()
    }

    /// It stays: from now on it is not ours to remove.
    pub(super) fn keep(mut self) -> Result<()> {
        self.record.take().map_or(Ok(()), Record::clear)
    }
}

impl Drop for HeldLv {
    fn drop(&mut self) {
        // Whoever drops it has an error of its own to tell; if this fails too, the record stays for the next run.
        let _ = self.remove();
    }
}

/// Removes an LV, patiently while it is busy. One that is not there is removed already.
pub(super) fn remove(lvm: &Lvm, vg: &str, lv: &str) -> Result<()> {
    patiently(|| {
        let removed = lvm.run("lvremove", &["--force", "--yes", "-qq", &format!("{vg}/{lv}")]);
        if removed.is_err() && lvm.find(vg, lv)?.is_none() {
            return Ok(());
        }
        removed.map(drop)
    })
}

/// Tries a few times.
pub(super) fn patiently(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    for wait in WAITS {
        if attempt().is_ok() {
            return Ok(());
        }
        sleep(wait);
    }
    attempt()
}
