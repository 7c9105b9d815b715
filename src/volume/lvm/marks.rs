//! How an LV shows that lvpipe made it and is to remove it: tags, which survive what the registry in /run does not.
//!
//! The tag of the boot tells a power cut's leftovers from what a living lvpipe holds: what was made since this boot
//! is in the registry, what was made before has no owner any more. A tag of the LV's own ([`own_tag`]) tells it from
//! one that somebody else made under the same name.

use std::fs;

use super::LogicalVolume;
use crate::error::{Error, Result, Status};

/// On every LV that lvpipe is to remove again.
pub(super) const TEMPORARY: &str = "lvpipe.temporary";

/// On an LV that was made for a target and is not lvpipe's to remove any more, until it is known that all of it is there
/// and somebody has it.
pub(super) const INCOMPLETE: &str = "lvpipe.incomplete";

/// What all the tags begin with that `replicate` gives to the snapshots that it keeps: whose, and for whom.
const KEPT: [&str; 2] = ["lvpipe.of=", "lvpipe.to="];

impl LogicalVolume {
    /// Whether nobody can have written to it since it was made: lvpipe has made it, as a snapshot that is read-only. Of
    /// one that somebody else made and that is read-only now, its mappings have to tell.
    pub fn was_made_read_only(&self) -> bool {
        let is_kept = |tag: &String| KEPT.iter().any(|kept| tag.starts_with(kept));
        self.is_read_only() && (self.has_tag(TEMPORARY) || self.tags.iter().any(is_kept))
    }
}

/// The marks of this host since it booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    host: String,
    boot: String,
}

impl Marks {
    /// Asks the kernel: gethostname(2), and boot_id of random(4).
    pub(super) fn of_this_boot() -> Result<Self> {
        let host = nix::unistd::gethostname()
            .map_err(|why| Error::io("cannot tell the name of this host", "", &why.into()))?;
        let boot_id = "/proc/sys/kernel/random/boot_id";
        let boot = fs::read_to_string(boot_id).map_err(|why| Error::io("cannot read", boot_id, &why))?;
        Ok(Marks::new(&host.to_string_lossy(), &boot))
    }

    fn new(host: &str, boot: &str) -> Self {
        Marks {
            host: format!("lvpipe.host.{}", allowed(host)),
            boot: format!("lvpipe.boot.{}", allowed(boot.trim())),
        }
    }

    /// The tags of all LVs that this process makes.
    pub(super) fn all(&self) -> [&str; 3] {
        [TEMPORARY, &self.host, &self.boot]
    }

    /// Whether the LV was made by an lvpipe of this host before it booted.
    pub(super) fn is_of_an_earlier_boot(&self, lv: &LogicalVolume) -> bool {
        lv.has_tag(TEMPORARY) && lv.has_tag(&self.host) && !lv.has_tag(&self.boot)
    }
}

/// A tag that no other LV bears: 128 random bits.
///
/// # Errors
/// Where the kernel has no randomness to give.
pub(super) fn own_tag() -> Result<String> {
    let mut number = [0; 16];
    getrandom::fill(&mut number)
        .map_err(|why| Error::new(Status::Io, "cannot make a tag for a volume", "getrandom", why))?;
    Ok(format!("lvpipe.lv.{:032x}", u128::from_le_bytes(number)))
}

/// With LVM's tags, letters and digits and a few signs are allowed.
fn allowed(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
impl Marks {
    /// Those of another boot of the same host.
    pub(super) fn of_an_earlier_boot() -> Self {
        Marks { boot: "lvpipe.boot.earlier".into(), ..Marks::of_this_boot().expect("the kernel tells") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_hold_only_what_lvm_allows() {
        let marks = Marks::new("h\u{f6}st 1", "0123-ab\n");
        assert_eq!(marks.all(), ["lvpipe.temporary", "lvpipe.host.h_st_1", "lvpipe.boot.0123-ab"]);
    }

    #[test]
    fn two_calls_agree() {
        assert_eq!(Marks::of_this_boot(), Marks::of_this_boot());
    }

    #[test]
    fn no_two_volumes_have_a_tag_in_common_that_is_their_own() {
        let (one, other) = (own_tag().expect("random"), own_tag().expect("random"));
        assert_ne!(one, other);
        assert_eq!(allowed(&one), one);
    }
}
