//! A thin snapshot for the time of a run: a source that stands still while its origin is written to.
//!
//! In: a thin LV, mounted or not. LVM suspends it for the moment of the snapshot, which makes file systems on it
//! write out what they hold. Out: the snapshot, active, read-only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::stat;

use super::held::HeldLv;
use super::resolve::lv_uuid;
use super::{LogicalVolume, Lvm};
use crate::error::{Error, Result, Status};
use crate::reserve::Reservations;

/// The longest name that device-mapper takes, less the NUL: DM_NAME_LEN in linux/dm-ioctl.h.
const LONGEST_DEVICE_NAME: usize = 127;

/// The letters of lvs(8) for what is taken here: thin, read-only, active, left out of automatic activation.
const AS_TAKEN: &str = "Vri-a-tz-k";

/// The snapshot; removed on drop. Close its device before: what is open cannot be removed.
#[derive(Debug)]
pub struct TemporarySnapshot {
    held: HeldLv,
    volume: LogicalVolume,
}

impl TemporarySnapshot {
    /// Takes a snapshot of a thin LV and activates it.
    ///
    /// # Errors
    /// When LVM refuses: the pool is full or needs repair, the group is exported, and so on, in its words.
    pub fn take(lvm: &Lvm, origin: &LogicalVolume, reservations: &Reservations) -> Result<Self> {
        let name = snapshot_name(origin)?;
        let held = HeldLv::record(lvm, &origin.vg, &name, reservations)?;
        let origin_name = origin.full_name();
        let mut arguments = vec!["--snapshot", "-qq", "--name", &name, "--permission=r"];
        // It keeps the flag that leaves it out of automatic activation: nobody else is to open it, ever.
        arguments.extend(["--setactivationskip=y", "--ignoreactivationskip", "--activate=y"]);
        arguments.extend(held.tags().into_iter().flat_map(|tag| ["--addtag", tag]));
        arguments.push(&origin_name);
        let taken = lvm.run("lvcreate", &arguments);
        taken.map_err(|why| why.way_out("if nobody writes to it: --no-snapshot sends it without"))?;
        let volume = match seen_by_its_device(origin, &name, &held) {
            Some(volume) => Some(volume),
            None => held.find()?.filter(LogicalVolume::is_active),
        };
        let volume = volume.ok_or_else(|| {
            Error::new(Status::Io, "cannot use a snapshot", held.full_name(), "LVM does not make it active")
                .way_out("see activation/volume_list in lvm.conf")
        })?;
        Ok(TemporarySnapshot { held, volume })
    }

    /// The snapshot as an LV.
    pub fn volume(&self) -> &LogicalVolume {
        &self.volume
    }

    /// Removes it, and says if that failed; the next run tries again then.
    pub fn remove(mut self) -> Result<()> {
        self.held.remove()
    }

    /// Removes it after a run that failed; a notice, if that cannot be done now. What has it open may be the run's own
    /// I/O, which the kernel holds back; the next run tries again.
    pub fn abandon(mut self) -> Option<String> {
        self.held.abandon()
    }
}

/// The snapshot that LVM has just made, as its device tells: to ask LVM would take as long as the snapshot itself, and
/// somebody may be waiting for it. `None` where there is no such device, which is for LVM to explain.
fn seen_by_its_device(origin: &LogicalVolume, name: &str, held: &HeldLv) -> Option<LogicalVolume> {
    let escaped = |name: &str| name.replace('-', "--");
    let path = PathBuf::from(format!("/dev/mapper/{}-{}", escaped(&origin.vg), escaped(name)));
    let number = fs::metadata(&path).ok()?.rdev();
    let told = format!("/sys/dev/block/{}:{}", stat::major(number), stat::minor(number));
    let uuid = fs::read_to_string(format!("{told}/dm/uuid")).ok()?;
    let sectors: u64 = fs::read_to_string(format!("{told}/size")).ok()?.trim().parse().ok()?;
    Some(LogicalVolume {
        vg: origin.vg.clone(),
        name: name.into(),
        uuid: lv_uuid(uuid.trim_end())?,
        size: sectors.checked_mul(512)?,
        pool: origin.pool.clone(),
        thin_id: None,
        origin: Some(origin.name.clone()),
        tags: held.tags().map(String::from).to_vec(),
        path,
        attributes: AS_TAKEN.into(),
    })
}

/// A name for a snapshot of this LV that no other has.
pub(super) fn snapshot_name(origin: &LogicalVolume) -> Result<String> {
    let number = getrandom::u32()
        .map_err(|why| Error::new(Status::Io, "cannot name a snapshot", origin.full_name(), why))?;
    Ok(name_of(origin, &format!("{number:08x}")))
}

/// What stands between an LV's name and what tells its snapshots apart.
pub(super) const INFIX: &str = ".lvpipe-";

/// `LV.lvpipe-0123abcd`, with a long LV's name cut so that the device's name is not too long for the kernel. The end is
/// short, and of letters and digits.
pub(super) fn name_of(origin: &LogicalVolume, end: &str) -> String {
    let suffix = format!("{INFIX}{end}");
    // A dash is doubled in the device's name; one stands between group and LV.
    let length = |text: &str| text.len() + text.matches('-').count();
    let room = LONGEST_DEVICE_NAME.saturating_sub(length(&origin.vg) + 1 + length(&suffix));
    let mut base = origin.name.as_str();
    while length(base) > room {
        // LVM's names are ASCII: any byte is a character.
        base = base.get(..base.len() - 1).unwrap_or_default();
    }
    format!("{base}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::volume;
    use super::*;

    #[test]
    fn a_snapshot_is_named_for_its_origin_and_fits_the_kernel() {
        assert_eq!(name_of(&volume("vg", "vm1"), "0012abcd"), "vm1.lvpipe-0012abcd");
        for lv in ["x".repeat(120), "-".repeat(90), "ab-".repeat(40)] {
            for end in ["ffffffff", "20261123T022506Z"] {
                let name = name_of(&volume("my-vg", &lv), end);
                let device = format!("my--vg-{}", name.replace('-', "--"));
                assert!((125..=127).contains(&device.len()), "{device}: {}", device.len());
                assert!(name.ends_with(&format!(".lvpipe-{end}")));
            }
        }
    }
}
