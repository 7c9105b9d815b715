//! The compact form of the map; the table is on the [page above](super).

use std::io::{self, BufReader, BufWriter, Read, Write};

use super::{Extents, Head, MOST_EXTENTS, MapError, VolumeMap};

const MAGIC: [u8; 8] = *b"\x89LVM\r\n\x1a\n";
const VERSION: u16 = 1;
const FIXED: usize = 24;
const LONGEST_HEAD: usize = 65_536;

impl VolumeMap {
    /// Writes the compact form.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_compact(&self, to: &mut impl Write) -> io::Result<()> {
        let mut to = Summed { inner: BufWriter::with_capacity(1 << 16, to), crc: 0 };
        let head = serde_json::to_vec(&Head::of(self))?;
        let mut fixed = MAGIC.to_vec();
        fixed.extend_from_slice(&VERSION.to_le_bytes());
        fixed.extend_from_slice(&[0; 2]);
        // Names and lineage are of bounded length.
        fixed.extend_from_slice(&(head.len() as u32).to_le_bytes());
        fixed.extend_from_slice(&(self.map.extents().len() as u64).to_le_bytes());
        to.write(&fixed)?;
        to.write(&head)?;
        let mut end = 0;
        for extent in self.map.extents() {
            to.put_integer(extent.offset - end)?;
            to.put_integer(extent.length)?;
            end = extent.end();
        }
        let crc = to.crc.to_le_bytes();
        to.write(&crc)?;
        to.inner.flush()
    }

    /// Reads the compact form, to the end of `from`.
    ///
    /// # Errors
    /// [`MapError`]: what is cut short, damaged, longer than it says, or a map that cannot be.
    pub fn read_compact(from: impl Read) -> Result<Self, MapError> {
        let mut from = Summed { inner: BufReader::with_capacity(1 << 16, from), crc: 0 };
        let mut fixed = [0; FIXED];
        from.fill(&mut fixed)?;
        if fixed[..8] != MAGIC {
            return Err(MapError::Foreign);
        }
        let version = u16::from_le_bytes([fixed[8], fixed[9]]);
        if version != VERSION {
            return Err(MapError::Newer(version));
        }
        let head_length = u32::from_le_bytes(std::array::from_fn(|n| fixed[12 + n])) as usize;
        if head_length > LONGEST_HEAD {
            return Err(MapError::Field { what: "length of the head", value: head_length as u64 });
        }
        let count = u64::from_le_bytes(std::array::from_fn(|n| fixed[16 + n]));
        if count > MOST_EXTENTS {
            return Err(MapError::Field { what: "number of extents", value: count });
        }
        let mut head = vec![0; head_length];
        from.fill(&mut head)?;
        let extents = from.extents(count)?;
        let expected = from.crc;
        let mut crc = [0; 4];
        from.fill(&mut crc)?;
        if u32::from_le_bytes(crc) != expected {
            return Err(MapError::Checksum);
        }
        if from.inner.read(&mut [0])? != 0 {
            return Err(MapError::Field { what: "number of extents, with more after the last one,", value: count });
        }
        // Damage is called so, rather than JSON that makes no sense.
        serde_json::from_slice::<Head>(&head)?.with(extents)
    }
}

/// A reader or writer with the checksum of what went through.
struct Summed<T> {
    inner: T,
    crc: u32,
}

impl<W: Write> Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.inner.write_all(bytes)
    }

    fn put_integer(&mut self, mut value: u64) -> io::Result<()> {
        let mut bytes = [0; 10];
        let mut length = 0;
        loop {
            bytes[length] = (value & 0x7f) as u8 | if value > 0x7f { 0x80 } else { 0 };
            length += 1;
            value >>= 7;
            if value == 0 {
                return self.write(&bytes[..length]);
            }
        }
    }
}

impl<R: Read> Summed<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        Ok(())
    }

    fn extents(&mut self, count: u64) -> Result<Extents, MapError> {
        let mut extents = Extents::new();
        for _ in 0..count {
            let (gap, length) = (self.integer()?, self.integer()?);
            let offset = extents.end.checked_add(gap);
            extents.push(offset.ok_or(MapError::Field { what: "gap before an extent", value: gap })?, length)?;
        }
        Ok(extents)
    }

    fn integer(&mut self) -> Result<u64, MapError> {
        let (mut bytes, mut value) = ([0; 10], 0u64);
        for at in 0..bytes.len() {
            self.inner.read_exact(&mut bytes[at..=at])?;
            let bits = u64::from(bytes[at] & 0x7f);
            // The tenth byte has room for one bit.
            if at == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * at);
            if bytes[at] & 0x80 == 0 {
                self.crc = crc32c::crc32c_append(self.crc, &bytes[..=at]);
                return Ok(value);
            }
        }
        Err(MapError::Field { what: "last byte of an integer", value: bytes[9].into() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::volume_map;
    use super::*;
    use proptest::prelude::*;

    fn compact() -> Vec<u8> {
        let mut bytes = Vec::new();
        volume_map(1 << 40, &[(0, 65536), (1 << 20, 300), (1 << 39, 1 << 39)])
            .write_compact(&mut bytes)
            .expect("memory");
        bytes
    }

    #[test]
    fn extents_are_these_bytes() {
        let bytes = compact();
        let expected = [
            &[0x00, 0x80, 0x80, 0x04][..],                                             // 0, 65536
            &[0x80, 0x80, 0x3c, 0xac, 0x02],                                           // 1 MiB - 64 KiB, 300
            &[0xd4, 0xfd, 0xbf, 0xff, 0xff, 0x0f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10], // the rest
        ]
        .concat();
        assert_eq!(bytes[bytes.len() - 4 - expected.len()..bytes.len() - 4], expected);
    }

    #[test]
    fn a_map_that_is_cut_or_damaged_anywhere_is_none() {
        let bytes = compact();
        for length in 0..bytes.len() {
            assert!(VolumeMap::read_compact(&bytes[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(VolumeMap::read_compact(&damaged[..]).is_err(), "bit {bit}");
        }
        assert!(VolumeMap::read_compact(&[&bytes[..], b"x"].concat()[..]).is_err(), "a byte more");
    }

    #[test]
    fn a_never_ending_map_is_left_alone() {
        let mut head = compact()[..FIXED].to_vec();
        head[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        let error = VolumeMap::read_compact(head.chain(io::repeat(1))).expect_err("too many");
        assert!(error.to_string().starts_with("number of extents cannot be"), "{error}");
        let error = Summed { inner: io::repeat(0x80), crc: 0 }.integer().expect_err("it never ends");
        assert_eq!(error.to_string(), "last byte of an integer cannot be 128");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, count in 0u64..5) {
            let _ = VolumeMap::read_compact(&bytes[..]);
            let head = [&MAGIC[..], &[1, 0, 0, 0, 0, 0, 0, 0], &count.to_le_bytes(), &bytes].concat();
            let _ = VolumeMap::read_compact(&head[..]);
        }
    }
}
