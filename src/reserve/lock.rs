//! Locks between lvpipes of one host: a file each, whose lock ends with its process, however that ends.
//!
//! [`PoolLock`]: one at a time at a pool's metadata snapshot. A pool has one such snapshot. It is held for as long as a
//! map is read, seconds, so lvpipes queue for it here rather than fail. [`TaskLock`]: one run at a time of a task that
//! must not be done twice at once, by its name; who waits, and for how long, is the user's choice.
//!
//! In: a name. Out: a guard. The empty file stays, since removing it would let two runs lock two files of one name.

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
        match wait(directory, &file_name("pool", pool), patience, stop)? {
            Some(file) => Ok(PoolLock { _file: file }),
            None => Err(taken(pool, patience)),
        }
    }
}

/// Held while this process does a task; let go on drop.
#[derive(Debug)]
pub struct TaskLock {
    /// Closing it is what lets go of the lock.
    _file: File,
}

impl TaskLock {
    /// `None` where another run has it all the time.
    pub(super) fn wait(
        directory: &Directory,
        task: &str,
        name: &str,
        patience: Duration,
        stop: &Stop,
    ) -> Result<Option<Self>> {
        Ok(wait(directory, &file_name(task, name), patience, stop)?.map(|file| TaskLock { _file: file }))
    }
}

/// Locks a file of the directory; `None` when the patience has ended.
fn wait(directory: &Directory, file_name: &str, patience: Duration, stop: &Stop) -> Result<Option<File>> {
    let file = directory.open_file(file_name)?;
    let since = Instant::now();
    let mut wait = WAITS.0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(why)) => return Err(directory.unusable(&why)),
            Err(TryLockError::WouldBlock) if since.elapsed() >= patience => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
        }
        if stop.sleep(wait) == Err(Stopped) {
            stop.check()?;
        }
        wait = (wait * 2).min(WAITS.1);
    }
}

fn taken(pool: &str, patience: Duration) -> Error {
    let why = format!("another lvpipe has been reading its map for more than {} s", patience.as_secs());
    Error::guard("cannot read the pool's metadata", pool, why).way_out("wait for it to finish, or end it")
}

/// A name can hold any byte; a long one is cut, with its digest instead of its end.
fn file_name(kind: &str, name: &str) -> String {
    let encoded = file_name::encoded(name.as_bytes());
    let cut = match encoded.get(..LONGEST_NAME) {
        Some(begin) if encoded.len() > LONGEST_NAME => format!("{begin}.{:08x}", crc32c::crc32c(name.as_bytes())),
        _ => encoded,
    };
    format!("{kind}-{cut}.lock")
}

/// The most bytes of an encoded name in that of a file, which is 255 at the most (NAME_MAX).
const LONGEST_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_a_pool_is_a_name_of_a_file() {
        assert_eq!(file_name("pool", "vg-pool--1-tpool"), "pool-vg-pool--1-tpool.lock");
        assert_eq!(file_name("pool", "../a b"), "pool-..%2fa%20b.lock");
        let long = |end: char| file_name("replicate", &("/".repeat(4000) + &end.to_string()));
        assert!(long('a').len() < 255 && long('a') != long('b'));
    }

    #[test]
    fn a_task_is_done_once_at_a_time() {
        let dir = tempfile::tempdir().expect("scratch directory");
        let directory = Directory::at(dir.path());
        let stop = Stop::new();
        let lock = |name: &str| TaskLock::wait(&directory, "copy", name, Duration::ZERO, &stop).expect("a lock");
        let first = lock("a to b").expect("free");
        assert!(lock("a to b").is_none());
        assert!(lock("a to c").is_some());
        drop(first);
        assert!(lock("a to b").is_some());
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
