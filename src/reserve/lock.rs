//! One lvpipe at a time at a pool's metadata snapshot.
//!
//! A pool has one metadata snapshot. It is held for as long as a map is read, seconds, so lvpipes queue for it here
//! rather than fail. In: the pool's name. Out: a guard. The lock ends with its process, however that ends; the
//! empty file stays, since removing it would let two runs lock two files of one name.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use super::directory::Directory;
use crate::error::{Error, Result};
use crate::file_name;
use crate::stop::{Stop, Stopped};

/// The first wait between two tries, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Held while this process works with a pool's metadata snapshot; let go on drop.
#[derive(Debug)]
pub struct PoolLock {
    /// Closing it is what lets go of the lock.
    _file: File,
}

impl PoolLock {
    pub(super) fn wait(directory: &Directory, pool: &str, patience: Duration, stop: &Stop) -> Result<Self> {
        let file = directory.open_file(&file_name(pool))?;
        let since = Instant::now();
        let mut wait = WAITS.0;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(PoolLock { _file: file }),
                Err(TryLockError::Error(why)) => return Err(directory.unusable(&why)),
                Err(TryLockError::WouldBlock) if since.elapsed() >= patience => return Err(taken(pool, patience)),
                Err(TryLockError::WouldBlock) => {}
            }
            if stop.sleep(wait) == Err(Stopped) {
                stop.check()?;
            }
            wait = (wait * 2).min(WAITS.1);
        }
    }
}

fn taken(pool: &str, patience: Duration) -> Error {
    let why = format!("another lvpipe has been reading its map for more than {} s", patience.as_secs());
    Error::guard("cannot read the pool's metadata", pool, why).way_out("wait for it to finish, or end it")
}

fn file_name(pool: &str) -> String {
    // A device-mapper name can hold any byte but a slash.
    format!("pool-{}.lock", file_name::encoded(pool.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_a_pool_is_a_name_of_a_file() {
        assert_eq!(file_name("vg-pool--1-tpool"), "pool-vg-pool--1-tpool.lock");
        assert_eq!(file_name("../a b"), "pool-..%2fa%20b.lock");
    }

    #[test]
    fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().expect("scratch directory");
        let directory = Directory::at(&dir.path().join("run"));
        let stop = Stop::new();
        let first = PoolLock::wait(&directory, "pool", Duration::ZERO, &stop).expect("free");
        PoolLock::wait(&directory, "other", Duration::ZERO, &stop).expect("another pool");
        let error = PoolLock::wait(&directory, "pool", Duration::ZERO, &stop).expect_err("taken");
        assert!(error.to_string().contains("another lvpipe"), "{error}");

        let second = {
            let (directory, stop) = (directory.clone(), stop.clone());
            std::thread::spawn(move || PoolLock::wait(&directory, "pool", Duration::from_secs(60), &stop))
        };
        drop(first);
        let second = second.join().expect("no panic").expect("free now");

        stop.fail(Error::signal(2));
        let error = PoolLock::wait(&directory, "pool", Duration::from_secs(60), &stop).expect_err("stopped");
        assert_eq!(error, Error::signal(2));
        drop(second);
    }
}
