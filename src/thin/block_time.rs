//! The value of a mapping: which data chunk, and when it was last given to a device of its own.
//!
//! A little-endian u64: the data chunk in the upper 40 bits, the pool's time in the lower 24
//! (`pack_block_time` in the kernel's `dm-thin-metadata.c`).

/// Where a virtual chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTime {
    /// The chunk on the pool's data device, in chunks.
    pub data_chunk: u64,
    /// The pool's time when it was mapped; the time counts snapshots taken in the pool.
    pub time: u32,
}

impl BlockTime {
    /// From the value in a leaf.
    pub fn unpack(value: u64) -> Self {
        BlockTime { data_chunk: value >> 24, time: (value & 0xff_ffff) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_lower_24_bits() {
        let unpacked = BlockTime::unpack(0x0000_1234_5600_0007);
        assert_eq!(unpacked, BlockTime { data_chunk: 0x12_3456, time: 7 });
        assert_eq!(BlockTime::unpack(u64::MAX), BlockTime { data_chunk: (1 << 40) - 1, time: (1 << 24) - 1 });
    }
}
