//! An upgrade from an older version: what the administrator has chosen, and what the packages have set up, holds.

use anyhow::{Result, ensure};

use super::super::clean_root::CleanRoot;
use super::Taken;
use super::alternative::{Who, ensure_it_is};

/// From nothing over the older ones, beside the real mbuffer, to the newer ones, and back to nothing.
pub(super) fn keeps_what_was_chosen(root: &CleanRoot, older: &Taken, newer: &Taken, real: &str) -> Result<()> {
    let install = |taken: &Taken| root.run(&format!("dpkg -i {} {}", taken.lvpipe, taken.mbuffer));
    install(older)?;
    root.run(&format!("dpkg -i {real}"))?;
    ensure_it_is(root, Who::Lvpipe, "before the upgrade")?;
    let (diversions, alternatives) = (diversions(root)?, alternatives(root)?);
    ensure!(diversions.lines().count() == 2, "the program and its page are diverted: {diversions}");

    install(newer)?;
    ensure!(versions(root)? == versions_of(root, newer)?, "not upgraded: {}", versions(root)?);
    ensure!(versions_of(root, older)? != versions_of(root, newer)?, "there is nothing to upgrade");
    ensure_it_is(root, Who::Lvpipe, "after an upgrade")?;
    ensure!(self::diversions(root)? == diversions, "other diversions: {}", self::diversions(root)?);
    ensure!(self::alternatives(root)? == alternatives, "other alternatives: {}", self::alternatives(root)?);

    // A downgrade is none the worse for it, and a choice outlives an upgrade.
    install(older)?;
    root.run("update-alternatives --set mbuffer /usr/bin/mbuffer.distrib")?;
    install(newer)?;
    ensure_it_is(root, Who::Real, "chosen before the upgrade")?;
    ensure!(self::diversions(root)? == diversions, "other diversions: {}", self::diversions(root)?);

    root.run("dpkg --purge lvpipe-mbuffer lvpipe mbuffer libmhash2; ! command -v mbuffer")?;
    Ok(())
}

/// What dpkg has installed.
fn versions(root: &CleanRoot) -> Result<String> {
    root.run("dpkg-query -W -f '${Version}\\n' lvpipe lvpipe-mbuffer")
}

/// What is in the packages.
fn versions_of(root: &CleanRoot, taken: &Taken) -> Result<String> {
    root.run(&format!("dpkg-deb -f {} Version; dpkg-deb -f {} Version", taken.lvpipe, taken.mbuffer))
}

fn diversions(root: &CleanRoot) -> Result<String> {
    root.run("dpkg-divert --list '*mbuffer*'")
}

fn alternatives(root: &CleanRoot) -> Result<String> {
    root.run("update-alternatives --query mbuffer")
}
