//! What `lvs` reports, field by field.
//!
//! In: a selection, in the language of lvmreport(7). Out: the LVs that match. LVM does the matching: no message of
//! its has to be understood, and an LV that is not there is an empty report, not a failure.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Lvm;
use crate::error::{Error, Result, Status};

/// A logical volume, as it was when it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalVolume {
    /// The volume group's name.
    pub vg: String,
    /// Its own name in the group.
    pub name: String,
    /// LVM's unique id of it; survives renaming.
    pub uuid: String,
    /// Its size in bytes.
    pub size: u64,
    /// For a thin volume, the pool's name.
    pub pool: Option<String>,
    /// For a thin volume, its device's id in the pool.
    pub thin_id: Option<u32>,
    /// For a snapshot, what it was taken of; for a thin volume with an external origin, that.
    pub origin: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its node under /dev/mapper, which exists while it is active.
    pub path: PathBuf,
    /// The ten letters of lvs(8).
    pub(super) attributes: String,
}

impl LogicalVolume {
    /// `vg/lv`, as LVM's commands take it.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.vg, self.name)
    }

    /// Whether it is a thin volume.
    pub fn is_thin(&self) -> bool {
        self.attribute(0) == b'V'
    }

    /// Whether it is a thin pool.
    pub fn is_thin_pool(&self) -> bool {
        self.attribute(0) == b't'
    }

    /// Whether LVM lets nobody write to it.
    pub fn is_read_only(&self) -> bool {
        matches!(self.attribute(1), b'r' | b'R')
    }

    /// Whether it has a device.
    pub fn is_active(&self) -> bool {
        !matches!(self.attribute(4), b'-' | b'h' | b'X')
    }

    /// Whether somebody has it open: it is mounted, a virtual machine's disk, another device is made of it.
    pub fn is_open(&self) -> bool {
        self.attribute(5) == b'o'
    }

    /// Whether it is left out when LVM activates all there is, as thin snapshots are.
    pub fn skips_activation(&self) -> bool {
        self.attribute(9) == b'k'
    }

    /// Whether it bears this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    fn attribute(&self, index: usize) -> u8 {
        self.attributes.as_bytes().get(index).copied().unwrap_or(b'-')
    }
}

impl Lvm {
    /// All LVs that match.
    pub(super) fn select(&self, selection: &str) -> Result<Vec<LogicalVolume>> {
        let report = self.run(
            "lvs",
            &[
                // Parts of other LVs too, without the brackets around their names.
                "--all",
                "--config=report/mark_hidden_devices=0",
                "--reportformat=json",
                "--units=b",
                "--nosuffix",
                "--options=vg_name,lv_name,lv_uuid,lv_size,lv_attr,pool_lv,thin_id,origin,lv_tags,lv_dm_path",
                "--select",
                selection,
            ],
        )?;
        parse(&report).map_err(|why| Error::new(Status::Io, "cannot understand the report of lvs", "", why))
    }

    /// The LV of this name, if there is one.
    ///
    /// # Errors
    /// When LVM cannot be asked.
    pub fn find(&self, vg: &str, lv: &str) -> Result<Option<LogicalVolume>> {
        Ok(self.select(&format!("vg_name={} && lv_name={}", quoted(vg), quoted(lv)))?.into_iter().next())
    }

    /// The LV with this node under /dev/mapper, active or not.
    pub(super) fn find_by_path(&self, path: &Path) -> Result<Option<LogicalVolume>> {
        let path = path.to_string_lossy();
        Ok(self.select(&format!("lv_dm_path={}", quoted(&path)))?.into_iter().next())
    }

    /// The LV in this group with this tag, which only one LV bears.
    pub(super) fn find_by_tag(&self, vg: &str, tag: &str) -> Result<Option<LogicalVolume>> {
        Ok(self.select(&format!("vg_name={} && lv_tags={}", quoted(vg), quoted(tag)))?.into_iter().next())
    }

    /// The LV with this id.
    ///
    /// # Errors
    /// When LVM cannot be asked.
    pub fn find_by_uuid(&self, uuid: &str) -> Result<Option<LogicalVolume>> {
        Ok(self.select(&format!("lv_uuid={}", quoted(uuid)))?.into_iter().next())
    }
}

impl Lvm {
    /// Whether an LV is still there, with the device in its pool that it had.
    ///
    /// # Errors
    /// When LVM cannot be asked.
    pub fn has_its_device(&self, volume: &LogicalVolume) -> Result<bool> {
        let place = |volume: &LogicalVolume| (volume.vg.clone(), volume.pool.clone(), volume.thin_id);
        Ok(self.find_by_uuid(&volume.uuid)?.is_some_and(|now| place(&now) == place(volume)))
    }
}

/// A string in a selection. Names that LVM allows hold no quotes; one that does would end the string early, so
/// none is let through.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', ""))
}

#[derive(Deserialize)]
struct Report {
    report: Vec<Rows>,
}

