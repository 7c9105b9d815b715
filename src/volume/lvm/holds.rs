//! The tags by which an LV tells what it holds, and whose copy it is. They survive renaming and reboots, and go with the
//! LV.

use super::report::quoted;
use super::{LogicalVolume, Lvm};
use crate::error::Result;

const HOLDS: &str = "lvpipe.holds=";
const COPY_OF: &str = "lvpipe.copy-of=";

impl LogicalVolume {
    /// What it holds, by the last transfer to it; `None` where that is not kept.
    pub fn holds(&self) -> Option<&str> {
        self.tagged(HOLDS)
    }

    /// Whose copy it is that `replicate` keeps, and as of which state; `None` where it is none.
    pub fn copy_of(&self) -> Option<&str> {
        self.tagged(COPY_OF)
    }

    fn tagged(&self, prefix: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(prefix))
    }
}

impl Lvm {
    /// Keeps with the LV what it holds, instead of what was kept before, in one step; nothing for none.
    ///
    /// # Errors
    /// LVM's words.
    pub fn set_holds(&self, volume: &LogicalVolume, holds: Option<&str>) -> Result<()> {
        // They have changed since it was resolved, if it was done so at the beginning of the run.
        match self.find_by_uuid(&volume.uuid)? {
            Some(now) => self.set_tag(&now, HOLDS, holds),
            None => self.set_tag(volume, HOLDS, holds),
        }
    }

    /// Keeps with an LV, of which LVM has just told this, whose copy it is.
    ///
    /// # Errors
    /// LVM's words.
    pub fn set_copy_of(&self, volume: &LogicalVolume, source: &str) -> Result<()> {
        self.set_tag(volume, COPY_OF, Some(source))
    }

    fn set_tag(&self, volume: &LogicalVolume, prefix: &str, value: Option<&str>) -> Result<()> {
        let new = value.map(|value| format!("{prefix}{value}"));
        let old = volume.tags.iter().filter(|tag| tag.starts_with(prefix));
        let (same, old): (Vec<_>, Vec<_>) = old.partition(|tag| Some(*tag) == new.as_ref());
        let mut arguments = vec!["-qq"];
        arguments.extend(old.iter().flat_map(|tag| ["--deltag", tag.as_str()]));
        arguments.extend(new.as_deref().filter(|_| same.is_empty()).into_iter().flat_map(|tag| ["--addtag", tag]));
        if arguments.len() == 1 {
            return Ok(());
        }
        let selection = format!("lv_uuid={}", quoted(&volume.uuid));
        arguments.extend(["--select", &selection, &volume.vg]);
        self.run("lvchange", &arguments).map(drop)
    }
}

/// The tag of an LV that holds this.
pub fn holds_tag(holds: &str) -> String {
    format!("{HOLDS}{holds}")
}
