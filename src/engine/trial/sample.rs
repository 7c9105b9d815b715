//! Parts of a volume, kept in memory.

use crate::engine::memory::Buffer;
use crate::usedmap::Extent;

/// Some of the parts that were read, each as likely to be among them as any other: a reservoir.
///
/// Its memory is one buffer for each part kept.
pub struct Sample {
    parts: Vec<SampledPart>,
    most: usize,
    seen: u64,
    random: u64,
}

/// A part as it was read.
pub(super) struct SampledPart {
    pub(super) place: Extent,
    /// The extents within the place whose bytes the buffer has, one after the other.
    pub(super) data: Vec<Extent>,
    /// What the map calls used.
    pub(super) used: u64,
    pub(super) buffer: Buffer,
}

impl SampledPart {
    /// The bytes that were read.
    pub(super) fn bytes(&self) -> &[u8] {
        let length: u64 = self.data.iter().map(|extent| extent.length).sum();
        &self.buffer[..length as usize]
    }
}

impl Sample {
    /// Nothing yet, and at most so many parts.
    pub(super) fn new(most: usize) -> Self {
        Sample { parts: Vec::new(), most, seen: 0, random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// How many parts it has.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes in it.
    pub fn bytes(&self) -> u64 {
        self.bytes_of(self.parts.len())
    }

    /// Bytes in its first parts.
    pub fn bytes_of(&self, parts: usize) -> u64 {
        self.parts.iter().take(parts).map(|part| part.bytes().len() as u64).sum()
    }

    /// How many of its first parts have so many bytes together; all of them where those are fewer.
    pub(super) fn reaching(&self, bytes: u64) -> usize {
        let mut sum = 0;
        let reaches = |part: &SampledPart| {
            sum += part.bytes().len() as u64;
            sum >= bytes
        };
        self.parts.iter().position(reaches).map_or(self.parts.len(), |last| last + 1)
    }

    pub(super) fn parts(&self) -> &[SampledPart] {
        &self.parts
    }

    /// Keeps the part, or does not.
    pub(super) fn offer(&mut self, part: SampledPart) {
        self.seen += 1;
        if self.parts.len() < self.most {
            self.parts.push(part);
        } else if let Ok(place) = usize::try_from(self.below(self.seen))
            && let Some(kept) = self.parts.get_mut(place)
        {
            *kept = part;
        }
    }

    /// Mixes the parts, so that the first few of them are a sample too.
    pub(super) fn shuffle(&mut self) {
        for last in (1..self.parts.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            self.parts.swap(last, other);
        }
    }

    /// A number below `end`, which is more than 0. Marsaglia's xorshift: the same in every run, so that two runs on one
    /// volume can be compared.
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Pool;
    use crate::stop::Stop;
    use crate::wire::PartSize;

    #[test]
    fn every_part_is_as_likely_to_be_kept() {
        let pool = Pool::new(11, PartSize::new(64 << 10).expect("a power of two"), None);
        let mut times = [0u32; 10];
        for round in 0..400 {
            let mut sample = Sample::new(10);
            sample.random ^= round * 0x1234_5678_9abc;
            for number in 0..100 {
                let place = Extent { offset: number, length: 1 };
                let buffer = pool.take(&Stop::new()).expect("ten are kept, one is offered");
                sample.offer(SampledPart { place, data: vec![place], used: 1, buffer });
            }
            sample.shuffle();
            assert_eq!((sample.len(), sample.bytes(), sample.bytes_of(3)), (10, 10, 3));
            assert_eq!([0, 1, 3, 10, 11].map(|bytes| sample.reaching(bytes)), [1, 1, 3, 10, 10]);
            sample.parts().iter().for_each(|part| times[part.place.offset as usize / 10] += 1);
        }
        // 4000 parts kept: 400 from each tenth, give or take.
        assert!(times.iter().all(|times| (320..480).contains(times)), "{times:?}");
    }
}
