//! `cargo xtask package`: what is given to users: Debian packages, and on request a binary that needs no library.
//!
//! cargo-deb makes the packages from what `Cargo.toml` says of them. With `--test` they are installed, used, upgraded,
//! switched and removed in a Debian that holds nothing else ([clean_root], [trial]).

mod clean_root;
mod trial;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::binary::{self, repository};
use crate::setup::{self, Task};

/// The static binary's target.
const MUSL: &str = "x86_64-unknown-linux-musl";

/// A version before all others, from which is upgraded.
const OLDER: &str = "0.0.1-1";

/// Make the Debian packages, in target/package
#[derive(clap::Args)]
pub struct Args {
    /// Install and remove them in a clean Debian (needs root and a Debian mirror)
    #[arg(long)]
    test: bool,
    /// Also make a statically linked binary with its manual pages and completions, as a tar file
    #[arg(long = "static")]
    static_too: bool,
    /// Pack what the tests are run with, not what is shipped: quicker, for testing the packaging
    #[arg(long, conflicts_with = "static_too")]
    draft: bool,
}

/// The packages that were made.
pub(super) struct Packages {
    pub(super) lvpipe: PathBuf,
    pub(super) mbuffer: PathBuf,
}

impl Packages {
    /// Makes both, with these options of cargo-deb.
    fn make(cargo_deb: &Path, output: &Path, options: &[&str]) -> Result<Self> {
        Ok(Packages {
            lvpipe: deb(cargo_deb, output, options)?,
            mbuffer: deb(cargo_deb, output, &[options, &["--variant", "mbuffer"]].concat())?,
        })
    }
}

/// Makes what is asked for, and says where it is.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure_packages(&[Task::Package])?;
    let cargo_deb = cargo_deb()?;
    let output = binary::target().join("package");
    fs::create_dir_all(&output)?;
    let options: &[&str] = if args.draft {
        binary::debug()?;
        &["--profile", "dev", "--fast"]
    } else {
        binary::release()?;
        &[]
    };
    let packages = Packages::make(&cargo_deb, &output, options)?;
    println!("{}\n{}", packages.lvpipe.display(), packages.mbuffer.display());
    if args.static_too {
        println!("{}", static_tar(&output)?.display());
    }
    if args.test {
        let older = output.join("older");
        fs::create_dir_all(&older)?;
        let older = Packages::make(&cargo_deb, &older, &[options, &["--deb-version", OLDER]].concat())?;
        let root = clean_root::CleanRoot::make(&output)?;
        trial::run(&root, &packages, &older, !args.draft)?;
    }
    Ok(())
}

/// cargo-deb, from crates.io where it is not there.
fn cargo_deb() -> Result<PathBuf> {
    let tools = binary::target().join("tools");
    let own = tools.join("bin/cargo-deb");
    if own.exists() {
        return Ok(own);
    }
    if Command::new("cargo-deb").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deb".into());
    }
    println!("installing cargo-deb: makes Debian packages (a minute)");
    succeed(Command::new("cargo").args(["install", "--locked", "--quiet", "--root"]).arg(&tools).arg("cargo-deb"))?;
    Ok(own)
}

/// Makes one package of what was built; where it is.
fn deb(cargo_deb: &Path, output: &Path, options: &[&str]) -> Result<PathBuf> {
    let mut command = Command::new(cargo_deb);
    command
        .args(["deb", "--quiet", "--no-build", "--locked", "--strip", "--package", "lvpipe", "--output"])
        .arg(output);
    let made = command.args(options).current_dir(repository()).output().context("cargo-deb")?;
    ensure!(made.status.success(), "cargo-deb: {}", String::from_utf8_lossy(&made.stderr));
    let path = String::from_utf8(made.stdout)?;
    let path = path.lines().last().context("cargo-deb does not say what it made")?;
    Ok(path.into())
}

/// One directory in a tar file: the binary, its manual pages and completions, the licences.
fn static_tar(output: &Path) -> Result<PathBuf> {
    let installed = Command::new("rustc").args(["--print", "target-libdir", "--target", MUSL]).output()?;
    let libraries = String::from_utf8(installed.stdout)?;
    ensure!(
        Path::new(libraries.trim()).exists(),
        "Rust's library for {MUSL} is missing\n  rustup target add {MUSL}"
    );
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--package", "lvpipe", "--bin", "lvpipe", "--target", MUSL]);
    succeed(cargo.current_dir(repository()))?;
    let binary = binary::target().join(MUSL).join("release/lvpipe");
    needs_no_library(&binary)?;
    let name = format!("lvpipe-{}-{MUSL}", version()?);
    let directory = output.join(&name);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    fs::copy(binary, directory.join("lvpipe"))?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(repository().join(file), directory.join(file))?;
    }
    let mut copy = Command::new("cp");
    succeed(copy.arg("-r").args(["man", "completions", "systemd"]).arg(&directory).current_dir(repository()))?;
    let tar = output.join(format!("{name}.tar.gz"));
    let mut pack = Command::new("tar");
    pack.args(["--owner=0", "--group=0", "-czf"]).arg(&tar).arg("-C").arg(output).arg(&name);
    succeed(&mut pack)?;
    Ok(tar)
}

/// Static in fact: the kernel starts it by itself, without ld.so(8), and it says who it is.
fn needs_no_library(binary: &Path) -> Result<()> {
    let read = Command::new("readelf").args(["--program-headers", "--dynamic", "--wide"]).arg(binary).output();
    let read = read.context("readelf")?;
    let (headers, why) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    ensure!(read.status.success(), "readelf: {}: {why}", read.status);
    ensure!(!headers.contains("INTERP") && !headers.contains("(NEEDED)"), "not static: {headers}");
    let started = Command::new(binary).arg("--version").env_clear().output().context("the static binary")?;
    ensure!(started.status.success(), "the static binary: {}", started.status);
    let said = String::from_utf8_lossy(&started.stdout);
    ensure!(said.starts_with("lvpipe "), "the static binary says: {said}");
    Ok(())
}

/// The package's version, by cargo.
fn version() -> Result<String> {
    let id = Command::new("cargo").args(["pkgid", "--package", "lvpipe"]).current_dir(repository()).output()?;
    let id = String::from_utf8(id.stdout)?;
    Ok(id.trim().rsplit(['#', '@']).next().context("cargo pkgid says nothing")?.to_string())
}

/// Runs a command, which is to succeed.
fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let words: Vec<String> = command.get_args().map(OsStr::to_string_lossy).map(Into::into).collect();
    let status = command.status().with_context(|| format!("{name}: cannot be started"))?;
    ensure!(status.success(), "{name} {}: {status}", words.join(" "));
    Ok(())
}
