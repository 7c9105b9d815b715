//! Old snapshots are removed; those in use are left to a later run.

use crate::volume::lvm::{Kept, Lvm};

/// Removes all of these snapshots, of which the oldest is the first, but so many, the newest. A sentence for each that
/// cannot be removed: that is no failure, for the next run tries again.
pub(super) fn prune_to(lvm: &Lvm, mut kept: Vec<Kept>, keep: u32, tag: &str) -> Vec<String> {
    let count = kept.len().saturating_sub(usize::try_from(keep.max(1)).unwrap_or(usize::MAX));
    kept.truncate(count);
    kept.iter().filter_map(|kept| remove(lvm, kept, tag)).collect()
}

/// Removes a snapshot; why not, if it cannot be.
pub(super) fn remove(lvm: &Lvm, kept: &Kept, tag: &str) -> Option<String> {
    let name = kept.volume.full_name();
    if kept.volume.is_open() {
        return Some(format!("{name} is in use: a later run removes it"));
    }
    let why = lvm.remove_kept(kept, tag).err()?;
    Some(format!("{name} cannot be removed: {}; a later run tries again", why.why().trim_end_matches('.')))
}
