//! The packages in use: installed, asked, upgraded, switched, removed; and nothing of them is left.

mod alternative;
mod units;
mod upgrade;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::clean_root::CleanRoot;
use super::{Packages, succeed};

/// All of it, in this order; with what is only true of packages that are to be released, if they are.
pub fn run(root: &CleanRoot, packages: &Packages, older: &Packages, released: bool) -> Result<()> {
    let before = root.files()?;
    let (newer, older) = (Taken::into(root, packages)?, Taken::into(root, older)?);
    let real = real_mbuffer(root)?;
    root.run(&format!("dpkg -i {}", newer.lvpipe))?;
    is_complete(root)?;
    units::are_accepted(root)?;
    does_its_work(root)?;
    if released {
        names_its_commit(root)?;
    }
    alternative::stands_in(root, &newer.mbuffer, &real)?;
    alternative::leaves_what_others_added(root, &newer.mbuffer, &real)?;
    // Journals of volumes are of use to whoever installs it again; they go when all is to go.
    let journal = "/var/lib/lvpipe/journal";
    root.run(&format!("mkdir -p /var/lib/lvpipe; touch {journal}; dpkg --remove lvpipe; test -e {journal}"))?;
    root.run("dpkg --purge lvpipe")?;
    units::go_with_the_program(root, &newer.lvpipe)?;
    upgrade::keeps_what_was_chosen(root, &older, &newer, &real)?;
    let left: Vec<String> = root.files()?.into_iter().filter(|file| !before.contains(file)).collect();
    ensure!(left.is_empty(), "left behind by the packages: {left:?}");
    println!("installed, used, upgraded and removed in a clean Debian");
    Ok(())
}

/// The packages' paths in there.
struct Taken {
    lvpipe: String,
    mbuffer: String,
}

impl Taken {
    fn into(root: &CleanRoot, packages: &Packages) -> Result<Self> {
        Ok(Taken { lvpipe: root.take(&packages.lvpipe)?, mbuffer: root.take(&packages.mbuffer)? })
    }
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
        "/usr/lib/systemd/system/lvpipe-replicate@.service",
        "/usr/lib/systemd/system/lvpipe-replicate@.timer",
        "/usr/share/doc/lvpipe/copyright",
        "/usr/share/doc/lvpipe/CHANGELOG.md",
    ] {
        ensure!(listed.lines().any(|line| line == file), "not in the package: {file}\n{listed}");
    }
    root.run("bash -c '. /usr/share/bash-completion/completions/lvpipe && complete -p lvpipe'")?;
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

/// Whoever reports a fault can say what it is a fault of.
fn names_its_commit(root: &CleanRoot) -> Result<()> {
    let version = root.run("lvpipe --version")?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit")).map(str::trim);
    let known = commit.is_some_and(|commit| commit.starts_with(|digit: char| digit.is_ascii_hexdigit()));
    ensure!(known, "which build is it? {version}");
    Ok(())
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
