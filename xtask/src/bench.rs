//! `cargo xtask bench`: lvpipe against what one would use without it, on realistic volumes: from host to host in the
//! [`comparison`], and piece by piece in the rows. What is compared runs in turn, A B B A, in one go: a machine that gets
//! busy slows both. Medians are told, and their ratios.

mod buffer;
mod comparison;
mod figures;
mod http;
mod iperf3;
mod loopback;
mod material;
mod race;
mod transfer;
mod two_hosts;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::binary;
use crate::pipeline::{Measured, Pipeline};
use crate::setup::{self, Task};
use figures::{Row, Table};
use material::Material;
use race::{Contender, Outcome, race};

/// Measure lvpipe against other tools: from host to host, and piece by piece
#[derive(clap::Args)]
pub struct Args {
    /// Runs of each contender [default: 5; in the comparison 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Small volumes, few runs: whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Only the comparison: all ways from host to host
    #[arg(long)]
    only_comparison: bool,
    /// Only the rows against mbuffer
    #[arg(long, conflicts_with_all = ["write_readme", "only_comparison"])]
    only_mbuffer: bool,
    /// Only the rows over connections
    #[arg(long, conflicts_with_all = ["write_readme", "only_comparison", "only_mbuffer"])]
    only_links: bool,
    /// Only the rows over HTTP
    #[arg(long, conflicts_with_all = ["write_readme", "only_comparison", "only_mbuffer", "only_links"])]
    only_http: bool,
    #[command(flatten)]
    comparison: comparison::Selection,
    /// Measure nothing: make the comparison's table and plot in the repository again from doc/comparison.json
    #[arg(long, exclusive = true)]
    redraw: bool,
    /// Put the tables and the plot into the repository: README.md, doc/
    #[arg(long, conflicts_with = "quick")]
    write_readme: bool,
}

/// The budget that lvpipe takes unless told otherwise, in bytes.
const DEFAULT_MEMORY: u64 = 256 << 20;
/// What a side may take beyond its budget, in bytes.
const MEMORY_BEYOND: u64 = 64 << 20;

/// Makes what is missing of the material, runs the comparison and all rows, prints the tables.
pub fn run(args: &Args) -> Result<()> {
    if args.redraw {
        return comparison::redraw(binary::repository());
    }
    setup::ensure_packages(&[Task::Bench])?;
    let lvpipe = binary::release()?;
    let runs = if args.quick { 2 } else { args.runs.unwrap_or(5) };
    let through = if args.quick { 64 << 20 } else { 4 << 30 };
    if args.only_mbuffer {
        let scratch = tempfile::tempdir()?;
        let mut table = Table::new(format!("{runs} runs each"), scratch.path());
        buffer::rows(&lvpipe, runs, through, scratch.path())?.into_iter().for_each(|row| table.add(row));
        println!("{}", table.markdown()?);
        return Ok(());
    }
    let material = if args.quick { Material::small()? } else { Material::full()? };
    let bench = Bench { lvpipe: &lvpipe, material: &material, runs };
    let mut table = Table::new(format!("{}; {runs} runs each", material.describe()), material.directory());
    if args.only_links {
        bench.over_links(&mut table, through)?;
    } else if args.only_http {
        bench.over_http(&mut table, through)?;
    } else {
        let runs = if args.quick { 1 } else { args.runs.unwrap_or(comparison::RUNS) };
        comparison::run(&lvpipe, &material, args.quick, runs, &args.comparison, args.write_readme)?;
        if args.only_comparison {
            return Ok(());
        }
        bench.all(&mut table, through)?;
    }
    let text = table.markdown()?;
    println!("{text}");
    if args.write_readme {
        figures::write_readme(&binary::repository().join("README.md"), "figures", &text)?;
    }
    Ok(())
}

/// What the rows have in common.
struct Bench<'a> {
    lvpipe: &'a Path,
    material: &'a Material,
    runs: u32,
}

