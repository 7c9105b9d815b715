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
mod tests;
