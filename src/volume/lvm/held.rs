//! An LV that is to be removed again, on record from before it exists until it is gone.
//!
//! In: its name. Out: the tags to make it with, one of them its own, and a guard that removes the LV with that tag on
//! drop, and leaves the record for the next run where that fails. Never by name: between the look for a name and
//! LVM's own, somebody else can make an LV of this name, and that one is not ours to remove.

use std::thread::sleep;
use std::time::Duration;

use super::marks::{Marks, TEMPORARY, own_tag};
use super::report::quoted;
use super::{LogicalVolume, Lvm};
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
    marks: Marks,
    /// The tag that only this LV bears.
    own: String,
    /// None once it is gone or kept.
    record: Option<Record>,
}

impl HeldLv {
    /// Records the LV. Create it next, with its [`HeldLv::tags`].
    pub(super) fn record(lvm: &Lvm, vg: &str, lv: &str, reservations: &Reservations) -> Result<Self> {
        let (marks, own) = (Marks::of_this_boot()?, own_tag()?);
        let record = reservations.record(Held::TemporaryLv { vg: vg.into(), lv: lv.into(), tag: own.clone() })?;
        Ok(HeldLv { lvm: lvm.clone(), vg: vg.into(), lv: lv.into(), marks, own, record: Some(record) })
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.vg, self.lv)
    }

    /// The tags that the LV must have from the moment it exists.
    pub(super) fn tags(&self) -> [&str; 4] {
        let [temporary, host, boot] = self.marks.all();
        [temporary, host, boot, &self.own]
    }

    /// The tag that only this LV bears.
    pub(super) fn own_tag(&self) -> &str {
        &self.own
    }

    /// The LV, if it has been made.
    pub(super) fn find(&self) -> Result<Option<LogicalVolume>> {
        self.lvm.find_by_tag(&self.vg, &self.own)
    }

    /// Removes it, and says if that failed; the next run tries again then.
    pub(super) fn remove(&mut self) -> Result<()> {
        let Some(record) = self.record.take() else { return Ok(()) };
        remove_tagged(&self.lvm, &self.vg, &self.own)?;
        record.clear()
    }

    /// Removes it after a run that failed; what is left, if that cannot be done now.
    pub(super) fn abandon(&mut self) -> Option<String> {
        let why = self.remove().err()?;
        Some(format!(
            "{} is left: {}; the next run of lvpipe removes it",
            self.full_name(),
            why.why().trim_end_matches('.')
        ))
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

/// Removes the LV with this tag of its own, patiently while it is busy. One that is not there is removed already.
pub(super) fn remove_tagged(lvm: &Lvm, vg: &str, own: &str) -> Result<()> {
    remove(lvm, vg, &format!("lv_tags={}", quoted(own)))
}

/// Removes this very LV, if it still bears lvpipe's mark.
pub(super) fn remove_marked(lvm: &Lvm, volume: &LogicalVolume) -> Result<()> {
    remove(lvm, &volume.vg, &format!("lv_uuid={} && lv_tags={TEMPORARY}", quoted(&volume.uuid)))
}

/// LVM selects under the lock of the group: what it removes is what matched.
pub(super) fn remove(lvm: &Lvm, vg: &str, selection: &str) -> Result<()> {
    patiently(|| {
        let removed = lvm.run("lvremove", &["--force", "--yes", "-qq", "--select", selection, vg]);
        // A group that is gone, to name one.
        if removed.is_err() && lvm.select(&format!("vg_name={} && {selection}", quoted(vg)))?.is_empty() {
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
