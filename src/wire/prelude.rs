//! The first bytes of every link. The table is in the [room's documentation](super).

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use super::error::check_crc;
use super::lineage::{self, Lineage};
use super::{DigestKind, WireError, field, foreign, put, read_exact};
use crate::byte_size::ByteSize;

/// Bytes of a prelude without its lineage.
pub const LENGTH: usize = 96;
/// The version written and read here.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"\x89LVP\r\n\x1a\n";
const UNKNOWN: u64 = u64::MAX;

/// What a transfer is, said before its first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prelude {
    /// Random, the same on all links of a transfer.
    pub transfer: [u8; 16],
    /// This link, from 0.
    pub link: u16,
    /// How many links the transfer has.
    pub links: u16,
    /// The grid.
    pub part_size: PartSize,
    /// Bytes of the volume; `None` for a byte stream of unknown length.
    pub volume_size: Option<u64>,
    /// Bytes in the source's used map, if it has one.
    pub used: Option<u64>,
    /// Which digest parts and root have.
    pub digest: DigestKind,
    /// Whether the sender listens for [answers](super::answer) on this link: a transfer over links that go both
    /// ways. Without, a pipe.
    pub answers: bool,
    /// Whether the stream goes on from what an earlier transfer has brought: it has held frames, that say what the
    /// target holds already and are compared with it.
    pub resumes: bool,
    /// Where the stream comes from.
    pub lineage: Lineage,
}

/// Feature bits. A receiver must know all that are set.
const ANSWERS: u32 = 1;
const RESUMES: u32 = 2;
const DELTA: u32 = 4;

/// Bytes of a grid cell: a power of two, 64 KiB to 64 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSize(u32);

impl PartSize {
    /// The smallest: dm-thin's smallest chunk.
    pub const MIN: u64 = 64 << 10;
    /// The largest: what a receiver must be able to hold in memory a few times.
    pub const MAX: u64 = 64 << 20;

    /// Checks the range and that it is a power of two.
    pub fn new(bytes: u64) -> Option<Self> {
        let fits = (Self::MIN..=Self::MAX).contains(&bytes) && bytes.is_power_of_two();
        fits.then_some(PartSize(bytes as u32))
    }

    /// In bytes.
    pub fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl Default for PartSize {
    fn default() -> Self {
        PartSize(1 << 20)
    }
}

impl FromStr for PartSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ByteSize(bytes) = text.parse()?;
        PartSize::new(bytes).ok_or_else(|| "a part is a power of two from 64k to 64M, as in 1M".into())
    }
}

impl fmt::Display for PartSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1 << 20 { write!(f, "{}M", self.0 >> 20) } else { write!(f, "{}k", self.0 >> 10) }
    }
}

impl Prelude {
    /// Whether the stream says only what changed since the base that its lineage names: it is for a target that holds
    /// that base, and has frames and segments of what is kept.
    pub fn is_delta(&self) -> bool {
        self.lineage.base.is_some()
    }

    /// As bytes, the lineage included.
    pub fn encode(&self) -> Vec<u8> {
        let lineage = self.lineage.encode();
        let mut bytes = vec![0; LENGTH];
        bytes[..8].copy_from_slice(&MAGIC);
        put!(bytes, 8, VERSION);
        put!(bytes, 10, LENGTH as u16);
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        let features = bit(self.answers, ANSWERS) | bit(self.resumes, RESUMES) | bit(self.is_delta(), DELTA);
        put!(bytes, 12, features);
        bytes[16..32].copy_from_slice(&self.transfer);
        put!(bytes, 32, self.link);
        put!(bytes, 34, self.links);
        put!(bytes, 36, self.part_size.0);
        put!(bytes, 40, self.volume_size.unwrap_or(UNKNOWN));
        put!(bytes, 48, self.used.unwrap_or(UNKNOWN));
        bytes[56] = self.digest.to_wire();
        put!(bytes, 60, lineage.len() as u32);
        put!(bytes, 64, crc32c::crc32c(&lineage));
        let crc = crc32c::crc32c(&bytes[..92]);
        put!(bytes, 92, crc);
        bytes.extend_from_slice(&lineage);
        bytes
    }