impl Bench<'_> {
    fn all(&self, table: &mut Table, through: u64) -> Result<()> {
        let against_zstd = self.against_zstd()?;
        table.add(Row::race("`lvpipe send \\| lvpipe recv`", "`zstd -T0 -1 \\| zstd -d`", &against_zstd, 0.6));
        let against_cat = self.against_cat()?;
        let plain = "the same, `--compress none --digest none`";
        table.add(Row::race(plain, "`cat \\| cat`", &against_cat, 1.0));
        let maps = self.against_thin_dump()?;
        let mappings = self.material.mappings();
        let name = format!("used map of {mappings} mappings, cold");
        table.add(Row::race(&name, "`thin_dump`", &maps, 0.1));
        let budget = mappings * 16 + MEMORY_BEYOND;
        table.add(Row::memory("its peak memory", maps[0].peak(0), budget));
        for (name, outcome) in self.empty()? {
            table.add(Row::alone(name, &outcome, Duration::from_secs(1)));
        }
        for (index, side) in ["send", "recv"].into_iter().enumerate() {
            let name = format!("peak memory of `{side}`, `-m 256M`");
            table.add(Row::memory(&name, against_zstd[0].peak(index), DEFAULT_MEMORY + MEMORY_BEYOND));
        }
        let small = self.small_memory()?;
        for (index, side) in ["send", "recv"].into_iter().enumerate() {
            let name = format!("peak memory of `{side}`, `-m 64M`");
            table.add(Row::memory(&name, small.peaks[index], (64 << 20) + MEMORY_BEYOND));
        }
        for row in buffer::rows(self.lvpipe, self.runs, through, self.material.directory())? {
            table.add(row);
        }
        self.over_links(table, through)?;
        self.over_http(table, through)
    }

    fn against_zstd(&self) -> Result<Vec<Outcome>> {
        let [image, copy, dense] = self.files();
        let dense_pipeline = Pipeline::new(&[&"zstd", &"-q", &"-T0", &"-1"])
            .input(&image)
            .pipe(&[&"zstd", &"-q", &"-d"])
            .output(&dense);
        let contenders = [
            Contender::new("send | recv", self.copy(&image, &copy, &[]), &[&copy]),
            Contender::new("zstd | zstd -d", dense_pipeline, &[&dense]),
        ];
        let check = || same(&image, &copy);
        race(&contenders, self.runs, &|| self.material.warm(), &check)
    }

    fn against_cat(&self) -> Result<Vec<Outcome>> {
        let [image, copy, dense] = self.files();
        let plain = ["--compress", "none", "--digest", "none"];
        let dense_pipeline = Pipeline::new(&[&"cat", &image]).pipe(&[&"cat"]).output(&dense);
        let contenders = [
            Contender::new("send | recv, plain", self.copy(&image, &copy, &plain), &[&copy]),
            Contender::new("cat | cat", dense_pipeline, &[&dense]),
        ];
        race(&contenders, self.runs, &|| self.material.warm(), &|| same(&image, &copy))
    }

    fn against_thin_dump(&self) -> Result<Vec<Outcome>> {
        let metadata = self.material.metadata();
        let volume = self.material.thin_volume();
        let map =
            Pipeline::new(&[&self.lvpipe, &"map", &"--thin-metadata", &metadata, &"--thin-id", &"1", &volume]);
        let contenders = [
            Contender::new("lvpipe map", map, &[]),
            Contender::new("thin_dump", Pipeline::new(&[&"thin_dump", &metadata]), &[]),
        ];
        race(&contenders, self.runs, &|| material::make_cold(metadata), &|| Ok(()))
    }

    fn over_links(&self, table: &mut Table, bytes: u64) -> Result<()> {
        let noise = self.material.noise(bytes)?;
        loopback::rows(self.lvpipe, self.runs, &noise, bytes)?.into_iter().for_each(|row| table.add(row));
        Ok(())
    }

    fn over_http(&self, table: &mut Table, bytes: u64) -> Result<()> {
        let noise = self.material.noise(bytes)?;
        http::rows(self.lvpipe, self.runs, self.material, &noise, bytes)?
            .into_iter()
            .for_each(|row| table.add(row));
        Ok(())
    }

    /// A volume that is one hole, too large to read.
    fn empty(&self) -> Result<Vec<(&'static str, Outcome)>> {
        let scratch = self.material.room_for_a_pebibyte()?;
        let empty = scratch.path().join("empty");
        let copy = scratch.path().join("copy");
        material::make_hole(&empty)?;
        let map = Contender::new("map, empty", Pipeline::new(&[&self.lvpipe, &"map", &empty]), &[]);
        let send = Contender::new("send | recv, empty", self.copy(&empty, &copy, &[]), &[&copy]);
        let check = || {
            let meta = std::fs::metadata(&copy)?;
            ensure!((meta.size(), meta.blocks()) == (1 << 50, 0), "the copy of 1 PiB of hole is another: {meta:?}");
            Ok(())
        };
        let outcomes = race(&[map, send], self.runs, &|| Ok(()), &check)?;
        Ok(["`map` of an empty 1 PiB file", "`send \\| recv` of it"].into_iter().zip(outcomes).collect())
    }

    fn small_memory(&self) -> Result<Measured> {
        let [image, copy, _] = self.files();
        let measured = Pipeline::new(&[&self.lvpipe, &"send", &"-q", &"-m", &"64M", &image])
            .pipe(&[&self.lvpipe, &"recv", &"-q", &"-m", &"64M", &copy])
            .run()?;
        std::fs::remove_file(&copy)?;
        Ok(measured)
    }

    fn copy(&self, from: &Path, to: &Path, options: &[&str]) -> Pipeline {
        let mut send: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&self.lvpipe, &"send", &"-q"];
        send.extend(options.iter().map(|option| option as &dyn AsRef<std::ffi::OsStr>));
        send.push(&from);
        Pipeline::new(&send).pipe(&[&self.lvpipe, &"recv", &"-q", &to])
    }

    /// The image, its copy by lvpipe, its dense copy.
    fn files(&self) -> [std::path::PathBuf; 3] {
        let directory = self.material.directory();
        [self.material.image().to_path_buf(), directory.join("copy.img"), directory.join("dense.img")]
    }
}

/// A copy that is fast and wrong is no copy.
fn same(a: &Path, b: &Path) -> Result<()> {
    let status = std::process::Command::new("cmp").args([a, b]).status()?;
    ensure!(status.success(), "{} differs from {}", b.display(), a.display());
    Ok(())
}
