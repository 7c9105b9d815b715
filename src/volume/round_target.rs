//! A target that gets a volume in rounds: no round's end is the end.

use std::sync::Arc;

use super::Target;
use crate::error::Result;
use crate::usedmap::Extent;

/// The target as a round sees it: at the round's end all is on stable storage, and the target goes on.
pub struct RoundTarget(pub Arc<dyn Target>);

impl Target for RoundTarget {
    fn in_order(&self) -> bool {
        self.0.in_order()
    }

    fn begin(&self, size: Option<u64>) -> Result<()> {
        self.0.begin(size)
    }

    fn begin_delta(&self, size: Option<u64>) -> Result<()> {
        self.0.begin_delta(size)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write(offset, data)
    }

    fn written(&self, range: Extent, bytes: u64) -> Result<()> {
        self.0.written(range, bytes)
    }

    fn hole(&self, offset: u64, length: u64) -> Result<()> {
        self.0.hole(offset, length)
    }

    fn finish(&self, size: u64) -> Result<()> {
        self.0.settle(size)
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    fn read_back(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.0.read_back(offset, into)
    }
}
