//! `lvpipe map`: what a volume holds, or what changed on it.

mod changes;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use clap::Args;

use super::shared::{self, SourceArgs, name_parser};
use crate::byte_size::ByteSize;
use crate::error::{Error, Result};
use crate::stop::{Interruptible, Stop};
use crate::usedmap::{Delta, MapSource, UsedMap, delta_from_metadata_file, from_metadata_file};
use crate::volume::{MapChoice, Since, SourceOptions, What, open_source};

/// Show the used map of a volume, and how much it saves; or what changed between two snapshots
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe map vg/vm1                                     a summary
  lvpipe map --extents vg/vm1                           every extent: offset and length in bytes
  lvpipe map --json vg/vm1 | jq .used                   for programs
  lvpipe map vg/vm1.s2 --since vg/vm1.s1                what changed between two snapshots
  lvpipe map --thin-metadata tmeta.bin --thin-id 5      from a saved copy of a pool's metadata")]
pub struct Map {
    /// The volume: vg/lv, a device, or an image file. With --thin-metadata it may be left out: the map then ends with
    /// the last mapping
    #[arg(required_unless_present = "thin_metadata", value_parser = name_parser())]
    source: Option<OsString>,

    /// Show what changed since BASE instead, another thin volume in the same pool, as a snapshot and a later one:
    /// what was written, and what was discarded
    #[arg(long, value_name = "BASE", value_parser = name_parser(), conflicts_with = "thin_metadata")]
    since: Option<OsString>,

    /// The same with --thin-metadata: the base's device id in the pool
    #[arg(long, value_name = "ID", requires = "thin_metadata")]
    since_thin_id: Option<u32>,

    /// Print a JSON object: size, used, source, and extents as pairs of offset and length, all in bytes. With a base:
    /// size, written, discarded, and the extents of either
    #[arg(long, conflicts_with = "extents")]
    json: bool,

    /// Print every extent, a line each: offset and length in bytes. With a base, what became of it follows: written or
    /// discarded
    #[arg(long)]
    extents: bool,

    #[command(flatten)]
    source_args: SourceArgs,
}

impl Map {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        let (name, maps) = self.maps(stop)?;
        // A pager may let us wait for as long as it likes.
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = File::from(stdout.map_err(|e| Error::io("cannot print", "stdout", &e))?);
        let mut out = BufWriter::new(Interruptible::new(&stdout, stop));
        let written = match &maps {
            Maps::Used(map) if self.json => print_json(&mut out, &name, map),
            Maps::Used(map) if self.extents => {
                map.extents().iter().try_for_each(|extent| writeln!(out, "{} {}", extent.offset, extent.length))
            }
            Maps::Used(map) => print_summary(&mut out, &name, map),
            Maps::Changed(delta) if self.json => changes::print_json(&mut out, &name, delta),
            Maps::Changed(delta) if self.extents => changes::print_extents(&mut out, delta),
            Maps::Changed(delta) => changes::print_summary(&mut out, &name, delta),
        };
        shared::printed(written.and_then(|()| out.flush()))
    }
}

impl Map {
    /// The maps, and what they are of.
    fn maps(&self, stop: &Stop) -> Result<(String, Maps)> {
        let since = match (&self.since, self.since_thin_id) {
            (Some(name), _) => Some(Since::Volume(name.clone())),
            (None, Some(id)) => Some(Since::Device(id)),
            (None, None) => None,
        };
        let map = self.source_args.map_choice();
        let name = match (&self.source, &map) {
            (Some(name), _) => name,
            (None, MapChoice::Metadata { file, device }) => {
                let name = format!("device {device} of {}", file.display());
                let maps = match since {
                    Some(Since::Device(base)) => {
                        Maps::Changed(delta_from_metadata_file(file, base, *device, None, stop)?)
                    }
                    _ => Maps::Used(from_metadata_file(file, *device, None, stop)?.into()),
                };
                return Ok((name, maps));
            }
            (None, _) => {
                return Err(Error::usage("no map", "map", "neither a volume nor --thin-metadata is given"));
            }
        };
        let options = SourceOptions { since, map, no_snapshot: true, only_map: true };
        let opened = open_source(name, &options, stop)?;
        opened.notices.iter().for_each(|notice| eprintln!("lvpipe: {notice}"));
        let What::Volume { map, discarded, source } = opened.what else {
            return Err(Error::usage("no map", name.display(), "a byte stream has none"));
        };
        drop(source);
        opened.held.release()?.iter().for_each(|notice| eprintln!("lvpipe: {notice}"));
        let maps = match discarded {
            None => Maps::Used(map),
            Some(discarded) => Maps::Changed(Delta {
                written: Arc::unwrap_or_clone(map),
                discarded: Arc::unwrap_or_clone(discarded),
            }),
        };
        Ok((name.to_string_lossy().into_owned(), maps))
    }
}

/// What is shown.
enum Maps {
    Used(Arc<UsedMap>),
    Changed(Delta),
}

fn source_name(source: MapSource) -> &'static str {
    match source {
        MapSource::Thin => "dm-thin metadata",
        MapSource::SparseFile => "SEEK_DATA",
        MapSource::Peer => "the server",
        MapSource::Unknown => "nothing known, all of it",
    }
}

fn print_summary(out: &mut impl Write, name: &str, map: &UsedMap) -> io::Result<()> {
    let (size, used) = (map.size(), map.used_bytes());
    let share = |bytes: u64| if size == 0 { 0.0 } else { bytes as f64 * 100.0 / size as f64 };
    writeln!(out, "{name}")?;
    writeln!(out, "  volume   {:>10}  {size} bytes", ByteSize(size).to_string())?;
    writeln!(out, "  used     {:>10}  {used} bytes, {:.1} %", ByteSize(used).to_string(), share(used))?;
    writeln!(out, "  saved    {:>10}  {:.1} %", ByteSize(size - used).to_string(), share(size - used))?;
    writeln!(out, "  extents  {:>10}", map.extents().len())?;
    writeln!(out, "  map      from {}", source_name(map.source()))
}

/// Streamed: a map may have a hundred million extents.
fn print_json(out: &mut impl Write, name: &str, map: &UsedMap) -> io::Result<()> {
    let string = |text: &str| serde_json::Value::from(text);
    write!(out, "{{\"volume\":{},\"size\":{},\"used\":{}", string(name), map.size(), map.used_bytes())?;
    write!(out, ",\"source\":{},\"extents\":[", string(source_name(map.source())))?;
    for (index, extent) in map.extents().iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}[{},{}]", extent.offset, extent.length)?;
    }
    writeln!(out, "]}}")
}
