//! A target that swallows everything: for verifying a stream, and for measuring without a disk. /dev/null would
//! take the data densely and in order, holes written out.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Target;
use crate::error::Result;

/// Takes everything, keeps nothing but a count.
#[derive(Debug, Default)]
pub struct NullTarget {
    holes: AtomicU64,
}

impl NullTarget {
    /// How many bytes were made holes.
    pub fn holes(&self) -> u64 {
        self.holes.load(Ordering::Relaxed)
    }
}

impl Target for NullTarget {
    fn begin(&self, _size: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn begin_delta(&self, _size: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<()> {
        Ok(())
    }

    fn hole(&self, _offset: u64, length: u64) -> Result<()> {
        self.holes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&self, _size: u64) -> Result<()> {
        Ok(())
    }
}
