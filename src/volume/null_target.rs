//! A target that swallows everything: for verifying a stream, and for measuring without a disk. /dev/null would
//! take the data densely and in order, holes written out.

use super::Target;
use crate::error::Result;

/// Takes everything, keeps nothing.
pub struct NullTarget;

impl Target for NullTarget {
    fn begin(&self, _size: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<()> {
        Ok(())
    }

    fn hole(&self, _offset: u64, _length: u64) -> Result<()> {
        Ok(())
    }

    fn finish(&self, _size: u64) -> Result<()> {
        Ok(())
    }
}
