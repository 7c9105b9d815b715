//! The resume token: what of a journal a sender needs that cannot ask the receiver, in one line of text.
//!
//! `lvr1-`, then in base64url: id (16), volume size (8; 2^64 − 1: unknown), the part size as the exponent of its power
//! of two (1), digest (1), source, UUID and host (each a byte for its length, then so much UTF-8, 0: not known), how
//! many extents (2), for each of these how many parts lie between it and the one before, and how many it has (LEB128),
//! at last the CRC32C of the text `lvr1-` and all before (4). Integers are little-endian.
//!
//! Extents are whole parts, and at most [`MOST_EXTENTS`] of them, the largest: what is left out is sent again. A
//! token has some 100 to 2,000 characters.

use std::fmt;
use std::str::FromStr;

use super::about::{self, About};
use super::base64url;
use super::held::Held;
use crate::error::{Error, Result};
use crate::wire::{DigestKind, Lineage, PartSize};

/// The most extents in a token.
const MOST_EXTENTS: usize = 256;
/// The longest value of a name: longer ones are cut.
const LONGEST_NAME: usize = 255;
/// The longest text that is looked at: more than 256 extents, at 20 bytes each, and all names take.
const LONGEST_TEXT: usize = 16 << 10;
const PREFIX: &str = "lvr1-";
const UNKNOWN: u64 = u64::MAX;

/// What a receiver holds, for a sender to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The id of the transfer that began the journal: a stream that goes on from it has the same.
    pub id: [u8; 16],
    /// Bytes of the volume; `None` for a byte stream of unknown length.
    pub volume_size: Option<u64>,
    /// The grid, which the stream that goes on has too.
    pub part_size: PartSize,
    /// Which digest the parts have.
    pub digest: DigestKind,
    /// Where the volume comes from: source, UUID and host. Names are cut to 255 bytes.
    pub lineage: Lineage,
    extents: Vec<(u64, u64)>,
}

impl Token {
    /// Of what a journal says.
    pub fn from_journal(about: &About, held: &Held) -> Self {
        Token {
            id: about.id,
            volume_size: about.volume_size,
            part_size: about.part_size,
            digest: about.digest,
            lineage: cut(&about.lineage),
            extents: largest(whole_parts(&held.extents(), about.volume_size, about.part_size)),
        }
    }

    /// Offset and length of what the receiver has, in order; whole parts, but for the volume's last one.
    pub fn extents(&self) -> &[(u64, u64)] {
        &self.extents
    }

