//! What metadata holds: by thin_dump, and by lvpipe's own reader.
//!
//! thin-provisioning-tools are the oracle: a fault that a writer and a reader of lvpipe's had in common would not show.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use lvpipe::error::Result;
use lvpipe::stop::Stop;
use lvpipe::thin::{LIVE_ROOT, Metadata, mapped_runs};

/// Begin and length of a run of virtual chunks.
pub type Run = (u64, u64);

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

/// What lvpipe's reader says of one device.
pub fn read(path: &Path, id: u32) -> Result<Vec<Run>> {
    read_from(path, LIVE_ROOT, id)
}

/// The same from the superblock in another block.
pub fn read_from(path: &Path, superblock: u64, id: u32) -> Result<Vec<Run>> {
    let metadata = Metadata::open(path)?;
    let superblock = metadata.superblock(superblock)?;
    let mut runs = Vec::new();
    let stop = Stop::new();
    mapped_runs(&metadata, &superblock, id, &stop, |run| {
        runs.push((run.begin, run.length));
        Ok(())
    })?;
    Ok(runs)
}
