//! A pool's metadata snapshot: what makes its metadata stand still while it is read.
//!
//! In: a pool. Out: a guard with the held root, which lets go on [`MetadataSnapshot::release`], on drop and so on
//! error, panic and every signal that ends the run in order. A pool has one such snapshot for everybody:
//!
//! - lvpipes queue for it by a lock per pool, as each holds it for seconds only;
//! - one that a dead lvpipe left behind is on record ([`crate::reserve`]): it is released, and a notice says so;
//! - any other belongs to another tool: a few seconds' wait, then refused, with the way out.
//!
//! The caller's thread does it all. The order is: record, reserve, ask for the held root; release, clear the record.
//! What goes wrong in between is on record at least.

use std::time::{Duration, Instant};

use super::dmsetup::Dmsetup;
use super::pool::{Pool, message, status};
use super::table::PoolMode;
use crate::error::{Error, Result};
use crate::reserve::{Held, PoolLock, Record, Reservations, StaleRecord};
use crate::stop::Stop;

/// How long to wait for other lvpipes, each of which reads one map.
const PATIENCE_WITH_LVPIPE: Duration = Duration::from_secs(60);

/// How long to wait for another tool. Reading all of a pool can take it longer, but nobody says that it ends.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(5);

/// The first wait between two looks, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The snapshot, held.
#[derive(Debug)]
pub struct MetadataSnapshot {
    pool: Pool,
    held_root: u64,
    notices: Vec<String>,
    /// None once released.
    record: Option<Record>,
    _lock: PoolLock,
}

impl MetadataSnapshot {
    /// Takes the snapshot of a pool. Hold it only while a map is read.
    ///
    /// Fails if another tool holds one (status 4), if the pool does not take messages, or when the run ends. The
    /// caller must not have [`StaleRecord`]s of its own at hand: they lock what is to be cleaned up here.
    pub fn take(pool: &Pool, reservations: &Reservations, stop: &Stop) -> Result<Self> {
        let lock = reservations.lock_pool(&pool.name, PATIENCE_WITH_LVPIPE, stop)?;
        let mut notices = Vec::new();
        let record = reserve(pool, reservations, &mut notices, stop)?;
        // From here on, the guard lets go.
        let mut snapshot =
            MetadataSnapshot { pool: pool.clone(), held_root: 0, notices, record: Some(record), _lock: lock };
        snapshot.held_root = pool.status()?.held_root.ok_or_else(|| released_by_others(&pool.name))?;
        if let Some(record) = &mut snapshot.record {
            record
                .update(Held::MetadataSnapshot { pool: pool.name.clone(), held_root: Some(snapshot.held_root) })?;
        }
        Ok(snapshot)
    }

    /// The block of the superblock that stands still, for [`super::Metadata::superblock`].
    pub fn held_root(&self) -> u64 {
        self.held_root
    }

    /// What was cleaned up on the way, to be told to the user.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Lets go, and says if that failed; the next run tries again then.
    pub fn release(mut self) -> Result<()> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<()> {
        let Some(record) = self.record.take() else { return Ok(()) };
        let Err(why) = message(self.pool.dmsetup(), &self.pool.name, "release_metadata_snap") else {
            return record.clear();
        };
        if self.pool.status()?.held_root == Some(self.held_root) {
            return Err(why);
        }
        // The blocks may have been given to others while they were read.
        record.clear()?;
        Err(released_by_others(&self.pool.name))
    }
}

impl Drop for MetadataSnapshot {
    fn drop(&mut self) {
        // Whoever drops it has an error of its own to tell; if this fails too, the record stays for the next run.
        let _ = self.let_go();
    }
}

/// Releases the metadata snapshots of all pools that dead lvpipes left behind. Says what was released.
pub fn release_left_behind(dmsetup: &Dmsetup, reservations: &Reservations, stop: &Stop) -> Result<Vec<String>> {
    let mut notices = Vec::new();
    for stale in reservations.stale()? {
        let Some(pool) = pool_of(stale.held()) else { continue };
        // Without the lock, an lvpipe could be about to take its own.
        let _lock = reservations.lock_pool(pool, PATIENCE_WITH_LVPIPE, stop)?;
        notices.extend(release_stale(dmsetup, stale)?);
    }
    Ok(notices)
}

fn pool_of(held: &Held) -> Option<&String> {
    match held {
        Held::MetadataSnapshot { pool, .. } => Some(pool),
        Held::TemporaryLv { .. } | Held::ActivatedLv { .. } => None,
    }
}

/// Releases what the record says, if it is still held, and clears the record. The pool's lock is ours.
fn release_stale(dmsetup: &Dmsetup, stale: StaleRecord) -> Result<Option<String>> {
    let Held::MetadataSnapshot { pool, held_root } = stale.held() else { return Ok(None) };
    // A pool that is not active holds nothing that could be asked for now: keep the record for later.
    let Ok(now) = status(dmsetup, pool) else { return Ok(None) };
    let mut notice = None;
    // It died before it knew the block if that is not on record. It was reserving then, and nothing was held before.
    if now.held_root.is_some_and(|now| held_root.is_none_or(|then| then == now)) {
        message(dmsetup, pool, "release_metadata_snap")?;
        let pid = stale.pid();
        notice =
            Some(format!("released the metadata snapshot of pool {pool}, left behind by lvpipe, process {pid}"));
    }
    stale.clear()?;
    Ok(notice)
}

/// Records and reserves. Releases what dead lvpipes left, with a notice, and waits while somebody else's is held.
fn reserve(pool: &Pool, reservations: &Reservations, notices: &mut Vec<String>, stop: &Stop) -> Result<Record> {
    let since = Instant::now();
    let mut wait = WAITS.0;
    loop {
        stop.check()?;
        // Each time round: a record can be locked for a moment by an lvpipe that looks for other leftovers.
        for stale in reservations.stale()? {
            if pool_of(stale.held()) == Some(&pool.name) {
                notices.extend(release_stale(pool.dmsetup(), stale)?);
            }
        }
        let now = pool.status()?;
        if now.mode == PoolMode::ReadOnly {
            return Err(read_only(&pool.name));
        }
        let held = match now.held_root {
            Some(held) => held,
            None => {
                let record =
                    reservations.record(Held::MetadataSnapshot { pool: pool.name.clone(), held_root: None })?;
                let Err(why) = message(pool.dmsetup(), &pool.name, "reserve_metadata_snap") else {
                    return Ok(record);
                };
                record.clear()?;
                // Another tool may have been faster between the look and the message.
                pool.status()?.held_root.ok_or(why)?
            }
        };
        if since.elapsed() >= PATIENCE_WITH_OTHERS {
            return Err(held_by_others(&pool.name, held));
        }
        // Woken early, the check above ends it.
        let _ = stop.sleep(wait);
        wait = (wait * 2).min(WAITS.1);
    }
}

fn read_only(pool: &str) -> Error {
    Error::guard("cannot read the pool's metadata", pool, "it is read-only, and then takes no metadata snapshot")
        .way_out("--map none sends the volume without its map; thin_check tells what the pool lacks")
}

fn released_by_others(pool: &str) -> Error {
    let why = "its metadata snapshot was released by somebody else while it was read";
    Error::guard("cannot read the pool's metadata", pool, why).way_out("run it again")
}

fn held_by_others(pool: &str, held: u64) -> Error {
    let why = format!("another tool holds the pool's only metadata snapshot, in block {held}");
    Error::guard("cannot read the pool's metadata", pool, why)
        .way_out(format!("if no tool uses it any more: dmsetup message {pool} 0 release_metadata_snap"))
}

#[cfg(test)]
mod tests;
