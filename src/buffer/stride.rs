//! How much to give to one write: much where the output is fast, little where it is slow.
//!
//! A write to a pipe or connection returns when all of it is taken. On a slow one that is long, and neither the
//! watchdog nor the status line see anything move meanwhile.

use std::time::Duration;

const LEAST: usize = 4 << 10;
const FIRST: usize = 64 << 10;
const MOST: usize = 1 << 20;

/// A write that takes longer is too large, one that takes less than a tenth of it may be larger.
const LONG: Duration = Duration::from_millis(100);

/// The size of the next write.
#[derive(Debug)]
pub struct Stride {
    bytes: usize,
    most: usize,
}

impl Stride {
    /// `watched`: somebody ends the run if nothing moves for a while, so it never grows much.
    pub fn new(watched: bool) -> Self {
        Stride { bytes: FIRST, most: if watched { FIRST } else { MOST } }
    }

    /// Bytes for the next write, of `len` that are there.
    pub fn of(&self, len: usize) -> usize {
        len.min(self.bytes)
    }

    /// The last write took so long.
    pub fn took(&mut self, time: Duration) {
        if time > LONG {
            self.bytes = (self.bytes / 2).max(LEAST);
        } else if time < LONG / 10 {
            self.bytes = (self.bytes * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_output_between_its_limits() {
        for (watched, most) in [(false, MOST), (true, FIRST)] {
            let mut stride = Stride::new(watched);
            for _ in 0..10 {
                stride.took(Duration::ZERO);
            }
            assert_eq!((stride.of(1 << 30), stride.of(100)), (most, 100));
            for _ in 0..10 {
                stride.took(Duration::from_secs(1));
            }
            assert_eq!(stride.of(1 << 30), LEAST);
        }
    }
}
