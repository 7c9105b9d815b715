//! Where to: nowhere, to a target on this machine, or to another machine.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::{Error, Result};
use crate::link::ssh::SshUrl;
use crate::volume::NewVolume;

/// Where to.
pub(super) enum Destination {
    Nowhere,
    Here(OsString),
    There { url: SshUrl, target: Option<String>, text: String },
}

impl Destination {
    /// What the name stands for.
    ///
    /// # Errors
    /// A usage error for a URL that leads nowhere.
    pub(super) fn named(name: Option<&OsStr>) -> Result<Self> {
        let Some(name) = name else { return Ok(Destination::Nowhere) };
        let text = name.to_string_lossy().into_owned();
        if !is_far(name) {
            if has_scheme(&text) {
                return Err(Error::usage("cannot measure", text, "the way there is not ssh's")
                    .way_out("name ssh://[USER@]HOST[:PORT][/TARGET], or a target on this machine"));
            }
            return Ok(Destination::Here(name.into()));
        }
        // Without a target nothing is written there.
        let authority = text.trim_start_matches("ssh://");
        let whole = match authority.split_once('/') {
            None => format!("{text}/-"),
            Some((_, "")) => format!("{text}-"),
            Some(_) => text.clone(),
        };
        let url: SshUrl = whole.parse().map_err(|why: String| Error::usage("cannot measure", &text, why))?;
        let target = Some(url.target.clone()).filter(|target| target != "-");
        Ok(Destination::There { url, target, text })
    }

    /// The thin volume that is to be made, as `--create` takes it, where a pool or a new volume in it was named:
    /// `pool` is what was found of it. In a pool alone it gets the name of the source, where that can be.
    pub(super) fn to_be_made(&self, pool: Option<&str>, source: &str) -> Option<String> {
        let named = match self {
            Destination::Nowhere => return None,
            Destination::Here(name) => name.to_str(),
            Destination::There { target, .. } => target.as_deref(),
        };
        match (pool, named.filter(|name| name.parse::<NewVolume>().is_ok())) {
            (Some(_), Some(new)) => Some(new.into()),
            (Some(pool), None) => Some(format!("{pool}:{}", self.volume_name(pool, source))),
            (None, _) => None,
        }
    }

    /// A name for the copy of this source: its own, as far as LVM allows (lvm(8), VALID NAMES). Beside the source itself
    /// it is taken.
    fn volume_name(&self, pool: &str, source: &str) -> String {
        let name = named_by(source);
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte);
        let is_valid = (1..=127).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(is_allowed);
        let group = pool.split_once('/').map_or(pool, |(group, _)| group);
        let beside = [format!("{group}/{name}"), format!("/dev/{group}/{name}")];
        let is_taken = matches!(self, Destination::Here(_)) && beside.iter().any(|taken| taken == source);
        if is_valid && !is_taken && source != "SOURCE" { name } else { "NAME".into() }
    }
}

/// What the names of disk images end in.
const IMAGES: [&str; 3] = ["img", "raw", "iso"];

pub(super) fn is_far(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"ssh://")
}

/// `http://` and the like: RFC 3986, 3.1.
pub(super) fn has_scheme(text: &str) -> bool {
    let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_of_one)
    })
}

/// Of a path, what names the volume: an image's without what says that it is one.
fn named_by(source: &str) -> String {
    let path = Path::new(source);
    let is_image = path.extension().is_some_and(|suffix| IMAGES.iter().any(|image| suffix == *image));
    let name = if is_image { path.file_stem() } else { path.file_name() };
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(destination: &str, pool: Option<&str>, source: &str) -> Option<String> {
        let destination = Destination::named(Some(destination.as_ref())).expect("a place");
        destination.to_be_made(pool, source)
    }

    #[test]
    fn in_a_pool_a_volume_is_made_by_the_name_of_the_source() {
        let rows = [
            ("vg/pool", Some("vg/pool"), "old/vm1", Some("vg/pool:vm1")),
            ("vg/pool", Some("vg/pool"), "old/web.example.org", Some("vg/pool:web.example.org")),
            ("vg/pool", Some("vg/pool"), "vg/vm1", Some("vg/pool:NAME")),
            ("vg/pool", Some("vg/pool"), "/dev/vg/vm1", Some("vg/pool:NAME")),
            ("/dev/vg/pool", Some("vg/pool"), "/srv/disk.img", Some("vg/pool:disk")),
            ("vg/pool", Some("vg/pool"), "/srv/two words", Some("vg/pool:NAME")),
            ("vg/pool", Some("vg/pool"), "SOURCE", Some("vg/pool:NAME")),
            ("vg/pool:new", Some("vg/pool"), "vg/vm1", Some("vg/pool:new")),
            ("ssh://host/vg/pool", Some("vg/pool"), "vg/vm1", Some("vg/pool:vm1")),
            ("ssh://host/vg/pool:new", Some("vg/pool"), "vg/vm1", Some("vg/pool:new")),
            ("vg/vm2", None, "vg/vm1", None),
            ("ssh://host", None, "vg/vm1", None),
            // A file with a colon in its name.
            ("srv/a:b", None, "vg/vm1", None),
        ];
        for (destination, pool, source, expected) in rows {
            assert_eq!(new(destination, pool, source).as_deref(), expected, "{destination} {source}");
        }
    }

    #[test]
    fn a_scheme_is_told_from_a_file() {
        assert!(["http://x/y", "tcp://h:1", "a+b://"].iter().all(|text| has_scheme(text)));
        assert!(!["a/b", "./x://y", "://x", "1a://x", "srv/x:y"].iter().any(|text| has_scheme(text)));
    }
}
