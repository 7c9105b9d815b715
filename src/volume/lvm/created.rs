//! A thin LV made for a target: `recv --create`.
//!
//! In: a pool, a name, a size. Out: the LV, active. It is removed again on drop, unless it is kept because all of
//! it has arrived. Until then it is marked as temporary, so that even a power cut leaves nothing half-written that
//! looks whole.

use super::held::{HeldLv, remove_tagged};
use super::marks::INCOMPLETE;
use super::report::quoted;
use super::resolve::is_valid;
use super::{LogicalVolume, Lvm};
use crate::error::{Error, Result, Status};
use crate::reserve::Reservations;

/// The LV; removed on drop unless kept. Close its device before it is dropped.
#[derive(Debug)]
pub struct CreatedLv {
    lvm: Lvm,
    held: HeldLv,
    volume: LogicalVolume,
}

impl CreatedLv {
    /// Makes a thin LV of at least `size` bytes, 1 to 2^63: LVM rounds up to whole extents of the group.
    ///
    /// # Errors
    /// Status [`Status::Guard`] when there is an LV of this name already or no such pool; else LVM's words.
    pub fn create(
        lvm: &Lvm,
        vg: &str,
        pool: &str,
        name: &str,
        size: u64,
        reservations: &Reservations,
    ) -> Result<Self> {
        check_new(lvm, vg, pool, name)?;
        let held = HeldLv::record(lvm, vg, name, reservations)?;
        // LVM takes sizes in whole sectors only.
        let virtual_size = format!("{}b", size.div_ceil(512) * 512);
        let pool_name = format!("{vg}/{pool}");
        let mut arguments = vec!["--type=thin", "-qq", "--yes", "--name", name, "--virtualsize", &virtual_size];
        arguments.extend(held.tags().into_iter().flat_map(|tag| ["--addtag", tag]));
        arguments.extend(["--activate=y", "--setactivationskip=n", "--thinpool", &pool_name]);
        if let Err(why) = lvm.run("lvcreate", &arguments) {
            // Somebody may have been faster since it was looked for. What they made lacks our tag and stays.
            let taken = if held.find()?.is_none() { lvm.find(vg, name)? } else { None };
            return Err(taken.map_or(why, |taken| exists_already(&taken)));
        }
        let volume = held.find()?.filter(LogicalVolume::is_active);
        let volume = volume.ok_or_else(|| {
            Error::new(Status::Io, "cannot use a new volume", held.full_name(), "LVM does not make it active")
                .way_out("see activation/volume_list in lvm.conf")
        })?;
        Ok(CreatedLv { lvm: lvm.clone(), held, volume })
    }

    /// The LV.
    pub fn volume(&self) -> &LogicalVolume {
        &self.volume
    }

    /// It is whole: it stays, as an LV like any other. Where that cannot be recorded it is removed.
    pub fn keep(self) -> Result<()> {
        let name = self.held.full_name();
        let mut arguments = vec!["-qq"];
        arguments.extend(self.held.tags().into_iter().flat_map(|tag| ["--deltag", tag]));
        arguments.push(&name);
        // Before the record is cleared: killed in between, the record without the mark removes nothing.
        self.lvm.run("lvchange", &arguments)?;
        self.held.keep()
    }

    /// It is about to be handed over: from here on a power cut leaves it, with the mark of what is not known to be whole.
    /// A run that fails, or is killed, does not.
    ///
    /// # Errors
    /// LVM's words.
    pub fn unmark(&self) -> Result<()> {
        let (name, own) = (self.held.full_name(), self.held.own_tag());
        let marks = self.held.tags().into_iter().filter(|tag| *tag != own);
        let incomplete = ["-qq", "--addtag", INCOMPLETE];
        let arguments: Vec<&str> = incomplete.into_iter().chain(marks.flat_map(|tag| ["--deltag", tag])).collect();
        self.lvm.run("lvchange", &[&arguments[..], &[&name]].concat()).map(drop)
    }

