//! The lab's kernel: Debian's newest image for virtual machines, fetched once, unpacked under target/lab/kernel,
//! never installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::contents::KERNEL_META_PACKAGE;
use super::run_command;

/// An unpacked kernel.
pub struct Kernel {
    /// The image that qemu boots.
    pub image: PathBuf,
    /// The directory that holds `modules.dep` and the modules.
    pub modules: PathBuf,
    /// As `uname -r` would say it.
    pub version: String,
}

/// The kernel in `directory`; fetches and unpacks it there when it is not there yet.
pub fn provide(directory: &Path) -> Result<Kernel> {
    if let Ok(kernel) = find(directory) {
        return Ok(kernel);
    }
    // Unpacked beside and renamed, so that a run that was interrupted leaves no half of a kernel.
    let unpacked = directory.with_extension("new");
    for stale in [directory, &unpacked] {
        if stale.exists() {
            fs::remove_dir_all(stale).with_context(|| format!("cannot remove {}", stale.display()))?;
        }
    }
    fs::create_dir_all(&unpacked)?;
    let package = download(&unpacked)?;
    run_command(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&unpacked))?;
    fs::remove_file(&package)?;
    if !unpacked.join("lib").exists() {
        // Newer packages have /usr/lib/modules only; depmod looks under /lib.
        symlink("usr/lib", unpacked.join("lib"))?;
    }
    let kernel = find(&unpacked)?;
    run_command(Command::new("depmod").arg("-b").arg(&unpacked).arg(&kernel.version))?;
    fs::rename(&unpacked, directory)?;
    find(directory)
}

/// Fetches the package, and the lists of packages first where apt has none or outdated ones.
fn download(into: &Path) -> Result<PathBuf> {
    let fetched = real_package()
        .and_then(|package| run_command(Command::new("apt-get").args(["download", &package]).current_dir(into)));
    if fetched.is_err() {
        run_command(Command::new("apt-get").arg("update"))?;
        run_command(Command::new("apt-get").args(["download", &real_package()?]).current_dir(into))?;
    }
    only_entry(into)
}

/// The package with the kernel itself, which the meta package depends on.
fn real_package() -> Result<String> {
    let depends = run_command(Command::new("apt-cache").args(["depends", KERNEL_META_PACKAGE]))?;
    depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: linux-image-"))
        .map(|rest| format!("linux-image-{}", rest.trim()))
        .with_context(|| format!("apt knows no kernel image that {KERNEL_META_PACKAGE} depends on"))
}

fn find(root: &Path) -> Result<Kernel> {
    let modules = only_entry(&root.join("lib/modules"))?;
    let version = modules.file_name().context("a directory has a name")?.to_string_lossy().into_owned();
    let image = root.join("boot").join(format!("vmlinuz-{version}"));
    ensure!(image.exists(), "no {}", image.display());
    Ok(Kernel { image, modules, version })
}

/// The one thing that is in a directory.
fn only_entry(directory: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(directory)
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot read {}", directory.display()))?;
    match entries.as_slice() {
        [entry] => Ok(entry.path()),
        entries => bail!("{} has {} entries, not one", directory.display(), entries.len()),
    }
}
