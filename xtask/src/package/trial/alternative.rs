//! lvpipe as the host's mbuffer: alone, beside the real one, chosen and not chosen, and gone.

use anyhow::{Result, ensure};

use super::super::clean_root::CleanRoot;

/// What only the real mbuffer says of itself.
const REAL: &str = "T. Maier-Komor";

/// Who `mbuffer` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The real one.
    Real,
    /// lvpipe.
    Lvpipe,
}

/// That it is the one expected; both print it on standard error, as the real one does.
pub(super) fn ensure_it_is(root: &CleanRoot, who: Who, when: &str) -> Result<()> {
    let said = root.run("mbuffer --version 2>&1")?;
    let found = if said.contains(REAL) { Who::Real } else { Who::Lvpipe };
    ensure!(found == who, "{when}: mbuffer is {found:?}'s\n{said}");
    Ok(())
}

/// The alternative: alone, beside the real mbuffer that is installed later, switched, and gone.
pub(super) fn stands_in(root: &CleanRoot, package: &str, real: &str) -> Result<()> {
    root.run(&format!("dpkg -i {package}"))?;
    ensure_it_is(root, Who::Lvpipe, "installed alone")?;
    root.run("cd /tmp; echo text | mbuffer -q -m 1M > copy; [ \"$(cat copy)\" = text ]; rm copy")?;

    root.run(&format!("dpkg -i {real}"))?;
    ensure_it_is(root, Who::Lvpipe, "the real one is installed later")?;
    root.run("update-alternatives --set mbuffer /usr/bin/mbuffer.distrib")?;
    ensure_it_is(root, Who::Real, "the real one is chosen")?;
    root.run("update-alternatives --auto mbuffer")?;
    ensure_it_is(root, Who::Lvpipe, "nothing is chosen any more")?;

    root.run("dpkg --purge lvpipe-mbuffer")?;
    ensure_it_is(root, Who::Real, "the real one is left")?;
    // And the other order: the real one is there first, and goes first.
    root.run(&format!("dpkg -i {package}"))?;
    ensure_it_is(root, Who::Lvpipe, "installed beside the real one")?;
    root.run("dpkg --purge mbuffer")?;
    ensure_it_is(root, Who::Lvpipe, "the real one is gone")?;
    root.run("dpkg --purge lvpipe-mbuffer libmhash2; ! command -v mbuffer")?;
    Ok(())
}

/// An alternative of the administrator's own stays, unless the real mbuffer wants its name back.
pub(super) fn leaves_what_others_added(root: &CleanRoot, package: &str, real: &str) -> Result<()> {
    let add = "update-alternatives --install /usr/bin/mbuffer mbuffer /bin/true 10";
    root.run(&format!("dpkg -i {package}; {add}; dpkg --purge lvpipe-mbuffer"))?;
    let is_theirs = "[ $(readlink -f /usr/bin/mbuffer) = $(readlink -f /bin/true) ]";
    root.run(is_theirs)?;
    // What the package meets now is a link of update-alternatives, and no mbuffer that could be kept beside it.
    root.run(&format!("dpkg -i {package}"))?;
    ensure_it_is(root, Who::Lvpipe, "installed where there was another alternative")?;
    root.run("[ ! -h /usr/bin/mbuffer.distrib ]; ! update-alternatives --query mbuffer | grep mbuffer.distrib")?;
    root.run(&format!("dpkg --purge lvpipe-mbuffer; {is_theirs}"))?;
    root.run("update-alternatives --remove mbuffer /bin/true; ! command -v mbuffer")?;

    root.run(&format!("dpkg -i {package} {real}; {add}; dpkg --purge lvpipe-mbuffer"))?;
    ensure_it_is(root, Who::Real, "the real one is left, and there was a third")?;
    root.run("[ ! -h /usr/bin/mbuffer ]; dpkg --purge mbuffer libmhash2; ! command -v mbuffer")?;
    Ok(())
}