    /// It stays from now on, unless it is removed by what is returned. Costs no LVM command: somebody may be waiting.
    /// To be [unmarked](CreatedLv::unmark) before.
    ///
    /// # Errors
    /// Where that cannot be recorded; then it is removed.
    pub fn hand_over(self) -> Result<HandedOverLv> {
        let CreatedLv { lvm, held, volume } = self;
        let own = held.own_tag().to_string();
        held.keep()?;
        Ok(HandedOverLv { lvm, volume, own })
    }

    /// Removes it after a run that failed; a notice, if that cannot be done now. What has it open may be the run's own
    /// I/O, which the kernel holds back; the next run tries again.
    pub fn abandon(mut self) -> Option<String> {
        self.held.abandon()
    }
}

/// A new LV that stays, whatever becomes of this run.
#[derive(Debug)]
pub struct HandedOverLv {
    lvm: Lvm,
    volume: LogicalVolume,
    /// By which it is known, whatever its name is by now. Nobody but this run looks for it.
    own: String,
}

impl HandedOverLv {
    /// Nobody took it: it is removed after all.
    ///
    /// # Errors
    /// LVM's words, as that somebody has it open. It is left then.
    pub fn remove(self) -> Result<()> {
        remove_tagged(&self.lvm, &self.volume.vg, &self.own)
    }

    /// Somebody took it: removes the last of its tags.
    ///
    /// # Errors
    /// LVM's words. The tags do no harm.
    pub fn tidy(self) -> Result<()> {
        let selection = format!("lv_tags={}", quoted(&self.own));
        let arguments =
            ["-qq", "--deltag", &self.own, "--deltag", INCOMPLETE, "--select", &selection, &self.volume.vg];
        self.lvm.run("lvchange", &arguments).map(drop)
    }
}

impl Lvm {
    /// Makes an LV so large, in bytes; LVM rounds up to whole extents of the group.
    ///
    /// # Errors
    /// LVM's words: the group may have no more room.
    pub fn extend(&self, volume: &LogicalVolume, size: u64) -> Result<()> {
        let size = format!("{}b", size.div_ceil(512) * 512);
        self.run("lvextend", &["-qq", "--size", &size, &volume.full_name()]).map(drop)
    }
}

/// Refuses what would fail, before anything is done.
pub(in crate::volume) fn check_new(lvm: &Lvm, vg: &str, pool: &str, name: &str) -> Result<()> {
    let full_name = format!("{vg}/{name}");
    if let Some(wrong) = [vg, pool, name].into_iter().find(|name| !is_valid(name)) {
        let why = "LVM allows letters, digits and + _ . - in names, 127 at most";
        return Err(Error::new(Status::Usage, "cannot create volume", wrong, why));
    }
    if let Some(there) = lvm.find(vg, name)? {
        return Err(exists_already(&there));
    }
    match lvm.find(vg, pool)? {
        Some(pool) if pool.is_thin_pool() => Ok(()),
        Some(other) => {
            let why = format!("{} is no thin pool", other.full_name());
            Err(Error::guard("cannot create volume", full_name, why).way_out("lvs -o +lv_layout lists the pools"))
        }
        None => {
            let why = format!("there is no pool {vg}/{pool}");
            Err(Error::guard("cannot create volume", full_name, why).way_out("lvs -o +lv_layout lists the pools"))
        }
    }
}

fn exists_already(volume: &LogicalVolume) -> Error {
    let name = volume.full_name();
    if volume.has_tag(INCOMPLETE) {
        let why = "it is left of a migration of which nobody knows whether it came to its end";
        return Error::guard("cannot create volume", &name, why)
            .way_out(format!("if nobody uses it: lvremove {name}"))
            .also(format!("if it is in use: lvchange --deltag {INCOMPLETE} {name}"));
    }
    Error::guard("cannot create volume", &name, "it exists already")
        .way_out("receive into it without --create, or choose another name")
}
