//! The hashes of `--hash`: the algorithms by the names that libgcrypt prints, and the thread that feeds one.
//!
//! SHAKE128 and SHAKE256 are left out: they have no length of their own, and mbuffer aborts on them.

use crc::{CRC_24_OPENPGP, CRC_32_ISO_HDLC, Crc, Table};
use digest::consts::{U16, U20, U28, U32, U48};
use digest::{Digest, DynDigest};

use super::ring::Drain;

/// Makes one fresh hasher.
type Maker = fn() -> Box<dyn Hasher>;

/// Every algorithm, in libgcrypt's order.
const ALGORITHMS: &[(&str, Maker)] = &[
    ("MD5", of::<md5::Md5>),
    ("SHA1", of::<sha1::Sha1>),
    ("RIPEMD160", of::<ripemd::Ripemd160>),
    ("TIGER192", || Box::new(Tiger192(tiger::Tiger::new()))),
    ("SHA256", of::<sha2::Sha256>),
    ("SHA384", of::<sha2::Sha384>),
    ("SHA512", of::<sha2::Sha512>),
    ("SHA224", of::<sha2::Sha224>),
    ("MD4", of::<md4::Md4>),
    ("CRC32", || Box::new(Checksum::new(&CRC32, 4))),
    ("CRC32RFC1510", || Box::new(Checksum::new(&CRC32_RFC1510, 4))),
    ("CRC24RFC2440", || Box::new(Checksum::new(&CRC24, 3))),
    ("WHIRLPOOL", of::<whirlpool::Whirlpool>),
    ("TIGER", of::<tiger::Tiger>),
    ("TIGER2", of::<tiger::Tiger2>),
    ("GOSTR3411_94", of::<gost94::Gost94Test>),
    ("STRIBOG256", of::<streebog::Streebog256>),
    ("STRIBOG512", of::<streebog::Streebog512>),
    ("GOSTR3411_CP", of::<gost94::Gost94CryptoPro>),
    ("SHA3-224", of::<sha3::Sha3_224>),
    ("SHA3-256", of::<sha3::Sha3_256>),
    ("SHA3-384", of::<sha3::Sha3_384>),
    ("SHA3-512", of::<sha3::Sha3_512>),
    ("BLAKE2B_512", of::<blake2::Blake2b512>),
    ("BLAKE2B_384", of::<blake2::Blake2b<U48>>),
    ("BLAKE2B_256", of::<blake2::Blake2b<U32>>),
    ("BLAKE2B_160", of::<blake2::Blake2b<U20>>),
    ("BLAKE2S_256", of::<blake2::Blake2s256>),
    ("BLAKE2S_224", of::<blake2::Blake2s<U28>>),
    ("BLAKE2S_160", of::<blake2::Blake2s<U20>>),
    ("BLAKE2S_128", of::<blake2::Blake2s<U16>>),
    ("SM3", of::<sm3::Sm3>),
    ("SHA512_256", of::<sha2::Sha512_256>),
    ("SHA512_224", of::<sha2::Sha512_224>),
];

/// CRC-32 as Kerberos (RFC 1510) uses it: the usual polynomial, nothing complemented.
const KERBEROS: crc::Algorithm<u32> = crc::Algorithm { init: 0, xorout: 0, ..CRC_32_ISO_HDLC };
static CRC32: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
static CRC32_RFC1510: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&KERBEROS);
static CRC24: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_24_OPENPGP);

/// One of the algorithms.
#[derive(Clone, Copy)]
pub struct Algorithm {
    name: &'static str,
    maker: Maker,
}

impl Algorithm {
    /// The algorithm of this name, in any case, with or without `gcrypt:` before it.
    pub fn by_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("gcrypt:").unwrap_or(name);
        ALGORITHMS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(name, maker)| Algorithm { name, maker: *maker })
    }

    /// MD5: `-H`, `--md5`.
    pub fn md5() -> Self {
        Algorithm { name: "MD5", maker: of::<md5::Md5> }
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALGORITHMS.iter().map(|(name, _)| *name)
    }

    /// The name as it is printed before the hash.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Reads a drain to its end and returns the hash in lower hexadecimal digits.
    pub fn run(&self, mut drain: Drain) -> String {
        let mut hasher = (self.maker)();
        let mut taken = 0;
        while let Some(data) = drain.next(taken) {
            hasher.add(data);
            taken = data.len();
        }
        hasher.end().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What both digests and checksums do.
trait Hasher {
    fn add(&mut self, data: &[u8]);
    fn end(self: Box<Self>) -> Vec<u8>;
}

fn of<D: Digest + DynDigest + 'static>() -> Box<dyn Hasher> {
    Box::new(Of(D::new()))
}

struct Of<D>(D);

impl<D: Digest> Hasher for Of<D> {
    fn add(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn end(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

/// Tiger as old GnuPG printed it: each 64-bit word with its bytes turned round.
struct Tiger192(tiger::Tiger);

impl Hasher for Tiger192 {
    fn add(&mut self, data: &[u8]) {
        Digest::update(&mut self.0, data);
    }

    fn end(self: Box<Self>) -> Vec<u8> {
        let mut hash = self.0.finalize().to_vec();
        hash.chunks_mut(8).for_each(<[u8]>::reverse);
        hash
    }
}

struct Checksum {
    digest: crc::Digest<'static, u32, Table<16>>,
    bytes: usize,
}

impl Checksum {
    fn new(crc: &'static Crc<u32, Table<16>>, bytes: usize) -> Self {
        Checksum { digest: crc.digest(), bytes }
    }
}

impl Hasher for Checksum {
    fn add(&mut self, data: &[u8]) {
        self.digest.update(data);
    }

    fn end(self: Box<Self>) -> Vec<u8> {
        let bytes = self.bytes;
        self.digest.finalize().to_be_bytes()[4 - bytes..].to_vec()
    }
}
