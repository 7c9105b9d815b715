//! Pools made up, and their metadata as thin_restore writes it.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

/// A thin device: id and runs of mapped chunks.
#[derive(Debug, Clone)]
pub struct Device {
    pub id: u32,
    pub runs: Vec<Mapping>,
}

/// Mapped chunks that follow each other, virtually and in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    pub begin: u64,
    pub data: u64,
    pub length: u64,
}

impl Device {
    pub fn mapped(&self) -> u64 {
        self.runs.iter().map(|run| run.length).sum()
    }
}

/// Writes metadata with these devices to `path`, a file of `mebibytes`.
pub fn restore(devices: &[Device], chunk_sectors: u32, mebibytes: u64, path: &Path) {
    let xml = path.with_extension("xml");
    write_xml(devices, chunk_sectors, &xml).expect("the XML is written");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).expect("metadata file");
    file.set_len(mebibytes << 20).expect("metadata file");
    let output = Command::new("thin_restore")
        .arg("-i")
        .arg(&xml)
        .arg("-o")
        .arg(path)
        .output()
        .expect("thin_restore starts (Debian: thin-provisioning-tools)");
    assert!(output.status.success(), "thin_restore: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_file(xml).expect("the XML is removed");
}

fn write_xml(devices: &[Device], chunk_sectors: u32, path: &Path) -> std::io::Result<()> {
    let data_chunks =
        devices.iter().flat_map(|device| &device.runs).map(|run| run.data + run.length).max().unwrap_or(0) + 1;
    let mut xml = BufWriter::new(File::create(path)?);
    writeln!(
        xml,
        r#"<superblock uuid="" time="3" transaction="7" flags="0" version="2" data_block_size="{chunk_sectors}" nr_data_blocks="{data_chunks}">"#
    )?;
    for device in devices {
        writeln!(
            xml,
            r#"<device dev_id="{}" mapped_blocks="{}" transaction="{}" creation_time="1" snap_time="2">"#,
            device.id,
            device.mapped(),
            device.id + 1
        )?;
        for run in &device.runs {
            writeln!(
                xml,
                r#"<range_mapping origin_begin="{}" data_begin="{}" length="{}" time="0"/>"#,
                run.begin, run.data, run.length
            )?;
        }
        writeln!(xml, "</device>")?;
    }
    writeln!(xml, "</superblock>")?;
    xml.flush()
}

/// A device of `mappings` chunks, none next to another: the most there can be in metadata for its size.
pub fn scattered(id: u32, mappings: u64) -> Device {
    let runs = (0..mappings).map(|n| Mapping { begin: n * 2, data: n, length: 1 }).collect();
    Device { id, runs }
}
