//! What the fuzz targets share: checksums that fit.
//!
//! Everything that a peer sends and everything that is read back from a disk has a CRC32C, which a fuzzer does not
//! guess. So each target tries its input twice: as it is, and with the checksums set right, as a hostile peer would
//! have them. The places are those of the tables in `lvpipe::wire` and `lvpipe::journal`.

use lvpipe::wire::frame::HEADER;
use lvpipe::wire::segments::ENTRY;
use lvpipe::wire::{answer, prelude};

/// A prelude whose checksums fit, and all that follows it.
pub fn mend_prelude(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= prelude::LENGTH {
        let length = number(&bytes, 60) as usize;
        let lineage = bytes[prelude::LENGTH..].get(..length).map_or(0, crc32c::crc32c);
        put(&mut bytes, 64, lineage);
        let crc = crc32c::crc32c(&bytes[..92]);
        put(&mut bytes, 92, crc);
    }
    bytes
}

/// Frames whose checksums fit: of the header, of the segment table, of the payload.
pub fn mend_frames(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(frame) = bytes.get_mut(at..).filter(|frame| frame.len() >= HEADER) {
        let table = usize::from(u16::from_le_bytes([frame[2], frame[3]])) * ENTRY;
        let payload = number(frame, 4) as usize;
        let (head, rest) = frame.split_at_mut(HEADER);
        let table = &rest[..table.min(rest.len())];
        let payload = &rest[table.len()..][..payload.min(rest.len() - table.len())];
        put(head, 36, crc32c::crc32c(table));
        put(head, 40, crc32c::crc32c(payload));
        let crc = crc32c::crc32c(&head[..76]);
        put(head, 76, crc);
        at += HEADER + table.len() + payload.len();
    }
    bytes
}

/// Answers whose checksums fit.
pub fn mend_answers(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(answer) = bytes.get_mut(at..).filter(|answer| answer.len() >= answer::HEADER) {
        let (head, rest) = answer.split_at_mut(answer::HEADER);
        let length = (number(head, 4) as usize).min(rest.len());
        put(head, 8, crc32c::crc32c(&rest[..length]));
        let crc = crc32c::crc32c(&head[..12]);
        put(head, 12, crc);
        at += answer::HEADER + length;
    }
    bytes
}

/// A journal whose checksums fit: of its header, of each record.
pub fn mend_journal(bytes: &[u8]) -> Vec<u8> {
    const LINE: usize = 64;
    let mut bytes = bytes.to_vec();
    if bytes.len() < LINE {
        return bytes;
    }
    let variable = number(&bytes, 44).saturating_add(number(&bytes, 48)) as usize;
    let end = LINE.saturating_add(variable);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..60]), bytes.get(LINE..end).unwrap_or_default());
    put(&mut bytes, 60, crc);
    let id = crc32c::crc32c(&bytes[16..32]);
    let records = bytes.get_mut(end.next_multiple_of(LINE)..).unwrap_or_default();
    for (count, record) in (0u64..).zip(records.chunks_exact_mut(LINE)) {
        let crc = crc32c::crc32c_append(id, &count.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &record[..60]);
        put(record, 60, crc);
    }
    bytes
}

/// A token's text around these bytes.
pub fn mend_token(bytes: &[u8]) -> String {
    const PREFIX: &str = "lvr1-";
    let crc = crc32c::crc32c_append(crc32c::crc32c(PREFIX.as_bytes()), bytes);
    let all = [bytes, &crc.to_le_bytes()].concat();
    PREFIX.to_string() + &data_encoding::BASE64URL_NOPAD.encode(&all)
}

/// A volume's map, in the compact form, whose checksum fits.
pub fn mend_map(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(end) = bytes.len().checked_sub(4) {
        let crc = crc32c::crc32c(&bytes[..end]);
        put(&mut bytes, end, crc);
    }
    bytes
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}
