//! What lvpipes that were killed, or lost power, left in LVM; found and undone by the next run.
//!
//! In: the registry of reservations, and the tags of LVs. Out: a line for each thing that was undone. An LV is
//! removed only if its owner is known to be dead: by the registry, which has the LV's own tag, when it died since this
//! host booted, by the mark of an earlier boot else. Other hosts' are left to them.

use super::activation::deactivate;
use super::held::{remove_marked, remove_tagged};
use super::marks::{Marks, TEMPORARY};
use super::{LogicalVolume, Lvm};
use crate::error::{Error, Result};
use crate::reserve::{Held, Reservations, StaleRecord};

/// Undoes what dead lvpipes of this host left: temporary LVs are removed, and LVs that they activated deactivated.
/// Says what it did; and what it could not do, which a later run tries again. Does not ask LVM anything where no
/// lvpipe has died and `look_for_marks` does not say to look for what did not survive a reboot in the registry.
///
/// # Errors
/// When the registry cannot be read or LVM cannot be asked.
pub fn cleanup_stale(lvm: &Lvm, reservations: &Reservations, look_for_marks: bool) -> Result<Vec<String>> {
    let mut notices = Vec::new();
    for stale in reservations.stale()? {
        notices.extend(undo(lvm, stale)?);
    }
    if look_for_marks && lvm.is_installed() {
        let marks = Marks::of_this_boot()?;
        for volume in lvm.select(&format!("lv_tags={TEMPORARY}"))? {
            if marks.is_of_an_earlier_boot(&volume) {
                let owner = "an lvpipe that did not end before this host went down";
                notices.push(match remove_marked(lvm, &volume) {
                    Ok(()) => removed(&volume, owner),
                    Err(why) => not_removed(&volume, owner, &why),
                });
            }
        }
    }
    Ok(notices)
}

/// Undoes one thing on record, unless it is not there any more, or not in the state that the dead process left.
/// What cannot be undone now stays on record.
fn undo(lvm: &Lvm, stale: StaleRecord) -> Result<Option<String>> {
    let owner = format!("lvpipe {}, which has ended", stale.pid());
    let notice = match stale.held() {
        Held::TemporaryLv { vg, tag, .. } => match lvm.find_by_tag(vg, tag)? {
            None => None,
            Some(volume) => match remove_tagged(lvm, vg, tag) {
                Ok(()) => Some(removed(&volume, &owner)),
                Err(why) => return Ok(Some(not_removed(&volume, &owner, &why))),
            },
        },
        Held::ActivatedLv { uuid, .. } => match lvm.find_by_uuid(uuid)?.filter(LogicalVolume::is_active) {
            None => None,
            // Theirs who have it open; when they close it is not for us to watch.
            Some(volume) if volume.is_open() => {
                Some(format!("left {} active, as it is open: it was made active by {owner}", volume.full_name()))
            }
            Some(volume) => match deactivate(lvm, &volume) {
                Ok(()) => Some(format!("deactivated {}, made active by {owner}", volume.full_name())),
                Err(why) => {
                    let name = volume.full_name();
                    return Ok(Some(format!("cannot deactivate {name}, made active by {owner}: {}", why.why())));
                }
            },
        },
        // Another room's.
        _ => return Ok(None),
    };
    stale.clear()?;
    Ok(notice)
}

fn removed(volume: &LogicalVolume, owner: &str) -> String {
    format!("removed {}, left by {owner}", volume.full_name())
}

fn not_removed(volume: &LogicalVolume, owner: &str, why: &Error) -> String {
    format!("cannot remove {}, left by {owner}: {}", volume.full_name(), why.why())
}
