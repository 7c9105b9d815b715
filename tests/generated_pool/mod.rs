//! Pools made up: their XML for thin_restore, and what thin_dump says of metadata.
//!
//! thin-provisioning-tools are the oracle: a fault that lvpipe's reader and writer had in common would not show.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Begin and length of a run of virtual chunks.
pub type Run = (u64, u64);

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

/// What thin_dump says: each device's id and its runs, merged where they touch.
pub fn dump(path: &Path) -> Vec<(u32, Vec<Run>)> {
    let mut child = Command::new("thin_dump")
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("thin_dump starts (Debian: thin-provisioning-tools)");
    let stdout = child.stdout.take().expect("piped");
    let mut devices: Vec<(u32, Vec<Run>)> = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("text");
        let number = |name| number_in(&line, name);
        match line.trim_start().split([' ', '>']).next() {
            Some("<device") => devices.push((number("dev_id") as u32, Vec::new())),
            Some("<single_mapping") => add(&mut devices, number("origin_block"), 1),
            Some("<range_mapping") => add(&mut devices, number("origin_begin"), number("length")),
            _ => {}
        }
    }
    assert!(child.wait().expect("thin_dump ends").success());
    devices
}

fn add(devices: &mut [(u32, Vec<Run>)], begin: u64, length: u64) {
    let (_, runs) = devices.last_mut().expect("mappings are in a device");
    match runs.last_mut() {
        Some(last) if last.0 + last.1 == begin => last.1 += length,
        _ => runs.push((begin, length)),
    }
}

/// The value of ` name="123"`.
fn number_in(line: &str, name: &str) -> u64 {
    let (_, value) = line.split_once(&format!(" {name}=\"")).expect("the attribute is there");
    value.split('"').next().and_then(|value| value.parse().ok()).expect("a number")
}

/// A device of `mappings` chunks, none next to another: the most there can be in metadata for its size.
pub fn scattered(id: u32, mappings: u64) -> Device {
    let runs = (0..mappings).map(|n| Mapping { begin: n * 2, data: n, length: 1 }).collect();
    Device { id, runs }
}

/// What lvpipe's reader says of one device.
pub fn read(path: &Path, id: u32) -> lvpipe::error::Result<Vec<Run>> {
    read_from(path, lvpipe::thin::LIVE_ROOT, id)
}

/// The same from the superblock in another block.
pub fn read_from(path: &Path, superblock: u64, id: u32) -> lvpipe::error::Result<Vec<Run>> {
    let metadata = lvpipe::thin::Metadata::open(path)?;
    let superblock = metadata.superblock(superblock)?;
    let mut runs = Vec::new();
    let stop = lvpipe::stop::Stop::new();
    lvpipe::thin::mapped_runs(&metadata, &superblock, id, &stop, |run| {
        runs.push((run.begin, run.length));
        Ok(())
    })?;
    Ok(runs)
}
