//! Digests of content: BLAKE3 by default, SHA-256, or none.
//!
//! BLAKE3 is the default since both sides digest all that is moved: where processors are what a transfer waits for, that
//! was a third of it with SHA-256 and its instructions, and is a twentieth with BLAKE3 and AVX2 or AVX-512. Both are
//! cryptographic; a stream says which one it bears, so that either side reads both.

use std::fmt;

use sha2::Digest as _;

/// Which digest a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DigestKind {
    /// BLAKE3: several times faster on most processors
    #[default]
    Blake3,
    /// SHA-256 (FIPS 180-4): known everywhere, and where a rule asks for it
    Sha256,
    /// None: only the CRC32C of each part, against accidents of transport
    None,
}

impl DigestKind {
    pub(crate) fn to_wire(self) -> u8 {
        match self {
            DigestKind::None => 0,
            DigestKind::Sha256 => 1,
            DigestKind::Blake3 => 2,
        }
    }

    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        [DigestKind::None, DigestKind::Sha256, DigestKind::Blake3].into_iter().find(|k| k.to_wire() == byte)
    }

    /// The digest of the pieces, one after the other; zeros for [`DigestKind::None`].
    pub fn of(self, pieces: &[&[u8]]) -> Digest {
        let mut hasher = self.hasher();
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }

    /// A digest to be fed piece by piece.
    pub fn hasher(self) -> Hasher {
        match self {
            DigestKind::None => Hasher::None,
            DigestKind::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            DigestKind::Blake3 => Hasher::Blake3(Box::default()),
        }
    }
}

impl fmt::Display for DigestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DigestKind::None => "none",
            DigestKind::Sha256 => "sha256",
            DigestKind::Blake3 => "blake3",
        })
    }
}

/// 256 bits; all zeros where the stream has no digest.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A digest in the making.
#[derive(Clone)]
pub enum Hasher {
    /// Digests nothing.
    None,
    /// SHA-256.
    Sha256(sha2::Sha256),
    /// BLAKE3; boxed, its state being some 2 KiB.
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::None => {}
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Digest {
        match self {
            Hasher::None => Digest::default(),
            Hasher::Sha256(hasher) => Digest(hasher.finalize().into()),
            Hasher::Blake3(hasher) => Digest(*hasher.finalize().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_published_ones() {
        let of = |kind: DigestKind| kind.of(&[b"a", b"bc"]).to_string();
        assert_eq!(of(DigestKind::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(of(DigestKind::Blake3), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert_eq!(DigestKind::None.of(&[b"abc"]), Digest::default());
    }
}
