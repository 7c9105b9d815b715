//! A thin LV to which a delta is applied beside its target, to take the target's place when all of it is there.
//!
//! In: the target. Out: a snapshot of it that can be written; LVM's merge gives the target the snapshot's device then.
//! The target keeps its name, UUID, tags and flags, and is active or not as before. Until then it is as it was, and the
//! snapshot is removed on drop, or by the next run.

use super::held::HeldLv;
use super::snapshot::snapshot_name;
use super::{LogicalVolume, Lvm};
use crate::error::{Error, Result, Status};
use crate::reserve::Reservations;

/// The snapshot; removed on drop unless merged. Close its device before.
#[derive(Debug)]
pub struct StagedLv {
    lvm: Lvm,
    held: HeldLv,
    volume: LogicalVolume,
    target: LogicalVolume,
}

impl StagedLv {
    /// Takes a snapshot of a thin LV and activates it.
    ///
    /// # Errors
    /// LVM's words.
    pub fn take(lvm: &Lvm, target: &LogicalVolume, reservations: &Reservations) -> Result<Self> {
        let name = snapshot_name(target)?;
        let held = HeldLv::record(lvm, &target.vg, &name, reservations)?;
        let target_name = target.full_name();
        let mut arguments = vec!["--snapshot", "-qq", "--name", &name, "--permission=rw"];
        arguments.extend(["--setactivationskip=y", "--ignoreactivationskip", "--activate=y"]);
        arguments.extend(held.tags().into_iter().flat_map(|tag| ["--addtag", tag]));
        arguments.push(&target_name);
        lvm.run("lvcreate", &arguments)?;
        let volume = held.find()?.filter(LogicalVolume::is_active);
        let volume = volume.ok_or_else(|| {
            Error::new(Status::Io, "cannot use a snapshot", held.full_name(), "LVM does not make it active")
                .way_out("see activation/volume_list in lvm.conf")
        })?;
        Ok(StagedLv { lvm: lvm.clone(), held, volume, target: target.clone() })
    }

    /// The snapshot as an LV.
    pub fn volume(&self) -> &LogicalVolume {
        &self.volume
    }

    /// Makes sure that nobody has opened the target meanwhile.
    ///
    /// # Errors
    /// A guard's where somebody has, or it is gone.
    pub fn check_target(&self) -> Result<()> {
        let now = self.lvm.find_by_uuid(&self.target.uuid)?.ok_or_else(|| self.refused("it is gone"))?;
        if now.is_open() {
            return Err(self
                .refused("somebody has opened it meanwhile")
                .way_out("close it and send the delta again: if it was written to, send all of it"));
        }
        Ok(())
    }

    /// Gives the target what the snapshot holds, and its device in the pool. Neither may be open.
    ///
    /// # Errors
    /// LVM's words: the target is as it was then, unless LVM was killed. A guard's where it was opened in the very moment
    /// of the merge.
    pub fn merge(self) -> Result<()> {
        self.lvm.run("lvconvert", &["-qq", "--yes", "--merge", &self.volume.full_name()])?;
        let name = self.target.full_name();
        let deferred = self
            .refused("somebody has opened it in this moment: LVM applies the delta when it is next activated")
            .way_out(format!("close it; lvchange -an {name} && lvchange -ay {name}"));
        self.held.keep()?;
        // LVM puts it off where the target is open.
        match self.lvm.find_by_uuid(&self.volume.uuid)? {
            None => Ok(()),
            Some(_) => Err(deferred),
        }
    }

    fn refused(&self, why: &str) -> Error {
        Error::guard("cannot apply the delta", self.target.full_name(), why)
    }

    /// Removes it after a run that failed; a notice, if that cannot be done now.
    pub fn abandon(mut self) -> Option<String> {
        self.held.abandon()
    }
}
