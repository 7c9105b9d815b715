//! What a journal is about: its header.

use crate::error::{Error, Result};
use crate::volume::{JournalPlace, identity};
use crate::wire::{DigestKind, Lineage, PartSize, Prelude, lineage};

/// Bytes of the header without lineage and target; also what records and the header's end are aligned to.
pub(super) const FIXED: usize = 64;
/// The most bytes that a header may have: what is longer is none.
pub(super) const LONGEST: usize = FIXED + lineage::MAX_LENGTH + LONGEST_TARGET;

pub(super) const MAGIC: [u8; 8] = *b"\x89LVJ\r\n\x1a\n";
const VERSION: u16 = 1;
const LONGEST_TARGET: usize = 8192;
const UNKNOWN: u64 = u64::MAX;

/// Which transfer a journal is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The id of the transfer that began it.
    pub id: [u8; 16],
    /// Bytes of the volume; `None` for a byte stream of unknown length.
    pub volume_size: Option<u64>,
    /// The grid.
    pub part_size: PartSize,
    /// Which digest the parts have.
    pub digest: DigestKind,
    /// Where the volume comes from.
    pub lineage: Lineage,
    /// The target's [identity](JournalPlace::identity).
    pub target: String,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// It is another kind of file.
    Foreign,
    /// A later version's.
    Newer(u16),
    /// It was torn or damaged: there is nothing to be believed.
    Damaged,
}

impl About {
    /// Of the transfer that this prelude begins, to the target at this place.
    pub fn of(prelude: &Prelude, place: &JournalPlace) -> Self {
        About {
            id: prelude.transfer,
            volume_size: prelude.volume_size,
            part_size: prelude.part_size,
            digest: prelude.digest,
            lineage: prelude.lineage.clone(),
            target: place.identity().into(),
        }
    }

    /// Refuses a transfer that cannot go on from this journal: of another source, since another base, of another size, on another grid or
    /// with another digest.
    ///
    /// # Errors
    /// A guard's, which names what differs.
    pub fn check(&self, prelude: &Prelude, target: &str) -> Result<()> {
        let refused = |why: String| Err(Error::guard("cannot go on with the transfer", target, why));
        let anew = "without --resume all of it is sent";
        let size = |size: Option<u64>| size.map_or("an unknown number of".into(), |size| size.to_string());
        if !is_same_source(&self.lineage, &prelude.lineage) {
            let (then, now) = (described(&self.lineage), described(&prelude.lineage));
            refused(format!("it was begun from {then}, this is {now}")).map_err(|e| e.way_out(anew))
        } else if self.lineage.base != prelude.lineage.base {
            let kind = |lineage: &Lineage| match &lineage.base {
                Some(base) => format!("a delta since {base}"),
                None => "all of the volume".into(),
            };
            let (then, now) = (kind(&self.lineage), kind(&prelude.lineage));
            refused(format!("it was begun with {then}, this is {now}")).map_err(|e| e.way_out(anew))
        } else if self.lineage.etag != prelude.lineage.etag {
            let version = |lineage: &Lineage| lineage.etag.clone().unwrap_or("none that a server names".into());
            let (then, now) = (version(&self.lineage), version(&prelude.lineage));
            refused(format!("it was begun from version {then} of the source, this is {now}"))
                .map_err(|e| e.way_out(anew))
        } else if self.volume_size != prelude.volume_size {
            let (then, now) = (size(self.volume_size), size(prelude.volume_size));
            refused(format!("the source had {then} bytes then, it has {now} bytes now"))
                .map_err(|e| e.way_out(anew))
        } else if self.part_size != prelude.part_size {
            refused(format!("it was begun with parts of {}, not {}", self.part_size, prelude.part_size))
                .map_err(|e| e.way_out(format!("send with -s {}", self.part_size)))
        } else if self.digest != prelude.digest {
            refused(format!("it was begun with digest {}, not {}", self.digest, prelude.digest))
                .map_err(|e| e.way_out(format!("send with --digest {}", self.digest)))
        } else {
            Ok(())
        }
    }

