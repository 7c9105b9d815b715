//! `cargo xtask fuzz`: what reads bytes that others wrote is fed with nonsense, a minute each, as many at a time as
//! there are processors.
//!
//! The targets are laid out for cargo-fuzz, which takes long to install and wants a nightly compiler for its
//! sanitizers. lvpipe's own code is safe there, so what is looked for are panics, overflows, memory without bounds
//! and endless loops; these need only libFuzzer, and the compiler's marks for it, which a stable one sets as well.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::binary;
use crate::setup::{self, Task};

/// Fuzz what reads bytes from elsewhere: preludes, frames, answers, journals, tokens, batches and maps over HTTP, the lines over ssh
#[derive(clap::Args)]
pub struct Args {
    /// Seconds for each target
    #[arg(default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only these targets [default: all]
    targets: Vec<String>,
}

/// What cargo-fuzz's `--sanitizer none` sets: counters at each edge, their places, and what is compared with what.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The longest input, in bytes: some frames with their payloads.
const LONGEST: u32 = 16 << 10;
/// The most memory that any input may take, in MiB.
const MOST_MEMORY: u32 = 512;
/// The longest that an input may take, in seconds.
const PATIENCE: u32 = 10;

/// Builds the targets, runs them; an error when one of them found something.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure_packages(&[Task::Test])?;
    let room = binary::repository().join("fuzz");
    let names = select(&room, &args.targets)?;
    let built = build(&room)?;
    let waiting = Mutex::new(names.into_iter().rev().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = pop(&waiting) {
                    match fuzz(&room, &built, &name, args.seconds) {
                        Ok(told) => println!("ok      {name:<10} {told}"),
                        Err(error) => {
                            println!("FAILED  {name:<10} {error:#}");
                            failed.lock().expect("no panic").push(name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    ensure!(failed.is_empty(), "fuzzing found something: {}", failed.join(", "));
    Ok(())
}

fn pop(waiting: &Mutex<Vec<String>>) -> Option<String> {
    waiting.lock().expect("no panic").pop()
}

/// The targets, by their files.
fn select(room: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(room.join("fuzz_targets"))? {
        names.extend(entry?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    if let Some(unknown) = wanted.iter().find(|wanted| !names.contains(wanted)) {
        bail!("no target is named {unknown}; there are: {}", names.join(", "));
    }
    names.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(names)
}

/// Builds all targets; the directory that they are in.
fn build(room: &Path) -> Result<PathBuf> {
    let told = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let told = String::from_utf8_lossy(&told.stdout);
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV tells the host")?;
    let directory = binary::target().join("fuzz");
    let status = Command::new("cargo")
        .args(["build", "--locked", "--release", "--bins"])
        // With a target, the flags are not for build scripts and macros.
        .args(["--target", host])
        .arg("--target-dir")
        .arg(&directory)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .current_dir(room)
        .status()?;
    ensure!(status.success(), "cargo build in {}: {status}", room.display());
    Ok(directory.join(host).join("release"))
}

/// Runs a target; what it did, in words.
fn fuzz(room: &Path, built: &Path, name: &str, seconds: u32) -> Result<String> {
    let directory = binary::target().join("fuzz");
    // What it finds on its way is kept for the next run, but not in the repository.
    let found = directory.join("corpus").join(name);
    let artifacts = directory.join("artifacts").join(name);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let corpus = room.join("corpus").join(name);
    ensure!(corpus.is_dir(), "it has no corpus: cargo run --example corpus in {}", room.display());
    let log = directory.join(format!("{name}.log"));
    let began = Instant::now();
    let status = Command::new(built.join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-rss_limit_mb={MOST_MEMORY}"))
        .arg(format!("-timeout={PATIENCE}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .args([&found, &corpus])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if !status.success() {
        let last: Vec<&str> = text.lines().rev().take(40).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!("{status}; the input is in {}\n{}", artifacts.display(), last.join("\n"));
    }
    describe(&text, began.elapsed()).context("it ended without its figures")
}

/// Inputs tried, and how many of the marks were reached, from libFuzzer's last words.
fn describe(log: &str, took: Duration) -> Option<String> {
    let tried = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?.trim();
    let covered = log.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split_whitespace().next())?;
    Some(format!("{:6.1} s, {tried} inputs, {covered} edges", took.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_a_program_and_has_a_corpus() {
        let room = binary::repository().join("fuzz");
        let manifest = fs::read_to_string(room.join("Cargo.toml")).expect("a manifest");
        let names = select(&room, &[]).expect("targets");
        assert!(names.len() >= 7, "{names:?}");
        for name in names {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            assert!(room.join("corpus").join(&name).read_dir().is_ok_and(|mut files| files.next().is_some()));
        }
        assert!(select(&room, &["nothing".into()]).is_err());
    }

    #[test]
    fn figures_are_read_from_the_last_words() {
        let log =
            "#2 INITED cov: 12 ft: 13\n#9 NEW    cov: 40 ft: 5 corp: 2\nstat::number_of_executed_units: 1234\n";
        assert_eq!(describe(log, Duration::from_secs(2)).as_deref(), Some("   2.0 s, 1234 inputs, 40 edges"));
        assert_eq!(describe("killed", Duration::ZERO), None);
    }
}
