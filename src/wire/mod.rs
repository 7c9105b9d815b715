//! Bytes on the wire. No I/O but [`std::io::Read`] and [`std::io::Write`], no policy, no threads.
//!
//! A stream is a [prelude], then frames, the last of which is an end frame. All integers are
//! little-endian, all lengths bytes. Every header carries a CRC32C of its own that is checked before any length in
//! it is believed, and no length may ask for more than the part size that the prelude announced.
//!
//! # Prelude: 96 bytes, then the lineage
//!
//! | offset | size | field | meaning | since |
//! |---|---|---|---|---|
//! | 0 | 8 | magic | `89 4C 56 50 0D 0A 1A 0A`: not text, broken by any newline conversion | 1 |
//! | 8 | 2 | version | of the format; an unknown one is refused | 1 |
//! | 10 | 2 | length | of the prelude without the lineage: 96 | 1 |
//! | 12 | 4 | features | bits a receiver must know; an unknown one is refused; 1: the sender expects answers; 2: the stream resumes an earlier one and has held frames; 4: it is a delta and has kept ranges | 1 |
//! | 16 | 16 | transfer id | random, the same on all links of a transfer | 1 |
//! | 32 | 2 | link number | from 0; a link that is remade has its number again | 1 |
//! | 34 | 2 | link count | 1 to 65535; with answers, the most that there will be | 1 |
//! | 36 | 4 | part size | a power of two, 64 KiB to 64 MiB | 1 |
//! | 40 | 8 | volume size | 2^64 − 1: unknown, a byte stream | 1 |
//! | 48 | 8 | used | bytes in the source's used map, for progress; 2^64 − 1: unknown | 1 |
//! | 56 | 1 | digest | 0 none, 1 SHA-256, 2 BLAKE3 | 1 |
//! | 57 | 3 | reserved | 0 | 1 |
//! | 60 | 4 | lineage length | 0 to 65536 | 1 |
//! | 64 | 4 | lineage CRC32C | of the lineage's bytes | 1 |
//! | 68 | 24 | reserved | 0 | 1 |
//! | 92 | 4 | CRC32C | of bytes 0 to 91 | 1 |
//!
//! The lineage says where the stream comes from: fields of tag (2 bytes), length (2 bytes), value. See [`lineage`].
//!
//! # Frame: a header of 80 bytes, then the segment table, then the payload
//!
//! | offset | size | field | meaning | since |
//! |---|---|---|---|---|
//! | 0 | 1 | kind | 1 part, 2 hole, 3 end, 4 held, 5 alive, 6 abort, 7 kept | 1 |
//! | 1 | 1 | codec | of the payload: 0 as it is, 1 a zstd frame | 1 |
//! | 2 | 2 | segments | entries in the segment table; part: 1 to its length ÷ 2048 + 2, at most 32768; else 0 | 1 |
//! | 4 | 4 | payload length | part: 1 to the raw length; hole, held, alive, kept: 0; end: 64; abort: 1 to 4096 | 1 |
//! | 8 | 8 | offset | on the volume; part: a multiple of the part size; end: the volume size | 1 |
//! | 16 | 8 | length | bytes of the volume that the frame covers; part: up to the part size; end: 0 | 1 |
//! | 24 | 4 | raw length | part: bytes of the decoded payload, the sum of its data segments; else 0 | 1 |
//! | 28 | 8 | used | of the length, what the source's used map calls data, for progress; end: 0 | 1 |
//! | 36 | 4 | table CRC32C | of the segment table; 0 where there is none | 1 |
//! | 40 | 4 | payload CRC32C | of the payload as it is on the wire; 0 where there is none | 1 |
//! | 44 | 32 | digest | part: of the segment table and the decoded payload; else 0 | 1 |
//! | 76 | 4 | CRC32C | of bytes 0 to 75 | 1 |
//!
//! **Segment table**: 4 bytes an entry, in order, tiling the part: bits 0 to 29 the length, bits 30 and 31 the kind
//! (0 data, 1 hole, 2 kept). The data segments' bytes, one after the other, are the decoded payload.
//!
//! **End**, the payload of the end frame: parts (8), data bytes (8), hole bytes (8), reserved (8), root digest (32).
//! The root digest is the chosen digest over `"lvpipe root 1\n"` and then, for each part in order of offset, its
//! offset (8), its length (8) and its digest (32), and at the end the volume's size (8). Parts and holes tile the volume: what one lacks is missed.
//!
//! On a single link without answers frames come in order of offset. A stream without its end frame is truncated.
//!
//! **Held** is a part that the target has from an earlier transfer: header and segment table as a part's, no payload.
//! The receiver reads the target there and compares the digest. **Alive** says only that the sender is there; all of
//! its fields are 0. **Abort** ends a transfer that the sender gives up; its payload is the reason, in UTF-8.
//!
//! # Deltas
//!
//! A delta's lineage has a base: the name of what the target must hold already. **Kept** is a range that is as in the
//! base, in a frame of its own or as a segment of a part. Frames tile the volume as in any stream, so that one that is
//! lost is missed; where nothing changed a single frame covers it. What was discarded since the base is a hole. The end
//! frame counts what is kept among the holes.
//!
//! # Links with answers
//!
//! A transfer over several links has the same prelude on each, but for the link number. A link takes any frame in any
//! order; the end frame goes on one of them, when all others have been answered. The receiver answers on the same
//! links: first a welcome, or failed; then what it has written, each frame on every link that brought it. What was
//! sent over a link and not answered when that broke is sent again on another: a frame that comes twice does no harm.
//!
//! # Answer: a header of 16 bytes, then the payload
//!
//! | offset | size | field | meaning | since |
//! |---|---|---|---|---|
//! | 0 | 1 | kind | 1 welcome, 2 have, 3 written, 4 again, 5 done, 6 failed, 7 alive | 1 |
//! | 1 | 3 | reserved | 0 | 1 |
//! | 4 | 4 | payload length | up to 65536 | 1 |
//! | 8 | 4 | payload CRC32C | | 1 |
//! | 12 | 4 | CRC32C | of bytes 0 to 11 | 1 |
//!
//! Payloads: **welcome**: incarnation (16), window (4), most links (2), reserved (2), extents in have answers (8),
//! reserved (8). **Have**: offset (8) and length (8), repeated. **Written**: offsets (8), repeated. **Again**: offset
//! (8). **Done**: as the end frame's payload (64), volume size (8). **Failed**: exit status (1), reason in UTF-8.
//! **Alive**: bytes received on the link (8), 1 if the receiver waits for more of them (1).

