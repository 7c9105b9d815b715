//! Page-aligned buffers of one size that are used again: read into by a worker, written to a socket by hyper, and
//! back in the pool when the last reference to their bytes is gone.
//!
//! The pool does not bound how many there are: each response does that by how far it reads ahead
//! ([`flow`](super::flow)), so that no client can take what another one needs. It bounds how many are kept unused.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

use crate::byte_size::ByteSize;
use crate::error::{Error, Result};

/// A pool.
pub struct Buffers {
    size: usize,
    /// How many unused ones are kept.
    keep: usize,
    free: Mutex<Vec<MmapMut>>,
}

impl Buffers {
    /// Buffers of `size` bytes, of which up to `keep` wait to be used again.
    pub fn new(size: usize, keep: usize) -> Arc<Self> {
        Arc::new(Buffers { size, keep, free: Mutex::default() })
    }

    /// A buffer with whatever it was last used for in it.
    ///
    /// # Errors
    /// When the system has no memory.
    pub fn take(self: &Arc<Self>) -> Result<Buffer> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = free.map_or_else(|| MmapMut::map_anon(self.size), Ok);
        let memory = memory.map_err(|e| Error::io("cannot get memory", ByteSize(self.size as u64), &e))?;
        Ok(Buffer { memory: Some(memory), home: self.clone() })
    }
}

/// A buffer; goes back to its pool when dropped.
pub struct Buffer {
    // `None` only while being dropped.
    memory: Option<MmapMut>,
    home: Arc<Buffers>,
}

impl Buffer {
    /// A range of it, which must lie within, as bytes that may be shared; the buffer goes back when they are gone.
    pub fn share(self, range: Range<usize>) -> Bytes {
        Bytes::from_owner(self).slice(range)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.home.keep {
            free.extend(self.memory.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_bytes_are_gone_and_few_are_kept() {
        let pool = Buffers::new(8192, 1);
        let unused = || pool.free.lock().expect("no panic").len();
        let mut one = pool.take().expect("memory");
        assert_eq!(one.as_ptr() as usize % 4096, 0, "aligned");
        one[7] = 1;
        let bytes = one.share(7..9);
        let other = bytes.clone();
        drop(bytes);
        assert_eq!((unused(), &other[..]), (0, &[1, 0][..]));
        drop(other);
        assert_eq!(unused(), 1);
        let two = [pool.take().expect("memory"), pool.take().expect("memory")];
        assert_eq!(unused(), 0);
        drop(two);
        assert_eq!(unused(), 1);
    }
}
