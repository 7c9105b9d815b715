//! How an LV shows that lvpipe made it and is to remove it: tags, which survive what the registry in /run does not.
//!
//! The tag of the boot tells a power cut's leftovers from what a living lvpipe holds: what was made since this boot
//! is in the registry, what was made before has no owner any more. A tag of the LV's own ([`own_tag`]) tells it from
//! one that somebody else made under the same name.

use std::fs;

use sha2::{Digest, Sha256};

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

/// The name of a machine that is its own, but for clones: machine-id(5).
const MACHINE_ID: &str = "/etc/machine-id";

/// The marks of this host since it booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    host: String,
    boot: String,
}

impl Marks {
    /// Asks the kernel: gethostname(2), and boot_id of random(4); and the system, which may not say which machine it is.
    pub(super) fn of_this_boot() -> Result<Self> {
        let host = nix::unistd::gethostname()
            .map_err(|why| Error::io("cannot tell the name of this host", "", &why.into()))?;
        let boot_id = "/proc/sys/kernel/random/boot_id";
        let boot = fs::read_to_string(boot_id).map_err(|why| Error::io("cannot read", boot_id, &why))?;
        let machine = fs::read_to_string(MACHINE_ID).unwrap_or_default();
        Ok(Marks::new(&host.to_string_lossy(), machine.trim(), &boot))
    }

    /// A group of volumes can be shared by hosts of one name, and by clones of one machine: both have to agree.
    fn new(host: &str, machine: &str, boot: &str) -> Self {
        let machine = if machine.is_empty() { String::new() } else { format!(".{}", hashed(machine)) };
        Marks {
            host: format!("lvpipe.host.{}{machine}", allowed(host)),
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

/// A machine's id is its own business: machine-id(5) asks that others see no more of it than a hash.
fn hashed(machine: &str) -> String {
    let hash = Sha256::new().chain_update("lvpipe host ").chain_update(machine).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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
        let marks = Marks::new("h\u{f6}st 1", "", "0123-ab\n");
        assert_eq!(marks.all(), ["lvpipe.temporary", "lvpipe.host.h_st_1", "lvpipe.boot.0123-ab"]);
        let marks = Marks::new("host", "0123456789abcdef0123456789abcdef", "b");
        assert_eq!(marks.host, "lvpipe.host.host.4f15199606a95063", "another version finds it");
    }

    #[test]
    fn what_another_machine_has_made_is_not_this_ones_even_if_it_has_its_name() {
        let earlier = |host, machine| {
            let tags = Marks::new(host, machine, "earlier").all().map(String::from).to_vec();
            LogicalVolume { tags, ..super::super::tests::volume("vg", "left") }
        };
        let ours = Marks::new("host", "0123", "now");
        assert!(ours.is_of_an_earlier_boot(&earlier("host", "0123")));
        for (host, machine) in [("host", "4567"), ("clone", "0123"), ("host", "")] {
            assert!(!ours.is_of_an_earlier_boot(&earlier(host, machine)), "{host} {machine}");
        }
        let nameless = Marks::new("host", "", "now");
        assert!(nameless.is_of_an_earlier_boot(&earlier("host", "")), "a system that does not say");
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
