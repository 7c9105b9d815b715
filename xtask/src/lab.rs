//! `cargo xtask lab`: real LVM thin pools, anywhere. Boots a Debian kernel under qemu with the lvpipe just built and
//! runs the scenarios of tests/lab/scenarios in it; everything it makes is under target/lab. Two machines run side by
//! side: emulated, a scenario keeps little more than one processor busy.

mod console;
mod contents;
mod image;
mod kernel;
mod machine;
mod scenario;
mod session;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::binary;
use console::Verdict;
use machine::Parts;
use scenario::Scenario;
use session::{Audience, Outcome};

/// Boot a kernel with real LVM thin pools and run the scenarios of tests/lab/scenarios
#[derive(clap::Args)]
pub struct Args {
    /// Scenarios to run, each by a piece of its name [default: all]
    scenarios: Vec<String>,
    /// An interactive shell in the machine instead; `poweroff -f` or Ctrl-A X ends it
    #[arg(long)]
    shell: bool,
    /// Show what the scenarios print while they run, not only when they fail
    #[arg(short, long)]
    verbose: bool,
    /// Build lvpipe with optimisation
    #[arg(long)]
    release: bool,
    /// Machines at a time [default: 2, and 1 where what they print is shown]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=16))]
    machines: Option<u16>,
}

/// Runs the lab; an error when a scenario failed.
pub fn run(args: &Args) -> Result<()> {
    let lab = binary::repository().join("tests/lab");
    let planned = scenario::select(&lab.join("scenarios"), &args.scenarios)?;
    for tool in contents::TOOLS {
        image::locate(tool)?;
    }
    let lvpipe = if args.release { binary::release()? } else { binary::debug()? };
    let directory = binary::target().join("lab");
    fs::create_dir_all(&directory)?;
    let _alone = lock(&directory)?;
    let kernel = kernel::provide(&directory.join("kernel"))?;
    let base = image::base(&directory, &kernel)?;
    let lvpipe = image::slim(&lvpipe, &directory)?;
    let boot = |directory: &Path, plan: &str, start: &mut dyn FnMut(Parts) -> Result<()>| {
        fs::create_dir_all(directory)?;
        let overlay = image::overlay(directory, &lvpipe, &lab, plan)?;
        start(Parts { kernel: &kernel.image, archives: &[base.clone(), overlay], directory })
    };
    if args.shell {
        return boot(&directory, "shell\n", &mut |parts| parts.boot_on_terminal().map(drop));
    }

    let machines = args.machines.map_or(if args.verbose { 1 } else { 2 }, usize::from);
    let shares = scenario::share_out(planned, machines);
    println!("lab: Linux {}, {} scenarios", kernel.version, shares.iter().map(Vec::len).sum::<usize>());
    let began = Instant::now();
    let report = Mutex::new(Report { verbose: args.verbose, passed: 0, failed: 0 });
    thread::scope(|scope| {
        let run = |(number, share)| {
            let (boot, report, directory) = (&boot, &report, directory.join(format!("machine{number}")));
            scope.spawn(move || -> Result<()> {
                let mut waiting = VecDeque::from(share);
                while !waiting.is_empty() {
                    boot(&directory, &plan(waiting.make_contiguous()), &mut |parts| {
                        let machine = parts.boot(&directory.join("console.log"))?;
                        let ended = session::follow(&machine, waiting.make_contiguous(), report)?;
                        waiting.drain(..ended);
                        Ok(())
                    })?;
                }
                Ok(())
            })
        };
        let running: Vec<_> = shares.into_iter().enumerate().map(run).collect();
        running.into_iter().try_for_each(|machine| machine.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })?;
    let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} passed, {} failed, {:.1} s", report.passed, report.failed, began.elapsed().as_secs_f64());
    ensure!(report.failed == 0, "the lab has failures");
    Ok(())
}

/// What the machine's init is to do: a line `NAME SECONDS` for each scenario.
fn plan(scenarios: &[Scenario]) -> String {
    scenarios.iter().map(|it| format!("{} {}\n", it.name, it.seconds)).collect()
}

/// Only one lab at a time works in a directory.
fn lock(directory: &Path) -> Result<File> {
    let file = File::create(directory.join("lock"))?;
    if file.try_lock().is_err() {
        println!("lab: waits for another run in {}", directory.display());
        file.lock()?;
    }
    Ok(file)
}

/// Runs a command to its end; what it printed, or an error with what it complained about.
fn run_command(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.env("LC_ALL", "C").stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Prints a line for each scenario, and the log of one that failed.
struct Report {
    verbose: bool,
    passed: usize,
    failed: usize,
}

/// Several machines tell one report.
impl Audience for Mutex<Report> {
    fn ready(&self, after: Duration) {
        println!("lab: up after {:.1} s", after.as_secs_f64());
    }

    fn begins(&self, name: &str) {
        if self.report().verbose {
            println!("--- {name}");
        }
    }

    fn line(&self, text: &str) {
        if self.report().verbose {
            println!("    {text}");
        }
    }

    fn ended(&self, outcome: Outcome) {
        let mut report = self.report();
        let seconds = outcome.took.as_secs_f64();
        match outcome.verdict {
            Verdict::Ok => {
                report.passed += 1;
                println!("ok      {:<28} {seconds:6.1} s", outcome.name);
            }
            Verdict::Failed(why) => {
                report.failed += 1;
                println!("FAILED  {:<28} {seconds:6.1} s  {why}", outcome.name);
                if !report.verbose {
                    outcome.log.iter().for_each(|line| println!("    {line}"));
                }
            }
        }
    }
}

trait Shared {
    fn report(&self) -> MutexGuard<'_, Report>;
}

impl Shared for Mutex<Report> {
    /// What is counted is whole even where a thread panicked.
    fn report(&self) -> MutexGuard<'_, Report> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
