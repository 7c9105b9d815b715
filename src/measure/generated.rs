//! Data that compresses as a disk's does, where there is no volume to take some from.

use crate::error::Result;
use crate::volume::Source;

/// How much is made; from there on it repeats itself. Longer than any window of the compressor at auto's levels, and
/// parts are compressed by themselves anyway.
const LENGTH: usize = 4 << 20;

/// Blocks of a disk; each is of one kind.
const BLOCK: usize = 64 << 10;

/// A volume of any size that is full of blocks of text and blocks of noise, which compress to about a half of it, the
/// same in every run.
pub struct Generated {
    bytes: Vec<u8>,
    size: u64,
}

impl Generated {
    /// A volume of so many bytes.
    pub fn new(size: u64) -> Self {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let words: Vec<Vec<u8>> = (0..512)
            .map(|_| (0..4 + random.next() % 24).map(|_| b'a' + (random.next() % 26) as u8).collect())
            .collect();
        let mut bytes = Vec::with_capacity(LENGTH + 64);
        while bytes.len() < LENGTH {
            // Three of ten blocks are what is compressed already: pictures, packages, keys.
            let is_noise = bytes.len() / BLOCK % 10 < 3;
            match is_noise {
                true => bytes.extend_from_slice(&random.next().to_le_bytes()),
                // Few words are frequent, as in any language.
                false => {
                    let rank = (random.next() % 512) * (random.next() % 512) / 512;
                    bytes.extend_from_slice(&words[rank as usize]);
                    bytes.push(b' ');
                }
            }
        }
        bytes.truncate(LENGTH);
        Generated { bytes, size }
    }
}

impl Source for Generated {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut begin = (offset % LENGTH as u64) as usize;
        let mut into = into;
        while !into.is_empty() {
            let length = into.len().min(LENGTH - begin);
            let (piece, rest) = into.split_at_mut(length);
            piece.copy_from_slice(&self.bytes[begin..begin + length]);
            (into, begin) = (rest, 0);
        }
        Ok(())
    }
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Encoder;

    #[test]
    fn it_compresses_as_a_disk_does_and_repeats_itself() {
        let source = Generated::new(1 << 40);
        let mut part = vec![0; 1 << 20];
        source.read_at(LENGTH as u64 - 4096, &mut part).expect("memory");
        let mut again = vec![0; 1 << 20];
        source.read_at(9 * LENGTH as u64 - 4096, &mut again).expect("memory");
        assert!(part == again && part[..4096] != part[4096..8192]);
        let mut out = vec![0; 1 << 20];
        let length = Encoder::new().expect("memory").encode(-1, &part, &mut out, 1 << 20).expect("it compresses");
        assert!((400 << 10..700 << 10).contains(&length), "{length}");
    }
}
