//! One run at a time at one thing: two migrations of a volume would pause it twice.
//!
//! In: what is done, and to what. Out: a guard, or the answer that another process has it. The lock ends with its
//! process, however that ends; the empty file stays, since removing it would let two runs lock two files of one name.

use std::fs::{File, TryLockError};

use super::directory::Directory;
use crate::error::Result;
use crate::file_name;

/// Held while this process does it; let go on drop.
#[derive(Debug)]
pub struct RunLock {
    /// Closing it is what lets go of the lock.
    _file: File,
}

impl RunLock {
    /// `None` where another process has it.
    pub(super) fn take(directory: &Directory, doing: &str, what: &str) -> Result<Option<Self>> {
        let file = directory.open_file(&format!("{doing}-{}.lock", file_name::encoded(what.as_bytes())))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(RunLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(why)) => Err(directory.unusable(&why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_that_there_is_a_first() {
        let scratch = tempfile::tempdir().expect("scratch directory");
        let directory = Directory::at(&scratch.path().join("run"));
        let take = |doing, what| RunLock::take(&directory, doing, what).expect("a lock or none");
        let first = take("migrate", "a/b");
        assert!(first.is_some());
        assert!(take("migrate", "a/b").is_none());
        assert!(take("migrate", "c").is_some() && take("other", "a/b").is_some());
        drop(first);
        assert!(take("migrate", "a/b").is_some());
    }
}
