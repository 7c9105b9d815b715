//! One record: a part or a hole that is on stable storage.

use crate::usedmap::Extent;
use crate::wire::Digest;

use super::about::About;

/// Bytes of a record.
pub(super) const LENGTH: usize = 64;

const PART: u8 = 1;
const HOLE: u8 = 2;

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) extent: Extent,
    /// Of a part; a hole has none.
    pub(super) digest: Option<Digest>,
}

impl Record {
    /// As bytes, the offset first, at this place of this journal.
    pub(super) fn encode(&self, id: &[u8; 16], number: u64) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&self.extent.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.extent.length.to_le_bytes());
        bytes[16] = if self.digest.is_some() { PART } else { HOLE };
        bytes[28..60].copy_from_slice(&self.digest.unwrap_or_default().0);
        let crc = checksum(&bytes, id, number);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// From bytes at this place of a journal; `None` for what was not written there, or cannot be of that volume.
    pub(super) fn decode(bytes: &[u8; LENGTH], about: &About, number: u64) -> Option<Self> {
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
        let crc = u32::from_le_bytes(std::array::from_fn(|n| bytes[60 + n]));
        if crc != checksum(bytes, &about.id, number) || bytes[17..28] != [0; 11] {
            return None;
        }
        let digest = Digest(std::array::from_fn(|n| bytes[28 + n]));
        let digest = match bytes[16] {
            PART => Some(digest),
            HOLE if digest == Digest::default() => None,
            _ => return None,
        };
        let record = Record { extent: Extent { offset: long(0), length: long(8) }, digest };
        record.is_plausible(about).then_some(record)
    }

    fn is_plausible(&self, about: &About) -> bool {
        let Extent { offset, length } = self.extent;
        // A stream of unknown length may still not leave what a file offset can say.
        let size = about.volume_size.unwrap_or(i64::MAX as u64);
        let Some(end) = offset.checked_add(length).filter(|end| length > 0 && *end <= size) else { return false };
        let part_size = about.part_size.bytes() as u64;
        let is_last = about.volume_size.is_none_or(|size| end == size);
        self.digest.is_none()
            || (offset.is_multiple_of(part_size) && (length == part_size || (length < part_size && is_last)))
    }
}

fn checksum(bytes: &[u8; LENGTH], id: &[u8; 16], number: u64) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(id), &number.to_le_bytes());
    crc32c::crc32c_append(crc, &bytes[..60])
}
