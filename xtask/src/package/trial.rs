//! The packages in use: installed, asked, upgraded, switched, removed; and nothing of them is left.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::clean_root::CleanRoot;
use super::{Packages, succeed};

/// What only the real mbuffer says of itself.
const REAL: &str = "T. Maier-Komor";

/// All of it, in this order.
pub fn run(root: &CleanRoot, packages: &Packages) -> Result<()> {
    let before = root.files()?;
    let (lvpipe, mbuffer) = (root.take(&packages.lvpipe)?, root.take(&packages.mbuffer)?);
    root.run(&format!("dpkg -i {lvpipe}"))?;
    is_complete(root)?;
    does_its_work(root)?;
    // The same once more is an upgrade.
    root.run(&format!("dpkg -i {lvpipe}"))?;
    stands_in(root, &mbuffer)?;
    root.run("dpkg --purge lvpipe")?;
    let left: Vec<String> = root.files()?.into_iter().filter(|file| !before.contains(file)).collect();
    ensure!(left.is_empty(), "left behind by the packages: {left:?}");
    println!("installed, used and removed in a clean Debian");
    Ok(())
}

/// Everything is where Debian looks for it.
fn is_complete(root: &CleanRoot) -> Result<()> {
    let listed = root.run("dpkg -L lvpipe")?;
    for file in [
        "/usr/bin/lvpipe",
        "/usr/share/man/man1/lvpipe.1.gz",
        "/usr/share/man/man1/lvpipe-buffer.1.gz",
        "/usr/share/bash-completion/completions/lvpipe",
        "/usr/share/zsh/vendor-completions/_lvpipe",
        "/usr/share/fish/vendor_completions.d/lvpipe.fish",
        "/usr/lib/systemd/system/lvpipe-recv@.service",
        "/usr/lib/systemd/system/lvpipe-recv@.socket",
        "/usr/share/doc/lvpipe/copyright",
        "/usr/share/doc/lvpipe/CHANGELOG.md",
    ] {
        ensure!(listed.lines().any(|line| line == file), "not in the package: {file}\n{listed}");
    }
    // Every subcommand has its page.
    let help = root.run("lvpipe --help")?;
    let tasks = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for task in tasks.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = task.split_whitespace().next().context("a subcommand")?;
        let page = format!("/usr/share/man/man1/lvpipe-{name}.1.gz");
        ensure!(name == "help" || listed.lines().any(|line| line == page), "no page for {name}: {listed}");
    }
    Ok(())
}

/// It runs with nothing but what it depends on.
fn does_its_work(root: &CleanRoot) -> Result<()> {
    let version = root.run("lvpipe --version")?;
    ensure!(version.contains("commit") && !version.contains("commit    unknown"), "which build is it? {version}");
    root.run(
        "cd /tmp; head -c 3000000 /dev/urandom > image; truncate -s 1G image
         lvpipe send -q image | lvpipe recv -q copy; cmp image copy
         [ $(stat -c %b copy) -le $(stat -c %b image) ]; rm image copy",
    )?;
    // What a bare host lacks is said, with the command that gives it.
    let doctor = root.output("lvpipe doctor")?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    ensure!(said.contains("apt"), "lvpipe doctor: {}: {said}", doctor.status);
    Ok(())
}

/// The alternative: alone, beside the real mbuffer that is installed later, switched, and gone.
fn stands_in(root: &CleanRoot, package: &str) -> Result<()> {
    let real = real_mbuffer(root)?;
    root.run(&format!("dpkg -i {package}"))?;
    ensure!(!which(root)?.contains(REAL), "the alternative is not lvpipe");
    root.run("cd /tmp; echo text | mbuffer -q -m 1M > copy; [ \"$(cat copy)\" = text ]; rm copy")?;

    root.run(&format!("dpkg -i {real}"))?;
    ensure!(!which(root)?.contains(REAL), "the real one took its name back");
    root.run("update-alternatives --set mbuffer /usr/bin/mbuffer.distrib")?;
    ensure!(which(root)?.contains(REAL), "the real one cannot be chosen");
    root.run("update-alternatives --auto mbuffer")?;
    ensure!(!which(root)?.contains(REAL), "lvpipe is not the default");

    root.run("dpkg --purge lvpipe-mbuffer")?;
    ensure!(which(root)?.contains(REAL), "the real one has not its name back");
    // And the other order: the real one is there first, and goes last.
    root.run(&format!("dpkg -i {package}"))?;
    ensure!(!which(root)?.contains(REAL), "the alternative is not lvpipe");
    root.run("dpkg --purge mbuffer && mbuffer --version")?;
    root.run("dpkg --purge lvpipe-mbuffer libmhash2; ! command -v mbuffer")?;
    Ok(())
}

/// Which mbuffer `mbuffer` is; both print it on standard error, as the real one does.
fn which(root: &CleanRoot) -> Result<String> {
    root.run("mbuffer --version 2>&1")
}

/// Debian's own package, with what it depends on, by this host's apt.
fn real_mbuffer(root: &CleanRoot) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    // apt gives up root's rights for downloads where it can.
    fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let mut download = Command::new("apt-get");
    succeed(download.args(["download", "-q", "mbuffer", "libmhash2"]).current_dir(scratch.path()))?;
    let mut taken = Vec::new();
    for entry in fs::read_dir(scratch.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            taken.push(root.take(Path::new(&path))?);
        }
    }
    Ok(taken.join(" "))
}
