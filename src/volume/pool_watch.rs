//! Watches a thin pool while a target in it is written, or while snapshots of a source in it make every write to the
//! source take space.
//!
//! A pool that runs full holds back writes, for a minute by default (dm-thin's no_space_timeout) and for ever where
//! the admin said so. The writer sees nothing of it; so the pool is asked once a second.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::error::{Error, Result, Status};
use crate::stop::Stop;
use crate::thin::Pool;
use crate::thin::table::PoolMode;

const INTERVAL: Duration = Duration::from_secs(1);

const FULL: &str = "it has run full";

/// Ends the run when the pool runs full; ends itself when dropped.
pub(super) struct PoolWatch {
    _until_dropped: Sender<()>,
}

impl PoolWatch {
    /// Starts to watch a target's pool.
    pub(super) fn start(pool: Pool, stop: &Stop) -> Result<Self> {
        let full = Error::new(Status::Io, "cannot write target", format_args!("pool {}", pool.name), FULL)
            .way_out("lvextend the pool, or free space in it, and send again");
        Self::watch(pool, full, stop)
    }

    /// Starts to watch a source's pool: when it is full, nothing that the snapshots hold back may stay.
    pub(super) fn of_source(pool: Pool, stop: &Stop) -> Result<Self> {
        let full = Error::new(Status::Io, "cannot go on", format_args!("the source's pool {}", pool.name), FULL)
            .way_out("its snapshots are given up; lvextend the pool, or free space in it, and begin again");
        Self::watch(pool, full, stop)
    }

    fn watch(pool: Pool, full: Error, stop: &Stop) -> Result<Self> {
        let (alive, ended) = bounded(0);
        let stop = stop.clone();
        let watch = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(INTERVAL) {
                // A status that cannot be had now is no reason to end a transfer that goes on.
                if pool.glance().is_ok_and(|status| status.mode == PoolMode::OutOfDataSpace) {
                    return stop.fail(full);
                }
            }
        };
        let thread = thread::Builder::new().name("pool".into()).spawn(watch);
        thread.map_err(|e| Error::io("cannot start thread", "pool", &e))?;
        Ok(PoolWatch { _until_dropped: alive })
    }
}