    /// Reads a prelude and nothing after it.
    ///
    /// # Errors
    /// [`WireError::Foreign`] for anything else than an lvpipe stream (of which some more is then read, to name
    /// it), [`WireError::Version`] and [`WireError::Features`] for one from another time, else what is damaged.
    pub fn read(from: &mut impl Read) -> Result<Self, WireError> {
        let mut bytes = [0; LENGTH];
        read_magic(from, &mut bytes)?;
        // Another version may have another length, so these come before the checksum.
        read_exact(from, &mut bytes[8..16])?;
        let theirs = field!(bytes, 8, u16);
        if theirs != VERSION {
            return Err(WireError::Version { theirs, ours: VERSION });
        }
        read_exact(from, &mut bytes[16..])?;
        check_crc("prelude", field!(bytes, 92, u32), crc32c::crc32c(&bytes[..92]))?;
        let features = field!(bytes, 12, u32);
        match features & !(ANSWERS | RESUMES | DELTA) {
            0 => {}
            unknown => return Err(WireError::Features(unknown)),
        }
        let mut prelude = decode_fields(&bytes)?;
        prelude.lineage = read_lineage(from, &bytes)?;
        // A delta without its base could be applied to anything.
        if prelude.is_delta() != (features & DELTA != 0) {
            return Err(WireError::Field {
                what: "feature bits of a stream with this lineage",
                value: features.into(),
            });
        }
        Ok(prelude)
    }
}

fn read_magic(from: &mut impl Read, bytes: &mut [u8; LENGTH]) -> Result<(), WireError> {
    let mut beginning = vec![0; MAGIC.len()];
    let truncated = match read_exact(from, &mut beginning) {
        Err(WireError::Truncated { missing }) => Some(missing),
        other => {
            other?;
            None
        }
    };
    if let Some(missing) = truncated {
        beginning.truncate(MAGIC.len() - missing as usize);
        if beginning.is_empty() {
            return Err(WireError::Empty);
        }
        if MAGIC.starts_with(&beginning) {
            return Err(WireError::Truncated { missing });
        }
    } else if beginning == MAGIC {
        bytes[..MAGIC.len()].copy_from_slice(&beginning);
        return Ok(());
    }
    from.take(foreign::SAMPLE as u64).read_to_end(&mut beginning)?;
    Err(WireError::Foreign { looks_like: foreign::looks_like(&beginning) })
}

fn decode_fields(bytes: &[u8; LENGTH]) -> Result<Prelude, WireError> {
    let bad = |what, value| WireError::Field { what, value };
    let known = |value| (value != UNKNOWN).then_some(value);
    let length = field!(bytes, 10, u16);
    if usize::from(length) != LENGTH {
        return Err(bad("length of the prelude", length.into()));
    }
    let (link, links) = (field!(bytes, 32, u16), field!(bytes, 34, u16));
    if link >= links {
        return Err(bad("link number", link.into()));
    }
    let part_size = u64::from(field!(bytes, 36, u32));
    let volume_size = known(field!(bytes, 40, u64));
    if volume_size.is_some_and(|size| size > i64::MAX as u64) {
        return Err(bad("volume size", volume_size.unwrap_or(UNKNOWN)));
    }
    let mut transfer = [0; 16];
    transfer.copy_from_slice(&bytes[16..32]);
    Ok(Prelude {
        transfer,
        link,
        links,
        part_size: PartSize::new(part_size).ok_or(bad("part size", part_size))?,
        volume_size,
        used: known(field!(bytes, 48, u64)),
        digest: DigestKind::from_wire(bytes[56]).ok_or(bad("digest", bytes[56].into()))?,
        answers: field!(bytes, 12, u32) & ANSWERS != 0,
        resumes: field!(bytes, 12, u32) & RESUMES != 0,
        lineage: Lineage::default(),
    })
}

fn read_lineage(from: &mut impl Read, bytes: &[u8; LENGTH]) -> Result<Lineage, WireError> {
    let length = field!(bytes, 60, u32) as usize;
    if length > lineage::MAX_LENGTH {
        return Err(WireError::Field { what: "length of the lineage", value: length as u64 });
    }
    let mut text = vec![0; length];
    read_exact(from, &mut text)?;
    check_crc("lineage", field!(bytes, 64, u32), crc32c::crc32c(&text))?;
    Lineage::decode(&text)
}
