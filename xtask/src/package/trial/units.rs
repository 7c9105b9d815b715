//! The systemd units, where the package puts them, with the program that it puts there.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::super::clean_root::CleanRoot;
use super::super::succeed;

/// This host's systemd looks at them as if the clean Debian were the system. That has no systemd, and gets this host's
/// units for as long.
pub(super) fn are_accepted(root: &CleanRoot) -> Result<()> {
    let lent = root.path().join("run/systemd");
    fs::create_dir_all(&lent)?;
    succeed(Command::new("cp").arg("-r").arg("/usr/lib/systemd/system").arg(&lent))?;
    let units = root.run("dpkg -L lvpipe | grep '^/usr/lib/systemd/system/lvpipe'")?;
    let mut verify = Command::new("systemd-analyze");
    verify.arg(format!("--root={}", root.path().display())).arg("verify").args(units.lines());
    let verified = verify.env("LC_ALL", "C").output().context("systemd-analyze")?;
    let said = String::from_utf8_lossy(&verified.stderr);
    ensure!(verified.status.success() && said.is_empty(), "systemd-analyze: {}: {said}", verified.status);
    fs::remove_dir_all(&lent)?;
    Ok(())
}