    /// As bytes, a multiple of [`FIXED`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let lineage = self.lineage.encode();
        let target = &self.target.as_bytes()[..self.target.floor_char_boundary(LONGEST_TARGET)];
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        // At most 64 MiB.
        bytes.extend_from_slice(&(self.part_size.bytes() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.volume_size.unwrap_or(UNKNOWN).to_le_bytes());
        bytes.extend_from_slice(&[self.digest.to_wire(), 0, 0, 0]);
        // Both are short: six fields of a lineage, of 4 KiB each, and what was cut above.
        bytes.extend_from_slice(&(lineage.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(target.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let crc = crc32c::crc32c(&[&bytes, &lineage, target].concat());
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&lineage);
        bytes.extend_from_slice(target);
        bytes.resize(bytes.len().next_multiple_of(FIXED), 0);
        bytes
    }

    /// From a file's first bytes, up to [`LONGEST`] of them; how long the header is.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, usize), NoHeader> {
        let is_foreign = !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]);
        if is_foreign {
            return Err(NoHeader::Foreign);
        }
        let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(NoHeader::Damaged)?;
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| fixed[at + n]));
        let lengths = (short(44) as usize, short(48) as usize);
        if lengths.0 > lineage::MAX_LENGTH || lengths.1 > LONGEST_TARGET {
            return Err(NoHeader::Damaged);
        }
        let variable = rest.get(..lengths.0 + lengths.1).ok_or(NoHeader::Damaged)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed[..60]), variable);
        let version = u16::from_le_bytes([fixed[8], fixed[9]]);
        if version > VERSION {
            return Err(NoHeader::Newer(version));
        }
        if crc != short(60) {
            return Err(NoHeader::Damaged);
        }
        let (lineage, target) = variable.split_at(lengths.0);
        let volume_size = u64::from_le_bytes(std::array::from_fn(|n| fixed[32 + n]));
        let about = About {
            id: std::array::from_fn(|n| fixed[16 + n]),
            volume_size: Some(volume_size).filter(|size| *size != UNKNOWN),
            part_size: PartSize::new(short(12).into()).ok_or(NoHeader::Damaged)?,
            digest: DigestKind::from_wire(fixed[40]).ok_or(NoHeader::Damaged)?,
            lineage: Lineage::decode(lineage).map_err(|_| NoHeader::Damaged)?,
            target: String::from_utf8(target.to_vec()).map_err(|_| NoHeader::Damaged)?,
        };
        Ok((about, (FIXED + variable.len()).next_multiple_of(FIXED)))
    }
}

/// Whether both are of one volume: an LV by its UUID, whatever its name is by now; anything else by its host, and
/// there by its name or by what it is, for a path can be written in many ways.
pub(super) fn is_same_source(one: &Lineage, other: &Lineage) -> bool {
    match (&one.uuid, &other.uuid) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.host == other.host && (one.source == other.source || is_same_volume(one, other)),
        _ => false,
    }
}

/// Whether the senders have seen the same device or file.
fn is_same_volume(one: &Lineage, other: &Lineage) -> bool {
    let volumes = |lineage: &Lineage| lineage.identity.as_deref().and_then(identity::volumes).map(str::to_owned);
    volumes(one).is_some_and(|one| volumes(other) == Some(one))
}

