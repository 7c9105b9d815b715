//! `cargo xtask setup`: what a fresh Debian machine with a Rust toolchain lacks. Asks dpkg first, so that it takes
//! no time and no network where nothing is missing.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Install what the other tasks need and the machine lacks (Debian; needs root where something is missing)
#[derive(clap::Args)]
pub struct Args {
    /// Only say what is missing; exit status 1 if anything is
    #[arg(long)]
    check: bool,
}

/// A task that needs packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// `cargo xtask demo`
    Demo,
    /// `cargo xtask bench`
    Bench,
    /// `cargo xtask test`, the lab included
    Test,
    /// `cargo xtask package`
    Package,
}

use Task::{Bench, Demo, Package, Test};

/// Debian's packages, what each is for, and the tasks that need it.
const PACKAGES: &[(&str, &str, &[Task])] = &[
    ("aria2", "reads a volume over HTTP in parallel", &[Bench, Test]),
    ("binutils", "strip, for what goes into the lab's machine", &[Test]),
    ("busybox-static", "the lab's shell and small tools", &[Test]),
    ("cpio", "packs the lab's initramfs", &[Test]),
    ("curl", "reads a volume over HTTP", &[Bench, Test]),
    ("debootstrap", "a clean Debian, in which the packages are tried", &[Package]),
    ("dmsetup", "device-mapper in the lab", &[Test]),
    ("dpkg-dev", "tells what a binary depends on", &[Package]),
    ("e2fsprogs", "ext4 images: mke2fs -d, e2fsck", &[Demo, Bench, Test, Package]),
    ("g++", "libFuzzer is C++", &[Test]),
    ("git", "which commit the program is built from", &[Test, Package]),
    ("iperf3", "what a network gives, for comparison", &[Bench]),
    ("iproute2", "networks of two hosts on one machine: ip, tc", &[Bench, Test]),
    ("kmod", "depmod and modprobe for the lab's kernel", &[Test]),
    ("libnbd-bin", "nbdcopy, which lvpipe is compared with", &[Bench]),
    ("lvm2", "LVM in the lab", &[Test]),
    ("man-db", "man(1), which checks the manual pages", &[Test]),
    ("mbuffer", "what lvpipe is compared with, side by side", &[Bench, Test]),
    ("musl-tools", "a C compiler for the static binary", &[Package]),
    ("nbdkit", "serves a volume to nbdcopy and qemu-img", &[Bench]),
    ("netbase", "/etc/protocols, from which mbuffer's messages are made", &[Bench, Test]),
    ("nginx-light", "another HTTP server: pulled from, and what ours is measured against", &[Bench, Test]),
    ("openssh-client", "ssh in tests and in the lab, and keys for it", &[Test]),
    ("openssh-server", "sshd in tests and in the lab", &[Test]),
    ("pv", "a slow link in tests", &[Test]),
    ("python3", "its http.client reads a volume, its http.server is pulled from", &[Test]),
    ("qemu-system-x86", "boots the lab's kernel", &[Test]),
    ("qemu-utils", "qemu-img, which lvpipe is compared with", &[Bench]),
    ("systemd", "systemd-analyze, which checks the units", &[Test, Package]),
    ("thin-provisioning-tools", "thin_restore makes metadata, thin_dump is the oracle", &[Bench, Test]),
    ("tmux", "a terminal for the bar's tests", &[Test]),
    ("wget", "reads a volume over HTTP", &[Test]),
    ("xfsprogs", "a second file system in the lab", &[Test]),
    ("zstd", "what lvpipe is measured against; packs the lab's initramfs", &[Bench, Test]),
];

/// Installs what is missing for all tasks, or says what is.
pub fn run(args: &Args) -> Result<()> {
    if args.check {
        let missing = missing(&[Demo, Bench, Test, Package])?;
        for (name, what_for) in &missing {
            println!("missing: {name}: {what_for}");
        }
        let nextest = has_nextest();
        if !nextest {
            println!("missing: cargo-nextest: runs the tests");
        }
        ensure!(missing.is_empty() && nextest, "run `cargo xtask setup` as root");
    } else {
        ensure_packages(&[Demo, Bench, Test, Package])?;
        ensure_nextest()?;
    }
    println!("nothing is missing");
    Ok(())
}

/// Installs the packages that these tasks need and the machine lacks.
pub fn ensure_packages(tasks: &[Task]) -> Result<()> {
    let missing = missing(tasks)?;
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "missing: {0}\n  as root: apt-get update && apt-get install --no-install-recommends {0}",
            names.join(" ")
        );
    }
    for (name, what_for) in &missing {
        println!("installing {name}: {what_for}");
    }
    apt_get(&["update", "-q"])?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(names);
    apt_get(&install)
}

/// Installs cargo-nextest from crates.io, unless some version of it is there.
pub fn ensure_nextest() -> Result<()> {
    if has_nextest() {
        return Ok(());
    }
    println!("installing cargo-nextest: runs the tests (a few minutes)");
    let status = Command::new("cargo").args(["install", "--locked", "--quiet", "cargo-nextest"]).status()?;
    ensure!(status.success(), "cargo install cargo-nextest: {status}");
    Ok(())
}

/// Rust's own components cannot be had from apt; says how to get those that are missing.
pub fn ensure_components() -> Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let found = quietly(Command::new("cargo").args([command, "--version"]));
        ensure!(found, "cargo {command} is missing\n  rustup component add {component}");
    }
    Ok(())
}

fn has_nextest() -> bool {
    quietly(Command::new("cargo").args(["nextest", "--version"]))
}

fn quietly(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Those packages that these tasks need and dpkg does not know as installed, with what each is for.
fn missing(tasks: &[Task]) -> Result<Vec<(&'static str, &'static str)>> {
    let needed = || PACKAGES.iter().filter(|(_, _, users)| users.iter().any(|user| tasks.contains(user)));
    let asked = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(needed().map(|(name, _, _)| *name))
        .stderr(Stdio::null()) // it complains about each package that it does not know
        .output()
        .context("dpkg-query: is this a Debian machine? The tasks expect one")?;
    let known = String::from_utf8_lossy(&asked.stdout);
    let is_installed = |name: &str| known.lines().any(|line| line == format!("{name} installed"));
    Ok(needed().filter(|(name, _, _)| !is_installed(name)).map(|&(name, what_for, _)| (name, what_for)).collect())
}

fn apt_get(args: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("apt-get")?;
    ensure!(status.success(), "apt-get {}: {status}", args.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_sorted_and_named_once() {
        let names: Vec<_> = PACKAGES.iter().map(|(name, _, _)| name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }
}
