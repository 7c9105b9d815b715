//! The tag by which an LV tells what it holds. It survives renaming and reboots, and goes with the LV.

use super::report::quoted;
use super::{LogicalVolume, Lvm};
use crate::error::Result;

const PREFIX: &str = "lvpipe.holds=";

impl LogicalVolume {
    /// What the tag says; `None` where there is none.
    pub fn holds(&self) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(PREFIX))
    }
}

impl Lvm {
    /// Gives the LV this tag instead of the one that it has, in one step; nothing for none.
    ///
    /// # Errors
    /// LVM's words.
    pub fn set_holds(&self, volume: &LogicalVolume, holds: Option<&str>) -> Result<()> {
        let now = self.find_by_uuid(&volume.uuid)?;
        let old = now.iter().flat_map(|now| &now.tags).filter(|tag| tag.starts_with(PREFIX));
        let mut arguments: Vec<String> = old.flat_map(|tag| ["--deltag".into(), tag.clone()]).collect();
        arguments.extend(holds.into_iter().flat_map(|holds| ["--addtag".into(), format!("{PREFIX}{holds}")]));
        if arguments.is_empty() {
            return Ok(());
        }
        let selection = format!("lv_uuid={}", quoted(&volume.uuid));
        let mut all = vec!["-qq"];
        all.extend(arguments.iter().map(String::as_str));
        all.extend(["--select", &selection, &volume.vg]);
        self.run("lvchange", &all).map(drop)
    }
}
