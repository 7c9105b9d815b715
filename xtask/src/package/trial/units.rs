//! The systemd units, where the package puts them, with the program that it puts there; and when it is removed.

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

/// A removal stops what runs, and an upgrade does not; a purge takes the links away by which units were enabled.
///
/// No systemd can run in the clean Debian: a script in systemctl's place writes down what it is asked for.
pub(super) fn go_with_the_program(root: &CleanRoot, package: &str) -> Result<()> {
    root.run("mkdir -p /run/systemd/system; ! command -v systemctl")?;
    root.run(
        "printf '#!/bin/sh\\necho \"$*\" >> /tmp/asked\\n' > /usr/bin/systemctl; chmod 755 /usr/bin/systemctl",
    )?;
    let links = [
        "sockets.target.wants/lvpipe-recv@vm1.socket",
        "timers.target.wants/lvpipe-replicate@vm1.timer",
        "timers.target.wants/other@vm1.timer",
    ]
    .map(|link| format!("/etc/systemd/system/{link}"));
    root.run(&format!("dpkg -i {package}"))?;
    for link in &links {
        let unit = format!("/usr/lib/systemd/system/$(basename {link} | sed s/vm1//)");
        root.run(&format!("mkdir -p $(dirname {link}); ln -s {unit} {link}"))?;
    }

    root.run(&format!("rm /tmp/asked; dpkg -i {package}; ! grep stop /tmp/asked"))?;
    root.run("rm /tmp/asked; dpkg --remove lvpipe")?;
    let asked = root.run("cat /tmp/asked")?;
    let stopped = asked.lines().find_map(|line| line.strip_prefix("stop ")).unwrap_or_default();
    for unit in
        ["lvpipe-recv@*.socket", "lvpipe-recv@*.service", "lvpipe-replicate@*.timer", "lvpipe-replicate@*.service"]
    {
        ensure!(stopped.split(' ').any(|word| word == unit), "{unit} is not stopped: {asked}");
    }
    ensure!(asked.contains("daemon-reload"), "systemd is not told: {asked}");
    root.run(&format!("[ -h {} ]; dpkg --purge lvpipe", links[0]))?;
    root.run(&format!("[ ! -h {} ]; [ ! -h {} ]; [ -h {} ]", links[0], links[1], links[2]))?;

    root.run(&format!("rm {} /usr/bin/systemctl /tmp/asked; rm -r /run/systemd", links[2]))?;
    root.run("rmdir /etc/systemd/system/sockets.target.wants 2> /dev/null || true")?;
    Ok(())
}