    /// Refuses another source than the token's: going on with another volume would mix both.
    ///
    /// # Errors
    /// A guard's, which names what differs.
    pub fn check(&self, lineage: &Lineage, size: Option<u64>) -> Result<()> {
        let refused = |why: String| {
            let source = lineage.source.as_deref().unwrap_or_default();
            Err(Error::guard("cannot go on with the transfer", source, why)
                .way_out("without --resume all of it is sent"))
        };
        let own = cut(lineage);
        if !about::is_same_source(&self.lineage, &own) {
            let (token, own) = (about::described(&self.lineage), about::described(&own));
            return refused(format!("the token is of {token}, this is {own}"));
        }
        if self.volume_size != size {
            let bytes = |size: Option<u64>| size.map_or("an unknown number of".into(), |size| size.to_string());
            let (then, now) = (bytes(self.volume_size), bytes(size));
            return refused(format!("the source had {then} bytes then, it has {now} bytes now"));
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let part_size = self.part_size.bytes() as u64;
        let mut bytes = self.id.to_vec();
        bytes.extend_from_slice(&self.volume_size.unwrap_or(UNKNOWN).to_le_bytes());
        // 16 to 26.
        bytes.extend_from_slice(&[part_size.trailing_zeros() as u8, self.digest.to_wire()]);
        for name in [&self.lineage.source, &self.lineage.uuid, &self.lineage.host] {
            let name = name.as_deref().unwrap_or_default();
            // At most LONGEST_NAME.
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(&(self.extents.len() as u16).to_le_bytes());
        let mut before = 0;
        for (offset, length) in &self.extents {
            push_number(&mut bytes, offset / part_size - before);
            push_number(&mut bytes, length.div_ceil(part_size));
            before = offset / part_size + length.div_ceil(part_size);
        }
        let crc = checksum(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// From bytes whose checksum fits; `None` for what no token holds.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Bytes(bytes);
        let id = *from.take_array::<16>()?;
        let volume_size = Some(u64::from_le_bytes(*from.take_array()?)).filter(|size| *size != UNKNOWN);
        let [exponent, digest] = *from.take_array()?;
        let part_size = 1u64.checked_shl(exponent.into()).and_then(PartSize::new)?;
        let mut name = || {
            let [length] = *from.take_array()?;
            let name = String::from_utf8(from.take(length.into())?.to_vec()).ok()?;
            Some(Some(name).filter(|name| !name.is_empty()))
        };
        let lineage = Lineage { source: name()?, uuid: name()?, host: name()?, ..Lineage::default() };
        let count = usize::from(u16::from_le_bytes(*from.take_array()?));
        if count > MOST_EXTENTS {
            return None;
        }
        let size = volume_size.unwrap_or(i64::MAX as u64);
        let mut extents = Vec::with_capacity(count);
        let mut end = 0u64;
        for _ in 0..count {
            let [between, parts] = [from.number()?, from.number()?];
            let bytes = |parts: u64| parts.checked_mul(part_size.bytes() as u64);
            let offset = end.checked_add(bytes(between)?)?;
            end = offset.checked_add(bytes(parts)?)?;
            let length = end.min(size).checked_sub(offset).filter(|length| *length > 0)?;
            extents.push((offset, length));
        }
        let is_within = end < size.saturating_add(part_size.bytes() as u64);
        let digest = DigestKind::from_wire(digest)?;
        let token = Token { id, volume_size, part_size, digest, lineage, extents };
        (is_within && from.0.is_empty()).then_some(token)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", base64url::encode(&self.encode()))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let version = text.strip_prefix("lvr").and_then(|rest| rest.split_once('-')).map(|(version, _)| version);
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            let is_number = version.is_some_and(|version| version.parse::<u32>().is_ok());
            return Err(match is_number {
                true => "the token is of another version: this lvpipe is not that of the receiver".into(),
                false => "it is no resume token: lvpipe recv --resume-token TARGET prints one".into(),
            });
        };
        let mistyped = || "the token is mistyped or not whole: copy it again".to_string();
        let bytes = Some(encoded).filter(|text| text.len() <= LONGEST_TEXT).and_then(base64url::decode);
        let bytes = bytes.ok_or_else(mistyped)?;
        match bytes.split_last_chunk() {
            Some((bytes, crc)) if checksum(bytes) == u32::from_le_bytes(*crc) => {
                Token::decode(bytes).ok_or_else(|| "the token holds what no receiver writes".into())
            }
            _ => Err(mistyped()),
        }
    }
}

/// What of a lineage is in a token.
fn cut(lineage: &Lineage) -> Lineage {
    let cut = |name: &Option<String>| {
        name.as_ref().map(|name| name[..name.floor_char_boundary(LONGEST_NAME)].to_string())
    };
    let [source, uuid, host] = [&lineage.source, &lineage.uuid, &lineage.host].map(cut);
    Lineage { source, uuid, host, ..Lineage::default() }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(PREFIX.as_bytes()), bytes)
}

/// What of the extents is whole parts; joined parts stay joined.
fn whole_parts(extents: &[(u64, u64)], size: Option<u64>, part_size: PartSize) -> Vec<(u64, u64)> {
    let part = part_size.bytes() as u64;
    let whole = extents.iter().filter_map(|(offset, length)| {
        let end = offset + length;
        // The volume's last part may be shorter.
        let end = if Some(end) == size { end } else { end - end % part };
        let offset = offset.next_multiple_of(part);
        (offset < end).then(|| (offset, end - offset))
    });
    whole.collect()
}

/// The largest of the extents, in order of offset.
fn largest(mut extents: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    extents.sort_unstable_by_key(|(offset, length)| (std::cmp::Reverse(*length), *offset));
    extents.truncate(MOST_EXTENTS);
    extents.sort_unstable();
    extents
}

/// LEB128: seven bits a byte, the lowest first.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Bytes that are read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.take(N)?.first_chunk()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take_array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn about(volume_size: Option<u64>) -> About {
        About {
            id: *b"0123456789abcdef",
            volume_size,
            part_size: PartSize::default(),
            digest: DigestKind::Sha256,
            lineage: Lineage {
                source: Some("vg/vm1".into()),
                host: Some("h".into()),
                time: Some(1),
                ..Lineage::default()
            },
            target: "lv x".into(),
        }
    }

    fn token(volume_size: Option<u64>, extents: &[(u64, u64)]) -> Token {
        let About { id, part_size, digest, lineage, .. } = about(volume_size);
        Token { id, volume_size, part_size, digest, lineage: cut(&lineage), extents: extents.to_vec() }
    }

    /// Byte for byte: a token outlives the version that printed it.
    #[test]
    fn a_token_is_what_it_was() {
        let token = token(Some(10 * MIB + 5), &[(0, 2 * MIB), (4 * MIB, 6 * MIB + 5)]);
        let text = "lvr1-MDEyMzQ1Njc4OWFiY2RlZgUAoAAAAAAAFAEGdmcvdm0xAAFoAgAAAgIHyIcnmg";
        assert_eq!(token.to_string(), text);
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token));
    }

    #[test]
    fn it_is_made_of_whole_parts_of_what_is_held() {
        let size = 5 * MIB + 7;
        let extents = [(0, MIB - 1), (MIB + 1, 2 * MIB), (4 * MIB - 9, MIB + 9 + MIB / 2), (5 * MIB, 7)];
        let whole = |size| whole_parts(&extents, size, PartSize::default());
        assert_eq!(whole(Some(size)), [(2 * MIB, MIB), (4 * MIB, MIB), (5 * MIB, 7)]);
        assert_eq!(whole(None), [(2 * MIB, MIB), (4 * MIB, MIB)]);
    }

    #[test]
    fn of_many_extents_the_largest_stay_in_order() {
        let extents: Vec<_> = (0..1000).map(|n| (n * 100 * MIB, (1 + n * 7919 % 97) * MIB)).collect();
        let largest = largest(extents.clone());
        assert_eq!(largest.len(), MOST_EXTENTS);
        assert!(largest.is_sorted());
        let smallest = largest.iter().map(|(_, length)| *length).min().expect("some");
        let left_out = extents.iter().filter(|extent| !largest.contains(extent));
        assert!(left_out.clone().all(|(_, length)| *length <= smallest));
        assert!(token(None, &largest).to_string().len() < 2000);
    }

    /// One character wrong, missing, doubled, or two exchanged.
    #[test]
    fn a_mistyped_token_is_seen() {
        let right = token(Some(50 * MIB), &[(0, 20 * MIB), (30 * MIB, MIB)]).to_string();
        let characters: Vec<char> = right.chars().collect();
        let mut wrong = Vec::new();
        for at in 0..characters.len() {
            for other in ['A', 'b', '7', '-', '_', ' ', 'é'] {
                wrong.push([&characters[..at], &[other], &characters[at + 1..]].concat());
            }
            wrong.push([&characters[..at], &characters[at + 1..]].concat());
            wrong.push([&characters[..at], &[characters[at]], &characters[at..]].concat());
            let mut exchanged = characters.clone();
            exchanged.swap(at, (at + 1).min(characters.len() - 1));
            wrong.push(exchanged);
        }
        for wrong in wrong.into_iter().filter(|wrong| *wrong != characters) {
            let text: String = wrong.into_iter().collect();
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
        let said = |text: &str| text.parse::<Token>().expect_err("it is none");
        assert!(said("lvr2-AAAA").contains("another version"));
        assert!(said("vg/vm1").contains("no resume token"));
        assert!(said(&right[..40]).contains("mistyped or not whole"));
    }

    #[test]
    fn what_no_receiver_writes_is_refused_though_the_checksum_fits() {
        let sealed = |mut bytes: Vec<u8>| {
            let crc = checksum(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            format!("{PREFIX}{}", base64url::encode(&bytes)).parse::<Token>()
        };
        let whole = token(Some(10 * MIB), &[(0, MIB)]).encode();
        let body = &whole[..whole.len() - 4];
        assert!(sealed(body.to_vec()).is_ok());
        for length in 0..body.len() {
            assert!(sealed(body[..length].to_vec()).is_err(), "{length} bytes");
        }
        assert!(sealed([body, &[0]].concat()).is_err(), "more than there is");
        for (extents, why) in [
            (&[1, 0, 0, 0][..], "an empty extent"),
            (&[1, 0, 0, 11], "beyond the volume"),
            (&[1, 0, 11, 1], "behind the volume"),
            (&[1, 1, 0, 1], "more extents than a token has"),
            (&[1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], "an offset that overflows"),
        ] {
            assert!(sealed([&body[..body.len() - 4], extents].concat()).is_err(), "{why}");
        }
    }

    #[test]
    fn another_source_is_refused() {
        let token = token(Some(10 * MIB), &[]);
        token.check(&about(None).lineage, Some(10 * MIB)).expect("it is the same");
        let other = Lineage { source: Some("vg/vm2".into()), ..about(None).lineage };
        let said = token.check(&other, Some(10 * MIB)).expect_err("another").to_string();
        assert!(said.contains("vg/vm2: the token is of vg/vm1 on h, this is vg/vm2 on h\n  without"), "{said}");
        let said = token.check(&about(None).lineage, None).expect_err("another").to_string();
        assert!(said.contains("had 10485760 bytes then, it has an unknown number of bytes now"), "{said}");
        // A name that does not fit is compared as far as it fits.
        let long = Lineage { source: Some("é".repeat(200)), ..Lineage::default() };
        Token { lineage: cut(&long), ..token }.check(&long, Some(10 * MIB)).expect("it is the same");
    }

    proptest! {
        #[test]
        fn a_token_survives(
            names in proptest::collection::vec(proptest::option::of(".{1,90}"), 3),
            runs in proptest::collection::vec((1u64..1 << 34, 1u64..1 << 20), 0..300),
            exponent in 16u32..=26,
            rest in 0u64..100,
        ) {
            let part_size = PartSize::new(1 << exponent).expect("a power of two");
            let part = 1u64 << exponent;
            let mut end = 0u64;
            let mut extents = Vec::new();
            for (between, parts) in runs.into_iter().map(|(between, parts)| (between * part, parts * part)) {
                let Some(next) = end.checked_add(between + parts).filter(|end| *end < 1 << 62) else { break };
                extents.push((end + between, parts));
                end = next;
            }
            let lineage = Lineage {
                source: names[0].clone(),
                uuid: names[1].clone(),
                host: names[2].clone(),
                ..Lineage::default()
            };
            let about = About { part_size, lineage, ..about(Some(end + rest)) };
            let extents = largest(whole_parts(&extents, about.volume_size, part_size));
            let token = Token { part_size, lineage: cut(&about.lineage), extents, ..token(about.volume_size, &[]) };
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}", bytes: Vec<u8>) {
            let _ = text.parse::<Token>();
            let _ = format!("lvr1-{text}").parse::<Token>();
            let _ = Token::decode(&bytes);
        }
    }
}
