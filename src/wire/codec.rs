//! Compression of parts: as they are, or each one a zstd frame of its own.
//!
//! [`Encoder`] and [`Decoder`] hold zstd's working memory, so that a thread makes one and keeps it.

use std::cell::RefCell;
use std::io;

use super::WireError;

/// How a payload is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    None,
    /// One zstd frame (RFC 8878) with its content size.
    Zstd,
}

impl Codec {
    pub(super) fn to_wire(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Zstd => 1,
        }
    }

    pub(super) fn from_wire(byte: u8) -> Option<Self> {
        [Codec::None, Codec::Zstd].into_iter().find(|codec| codec.to_wire() == byte)
    }
}

/// The levels that lvpipe uses: zstd's fast ones from −7, and up to 19 where the user asks for it.
pub const LEVELS: std::ops::RangeInclusive<i32> = -7..=19;

/// Compresses parts.
pub struct Encoder {
    zstd: zstd::bulk::Compressor<'static>,
    level: i32,
}

impl Encoder {
    /// # Errors
    /// When memory for zstd's state cannot be had.
    pub fn new() -> io::Result<Self> {
        Ok(Encoder { zstd: zstd::bulk::Compressor::new(1)?, level: 1 })
    }

    /// Compresses `raw` into `out`; the length, or `None` where it would not be shorter than `limit` bytes.
    pub fn encode(&mut self, level: i32, raw: &[u8], out: &mut [u8], limit: usize) -> Option<usize> {
        if self.level != level {
            self.zstd.set_compression_level(level).ok()?;
            self.level = level;
        }
        // An output buffer that is too small is zstd's error for "does not compress that far".
        let room = limit.min(out.len());
        self.zstd.compress_to_buffer(raw, &mut out[..room]).ok().filter(|length| *length < limit)
    }
}

/// Decompresses parts.
pub struct Decoder {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Decoder {
    /// # Errors
    /// When memory for zstd's state cannot be had.
    pub fn new() -> io::Result<Self> {
        Ok(Decoder { zstd: zstd::bulk::Decompressor::new()? })
    }

    /// Decompresses into exactly `raw`.
    ///
    /// # Errors
    /// [`WireError::Codec`] when the payload is no zstd frame, or one of another length.
    pub fn decode(&mut self, payload: &[u8], raw: &mut [u8]) -> Result<(), WireError> {
        let length =
            self.zstd.decompress_to_buffer(payload, raw).map_err(|error| WireError::Codec(error.to_string()))?;
        if length == raw.len() {
            Ok(())
        } else {
            Err(WireError::Codec(format!("{length} bytes instead of {}", raw.len())))
        }
    }
}

thread_local! {
    static ENCODER: RefCell<Option<Encoder>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
}

/// Runs `work` with this thread's encoder, made at its first use.
///
/// # Errors
/// As [`Encoder::new`].
pub fn with_encoder<T>(work: impl FnOnce(&mut Encoder) -> T) -> io::Result<T> {
    ENCODER.with_borrow_mut(|slot| match slot {
        Some(encoder) => Ok(work(encoder)),
        None => Ok(work(slot.insert(Encoder::new()?))),
    })
}

/// Runs `work` with this thread's decoder, made at its first use.
///
/// # Errors
/// As [`Decoder::new`].
pub fn with_decoder<T>(work: impl FnOnce(&mut Decoder) -> T) -> io::Result<T> {
    DECODER.with_borrow_mut(|slot| match slot {
        Some(decoder) => Ok(work(decoder)),
        None => Ok(work(slot.insert(Decoder::new()?))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compresses_comes_back() {
        let raw: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let (mut encoder, mut decoder) = (Encoder::new().expect("memory"), Decoder::new().expect("memory"));
        for level in LEVELS {
            let mut out = vec![0; raw.len()];
            let length = encoder.encode(level, &raw, &mut out, raw.len()).expect("it compresses");
            let mut back = vec![0; raw.len()];
            decoder.decode(&out[..length], &mut back).expect("own encoding");
            assert!(back == raw, "level {level}");
            assert!(decoder.decode(&out[..length], &mut back[1..]).is_err(), "too small a buffer");
            assert!(decoder.decode(&out[..length - 1], &mut back).is_err(), "a byte short");
        }
    }

    #[test]
    fn what_does_not_compress_is_declined() {
        let mut noise = vec![0; 100_000];
        getrandom::fill(&mut noise).expect("random bytes");
        let mut out = vec![0; noise.len()];
        let mut encoder = Encoder::new().expect("memory");
        assert_eq!(encoder.encode(1, &noise, &mut out, noise.len()), None);
    }
}
