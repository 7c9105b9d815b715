//! `cargo xtask test`: everything that must hold, step by step, cheap steps first. `.ci/run` is this.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::binary::repository;
use crate::setup::{self, Task};

/// Install what is missing, then check and test everything, the lab included
#[derive(clap::Args)]
pub struct Args {
    /// Leave out the lab, which boots a kernel
    #[arg(long)]
    no_lab: bool,
}

/// One step: what it is called, the program, its arguments, and environment variables.
struct Step<'a> {
    name: &'a str,
    program: &'a OsStr,
    args: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
}

/// Runs all steps; stops at the first that fails, its output being the last that is seen.
pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    heading("setup");
    setup::ensure_packages(&[Task::Test])?;
    setup::ensure_nextest()?;
    setup::ensure_components()?;
    let mut times = vec![("setup", started.elapsed())];

    let cargo = OsStr::new("cargo");
    let this = std::env::current_exe().context("where this program is")?;
    let cargo_step = |name, args| Step { name, program: cargo, args, env: &[] };
    let mut steps = vec![
        cargo_step("rustfmt", &["fmt", "--all", "--check"]),
        cargo_step("rustfmt, fuzz", &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]),
        cargo_step("clippy", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        Step {
            env: &[("RUSTDOCFLAGS", "-D warnings")],
            ..cargo_step("rustdoc", &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
        },
        cargo_step("tests", &["nextest", "run", "--workspace", "--locked"]),
        cargo_step("doc tests", &["test", "--workspace", "--doc", "--locked"]),
        Step { name: "packages", program: this.as_os_str(), args: &["package", "--draft", "--test"], env: &[] },
        Step { name: "fuzz", program: this.as_os_str(), args: &["fuzz"], env: &[] },
    ];
    if !args.no_lab {
        steps.push(Step { name: "lab", program: this.as_os_str(), args: &["lab"], env: &[] });
    }
    for step in &steps {
        times.push((step.name, run_step(step)?));
    }
    heading("all passed");
    for (name, time) in times {
        println!("{name:14} {:6.1} s", time.as_secs_f64());
    }
    println!("{:14} {:6.1} s", "together", started.elapsed().as_secs_f64());
    Ok(())
}

fn run_step(step: &Step) -> Result<Duration> {
    heading(step.name);
    let started = Instant::now();
    let status = Command::new(step.program)
        .args(step.args)
        .envs(step.env.iter().copied())
        .current_dir(repository())
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{}: cannot be started", step.name))?;
    ensure!(status.success(), "{} failed: {status}", step.name);
    Ok(started.elapsed())
}

fn heading(text: &str) {
    println!("== {text}");
}