pub mod answer;
pub mod codec;
pub mod digest;
mod error;
pub mod foreign;
pub mod frame;
pub mod lineage;
pub mod prelude;
mod reason;
pub mod root;
pub mod segments;

#[cfg(test)]
mod golden;

pub use answer::{Answer, Welcome};
pub use codec::{Codec, Decoder, Encoder};
pub use digest::{Digest, DigestKind};
pub use error::WireError;
pub use frame::{End, FrameHeader, FrameKind};
pub use lineage::Lineage;
pub use prelude::{PartSize, Prelude};
pub use root::RootDigest;
pub use segments::{Segment, SegmentKind, Segments};

use std::io::{self, Read};

/// Fills `bytes`; a short stream says how much of it was there.
fn read_exact(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), WireError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..]) {
            Ok(0) => return Err(WireError::Truncated { missing: (bytes.len() - filled) as u64 }),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(WireError::Io(e)),
        }
    }
    Ok(())
}

/// The little-endian integer of the field at `offset`; the callers' buffers are arrays longer than their fields.
macro_rules! field {
    ($bytes:expr, $offset:expr, $type:ty) => {{
        let mut field = [0; size_of::<$type>()];
        field.copy_from_slice(&$bytes[$offset..$offset + size_of::<$type>()]);
        <$type>::from_le_bytes(field)
    }};
}

/// Writes the little-endian integer into the field at `offset`.
macro_rules! put {
    ($bytes:expr, $offset:expr, $value:expr) => {{
        let field = $value.to_le_bytes();
        $bytes[$offset..$offset + field.len()].copy_from_slice(&field);
    }};
}

use {field, put};