#[derive(Deserialize)]
struct Rows {
    #[serde(default)]
    lv: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    vg_name: String,
    lv_name: String,
    lv_uuid: String,
    lv_size: String,
    lv_attr: String,
    pool_lv: String,
    thin_id: String,
    origin: String,
    lv_tags: String,
    lv_dm_path: PathBuf,
}

fn parse(json: &str) -> std::result::Result<Vec<LogicalVolume>, String> {
    let report: Report = serde_json::from_str(json).map_err(|why| why.to_string())?;
    report.report.into_iter().flat_map(|rows| rows.lv).map(volume).collect()
}

fn volume(row: Row) -> std::result::Result<LogicalVolume, String> {
    let named = |name: String| (!name.is_empty()).then_some(name);
    Ok(LogicalVolume {
        size: row.lv_size.parse().map_err(|_| format!("{} is no size in bytes", row.lv_size))?,
        vg: row.vg_name,
        name: row.lv_name,
        uuid: row.lv_uuid,
        pool: named(row.pool_lv),
        thin_id: match row.thin_id.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| format!("{id} is no id of a thin device"))?),
        },
        origin: named(row.origin),
        tags: row.lv_tags.split(',').filter(|tag| !tag.is_empty()).map(Into::into).collect(),
        path: row.lv_dm_path,
        attributes: row.lv_attr,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From LVM 2.03.16, by way of the lab.
    const REPORT: &str = r#"
  {
      "report": [
          {
              "lv": [
                  {"vg_name":"a-b", "lv_name":"kept", "lv_uuid":"JhodYi-A54M-aiKF-H8hQ-cJ4d-AKXA-2VXALB", "lv_size":"67108864", "lv_attr":"Vwi---tz-k", "pool_lv":"pool", "thin_id":"2", "origin":"one-x", "lv_tags":"lvpipe.host.x,lvpipe.temporary", "lv_dm_path":"/dev/mapper/a--b-kept"},
                  {"vg_name":"a-b", "lv_name":"old", "lv_uuid":"SylvR0-eAQ2-VrAN-tjCJ-WUv5-nTa0-419nKE", "lv_size":"16777216", "lv_attr":"swi-a-s---", "pool_lv":"", "thin_id":"", "origin":"plain", "lv_tags":"", "lv_dm_path":"/dev/mapper/a--b-old"},
                  {"vg_name":"a-b", "lv_name":"one-x", "lv_uuid":"ngZuTG-wV9e-Sh2v-eiJP-lHtp-puET-dwqbPT", "lv_size":"67108864", "lv_attr":"Vri-aotz--", "pool_lv":"pool", "thin_id":"1", "origin":"", "lv_tags":"", "lv_dm_path":"/dev/mapper/a--b-one--x"},
                  {"vg_name":"a-b", "lv_name":"pool", "lv_uuid":"YEJmRT-lJqZ-seop-PxZ1-5Pxl-KOG9-wnFdYw", "lv_size":"536870912", "lv_attr":"twi-aotz--", "pool_lv":"", "thin_id":"", "origin":"", "lv_tags":"", "lv_dm_path":"/dev/mapper/a--b-pool"}
              ]
          }
      ]
  }"#;

    #[test]
    fn a_report_tells_what_each_volume_is() {
        let volumes = parse(REPORT).expect("it parses");
        let [kept, old, one, pool] = volumes.as_slice() else { panic!("four, not {}", volumes.len()) };

        assert_eq!(kept.full_name(), "a-b/kept");
        assert_eq!(kept.size, 64 << 20);
        assert_eq!((kept.pool.as_deref(), kept.origin.as_deref()), (Some("pool"), Some("one-x")));
        assert_eq!((kept.thin_id, one.thin_id, pool.thin_id), (Some(2), Some(1), None));
        assert!(kept.has_tag("lvpipe.temporary") && kept.has_tag("lvpipe.host.x") && !kept.has_tag("lvpipe"));
        assert!(kept.is_thin() && kept.skips_activation() && !kept.is_active() && !kept.is_open());

        assert!(!old.is_thin() && old.is_active() && old.pool.is_none() && old.tags.is_empty());
        assert!(one.is_thin() && one.is_active() && one.is_open() && one.is_read_only() && one.origin.is_none());
        assert_eq!(one.path, Path::new("/dev/mapper/a--b-one--x"));
        assert!(pool.is_thin_pool() && !pool.is_thin() && !kept.is_thin_pool());
    }

    #[test]
    fn no_volume_is_no_failure_but_nonsense_is() {
        let none = r#"{"report": [{"lv": []}]}"#;
        assert_eq!(parse(none), Ok(Vec::new()));
        for text in ["", "{}", r#"{"report": [{"lv": [{}]}]}"#, &REPORT.replace("67108864", "64.00m")] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quoted(r#"a" || lv_name!=""#), r#""a || lv_name!=""#);
    }
}