/// In words.
pub(super) fn described(lineage: &Lineage) -> String {
    let name = lineage.source.as_deref().unwrap_or("an unnamed source");
    let host = lineage.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let uuid = lineage.uuid.as_ref().map(|uuid| format!(" (UUID {uuid})")).unwrap_or_default();
    format!("{name}{host}{uuid}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn about(source: &str, target: &str, volume_size: Option<u64>) -> About {
        About {
            id: [7; 16],
            volume_size,
            part_size: PartSize::default(),
            digest: DigestKind::Blake3,
            lineage: Lineage { source: Some(source.into()), host: Some("h".into()), ..Lineage::default() },
            target: target.into(),
        }
    }

    #[test]
    fn a_header_torn_anywhere_is_none() {
        let header = about("vg/vm1", "lv abc", Some(12345)).encode();
        assert_eq!(header.len() % FIXED, 0);
        let end = FIXED + about("vg/vm1", "lv abc", None).lineage.encode().len() + "lv abc".len();
        for length in 0..end {
            assert_eq!(About::decode(&header[..length]), Err(NoHeader::Damaged), "{length} bytes");
        }
        for bit in 0..8 * end {
            let mut damaged = header.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(About::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_and_another_file_are_told_apart() {
        let mut header = about("a", "b", None).encode();
        header[8] = 2;
        assert_eq!(About::decode(&header), Err(NoHeader::Newer(2)));
        assert_eq!(About::decode(b"#!/bin/sh\n"), Err(NoHeader::Foreign));
    }

    #[test]
    fn an_lv_is_known_by_its_uuid_and_all_else_on_its_host_by_name_or_inode() {
        let of = |source: &str, uuid: Option<&str>, host: &str| Lineage {
            source: Some(source.into()),
            uuid: uuid.map(Into::into),
            host: Some(host.into()),
            time: getrandom::u64().ok(),
            ..Lineage::default()
        };
        assert!(is_same_source(&of("vg/a", Some("u"), "h"), &of("vg/renamed", Some("u"), "h")));
        assert!(!is_same_source(&of("vg/a", Some("u"), "h"), &of("vg/a", Some("v"), "h")));
        assert!(!is_same_source(&of("vg/a", Some("u"), "h"), &of("vg/a", None, "h")));
        assert!(is_same_source(&of("f", None, "h"), &of("f", None, "h")));
        assert!(!is_same_source(&of("f", None, "h"), &of("f", None, "other")));
        let seen =
            |source: &str, identity: &str| Lineage { identity: Some(identity.into()), ..of(source, None, "h") };
        assert!(is_same_source(&seen("f", "boot 1 2 file:3:4"), &seen("./f", "boot 9 8 file:3:4")));
        assert!(!is_same_source(&seen("f", "boot 1 2 file:3:4"), &seen("./f", "boot 9 8 file:3:5")));
        assert!(!is_same_source(&seen("f", "boot 1 2"), &seen("./f", "boot 9 8")));
    }

    #[test]
    fn what_differs_is_named() {
        let about = about("f", "t", Some(100));
        let same = Prelude {
            transfer: [1; 16],
            link: 0,
            links: 1,
            part_size: about.part_size,
            volume_size: about.volume_size,
            used: None,
            digest: about.digest,
            answers: false,
            resumes: true,
            lineage: about.lineage.clone(),
        };
        about.check(&same, "t").expect("it is the same");
        let said = |prelude: Prelude| about.check(&prelude, "t").expect_err("it differs").to_string();
        assert_eq!(
            said(Prelude { volume_size: Some(101), ..same.clone() }),
            "cannot go on with the transfer: t: the source had 100 bytes then, it has 101 bytes now\n  without \
             --resume all of it is sent"
        );
        let delta = Lineage { base: Some("a-1:5".into()), ..same.lineage.clone() };
        assert!(
            said(Prelude { lineage: delta, ..same.clone() })
                .contains("it was begun with all of the volume, this is a delta since a-1:5")
        );
        let part_size = PartSize::new(64 << 10).expect("a power of two");
        assert!(said(Prelude { part_size, ..same.clone() }).ends_with("parts of 1M, not 64k\n  send with -s 1M"));
        assert!(said(Prelude { digest: DigestKind::None, ..same.clone() }).ends_with("send with --digest blake3"));
        assert!(
            said(Prelude { lineage: Lineage::default(), ..same }).contains("begun from f on h, this is an unnamed")
        );
    }

    proptest! {
        #[test]
        fn a_header_survives(source in ".{0,80}", target in ".{0,80}", size: Option<u64>) {
            let about = about(&source, &target, size.filter(|size| *size != u64::MAX));
            let bytes = about.encode();
            prop_assert!(bytes.len() <= LONGEST);
            prop_assert_eq!(About::decode(&bytes), Ok((about, bytes.len())));
        }

        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, magic: bool) {
            if magic {
                bytes.splice(..0, MAGIC);
            }
            let _ = About::decode(&bytes);
        }
    }
}
