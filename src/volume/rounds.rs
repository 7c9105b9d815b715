//! A thin LV that is read again and again while it is written: all of it, then what has changed since, round after
//! round.
//!
//! In: the LV's name. Out: [`Round`]s, each of them one state of the LV, to be read until the next one is asked for.
//! A round is a temporary snapshot, and from the second on the delta since the one before, which is therefore kept
//! until the next is there. All that can be asked once is asked once: a round costs one LVM command, for the snapshot,
//! and what it takes to read the pool's metadata; a virtual machine may be standing still for it.
//!
//! On the caller's thread, but for the removal of snapshots that are not needed any more, which is waited for before
//! the next round. What is held is on record ([`crate::reserve`]) and goes on [`Rounds::abandon`] and on
//! drop; close the rounds' sources before.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::stat::{major, minor};

use super::lvm::{LogicalVolume, Lvm, TemporarySnapshot};
use super::open_source::{clean_up, state};
use super::pool_watch::PoolWatch;
use super::{BlockSource, Origin, Source, State, identity};
use crate::error::{Error, Result};
use crate::reserve::{Reservations, TaskLock};
use crate::stop::Stop;
use crate::thin::{Dmsetup, ThinVolume};
use crate::usedmap::{BaseDevice, Delta, ReadOnly, UsedMap, delta_of_thin_device, from_thin_device};

/// What is written to either is refused by LVM: the snapshots need not be read whole to know that they are untouched.
const SNAPSHOTS: ReadOnly = ReadOnly { base: true, new: true };

/// One state of the volume. Drop it before the next is asked for.
pub struct Round {
    /// The snapshot.
    pub source: Arc<dyn Source>,
    /// In the first round what holds data; later, what was written since the round before.
    pub map: Arc<UsedMap>,
    /// After the first round, what was discarded since the round before.
    pub discarded: Option<Arc<UsedMap>>,
    /// Its state, and from the second round on that of the round before.
    pub origin: Origin,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// What has changed since the last round, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending {
    /// What a next round would carry.
    pub written: u64,
    /// What it would make holes of.
    pub discarded: u64,
}

/// The LV, and the snapshots of it that are held.
pub struct Rounds {
    lvm: Lvm,
    volume: LogicalVolume,
    thin: ThinVolume,
    reservations: Reservations,
    /// That of the last round, to which the next is compared.
    last: Option<Taken>,
    /// Those of the rounds before that.
    earlier: Vec<TemporarySnapshot>,
    /// Some of them that are being removed; what could not be.
    going: Option<JoinHandle<Vec<String>>>,
    /// A notice for each that could not be removed. It is on record for the next run.
    left: Vec<String>,
    _watch: PoolWatch,
    _alone: TaskLock,
}

/// A round's snapshot.
struct Taken {
    snapshot: TemporarySnapshot,
    device: u32,
    size: u64,
    state: State,
    /// What the kernel had counted as written to the LV when the snapshot was there, in bytes.
    written_by_then: Option<u64>,
}

impl Rounds {
    /// Finds the LV, undoes what killed lvpipes have left, and makes sure that nobody else goes over it in rounds.
    /// With it, what the user should know.
    ///
    /// # Errors
    /// A guard's for anything but an active thin LV, each with its way out; LVM's words.
    pub fn open(name: &OsStr, stop: &Stop) -> Result<(Self, Vec<String>)> {
        let lvm = Lvm::default();
        let found = name.to_str().map_or(Ok(None), |name| lvm.resolve(name))?;
        let volume = found.ok_or_else(|| {
            refused(name.display(), "it is no logical volume: nothing tells what is written to it meanwhile")
                .way_out("while nobody writes to it, `lvpipe send` copies it")
        })?;
        let name = volume.full_name();
        check(&volume)?;
        let reservations = Reservations::open();
        let alone = reservations.lock_task("migrate", &volume.uuid, Duration::ZERO, stop)?;
        let alone = alone.ok_or_else(|| {
            refused(&name, "another lvpipe is migrating it").way_out("wait for it to end, or end it")
        })?;
        let notices = clean_up(&lvm, &reservations, stop)?;
        let thin = ThinVolume::at(&volume.path, &Dmsetup::default())?
            .ok_or_else(|| refused(&name, "its device is no thin device"))?;
        if let Some(origin) = &thin.external_origin {
            let why = format!("what it does not hold itself is read from its external origin {origin}");
            return Err(refused(&name, &why).way_out("while nobody writes to it, `lvpipe send` copies it"));
        }
        let watch = PoolWatch::of_source(thin.pool.clone(), stop)?;
        let rounds = Rounds {
            lvm,
            volume,
            thin,
            reservations,
            last: None,
            earlier: Vec::new(),
            going: None,
            left: Vec::new(),
            _watch: watch,
            _alone: alone,
        };
        Ok((rounds, notices))
    }

    /// `vg/lv`.
    pub fn name(&self) -> String {
        self.volume.full_name()
    }

    /// The volume's size in bytes. A volume that is resized between two rounds is refused by the second.
    pub fn size(&self) -> u64 {
        self.thin.size
    }

    /// Who reads it: see [`identity`].
    pub fn identity(&self) -> Option<String> {
        identity::of_source(&Vec::from_iter(std::fs::metadata(&self.volume.path).ok()))
    }

    /// What the whole volume holds right now, in bytes: what a first round would carry.
    ///
    /// # Errors
    /// Where the pool's metadata cannot be read.
    pub fn used(&self, stop: &Stop) -> Result<u64> {
        Ok(from_thin_device(&self.thin, &self.reservations, stop)?.map.used_bytes())
    }

    /// Takes the next round. The snapshot before is kept.
    ///
    /// # Errors
    /// LVM's words; where the pool's metadata cannot be read; a guard's where the volume was resized.
    pub fn next(&mut self, stop: &Stop) -> Result<Round> {
        self.wait_for_removal();
        let snapshot = TemporarySnapshot::take(&self.lvm, &self.volume, &self.reservations)?;
        let written_by_then = written_to(&self.volume);
        let volume = snapshot.volume();
        let thin = self.thin.snapshot_at(&volume.path)?;
        if thin.size != self.thin.size {
            let why = format!("it was resized from {} to {} bytes meanwhile", self.thin.size, thin.size);
            return Err(Error::guard("cannot go on", self.name(), why).way_out("begin again"));
        }
        let Compared { map, discarded, untouched, notices } = self.compare(&thin, stop)?;
        let state = untouched.and_then(|mapped| state(volume, mapped)).ok_or_else(|| {
            Error::guard("cannot go on", volume.full_name(), "somebody has written to the snapshot")
        })?;
        let source = Arc::new(BlockSource::open(&volume.path, &self.name())?);
        let read: Vec<_> =
            [&self.volume.path, &volume.path].into_iter().filter_map(|path| std::fs::metadata(path).ok()).collect();
        let origin = Origin {
            name: self.name(),
            uuid: Some(self.volume.uuid.clone()),
            identity: identity::of_source(&read),
            state: Some(state.clone()),
            base: self.last.as_ref().map(|last| last.state.clone()),
        };
        let taken = Taken { device: thin.device, size: thin.size, state, snapshot, written_by_then };
        self.earlier.extend(self.last.replace(taken).map(|before| before.snapshot));
        Ok(Round { source, map: Arc::new(map), discarded: discarded.map(Arc::new), origin, notices })
    }

    fn compare(&self, thin: &ThinVolume, stop: &Stop) -> Result<Compared> {
        let Some(last) = &self.last else {
            let found = from_thin_device(thin, &self.reservations, stop)?;
            let (map, untouched, notices) = (found.map, found.untouched, found.notices);
            return Ok(Compared { map, discarded: None, untouched, notices });
        };
        let base = BaseDevice { device: last.device, size: Some(last.size) };
        let found = delta_of_thin_device(thin, base, SNAPSHOTS, &self.reservations, stop)?;
        let Delta { written, discarded } = found.delta;
        let (untouched, notices) = (found.new_untouched, found.notices);
        Ok(Compared { map: written, discarded: Some(discarded), untouched, notices })
    }

    /// What a round that began now would be about. Takes no snapshot. Before the first round there is none to
    /// compare with: nothing.
    ///
    /// # Errors
    /// Where the pool's metadata cannot be read.
    pub fn pending(&self, stop: &Stop) -> Result<Pending> {
        let Some(last) = &self.last else { return Ok(Pending::default()) };
        let base = BaseDevice { device: last.device, size: Some(last.size) };
        // Whether it is untouched is of no interest: it is being written.
        let found = delta_of_thin_device(&self.thin, base, SNAPSHOTS, &self.reservations, stop)?;
        let Delta { written, discarded } = found.delta;
        Ok(Pending { written: written.used_bytes(), discarded: discarded.used_bytes() })
    }

    /// How many bytes the kernel has seen written to the LV since the last snapshot was there. It costs nothing to ask.
    /// What was written while it was being taken is not in this: a file system that is mounted is frozen then, and writes
    /// its superblock when it thaws. `None` where the kernel does not tell.
    pub fn written_since_last(&self) -> Option<u64> {
        let then = self.last.as_ref()?.written_by_then?;
        Some(written_to(&self.volume)?.saturating_sub(then))
    }

    /// Begins to remove the snapshots but the last, beside what the caller does next. Not while somebody waits for
    /// that: it takes LVM and the pool some time.
    pub fn let_go_of_earlier(&mut self) {
        self.wait_for_removal();
        let earlier = std::mem::take(&mut self.earlier);
        if earlier.is_empty() {
            return;
        }
        // Where there cannot be another thread the closure is dropped, and what it has goes at once.
        let remove = move || earlier.into_iter().filter_map(TemporarySnapshot::abandon).collect();
        self.going = thread::Builder::new().name("snapshots".into()).spawn(remove).ok();
    }

    /// Waits until the snapshots that are being removed are gone, which the next round would do too: to be called before
    /// somebody waits for that.
    pub fn wait_for_removal(&mut self) {
        // One that panicked has said so.
        self.left.extend(self.going.take().and_then(|going| going.join().ok()).into_iter().flatten());
    }

    /// Removes all snapshots; a notice for each that could not be and is left to the next run.
    pub fn abandon(mut self) -> Vec<String> {
        self.wait_for_removal();
        let last = self.last.take().map(|last| last.snapshot);
        // Each is tried, whatever becomes of the others.
        self.left.extend(self.earlier.drain(..).chain(last).filter_map(TemporarySnapshot::abandon));
        std::mem::take(&mut self.left)
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        // Before the lock: the next run must not find what is just going.
        self.wait_for_removal();
    }
}

/// What there is to carry, and whether the snapshot is as it was taken.
struct Compared {
    map: UsedMap,
    discarded: Option<UsedMap>,
    untouched: Option<u64>,
    notices: Vec<String>,
}

/// What has been written to an LV's device since it exists, in bytes: the seventh field of its `stat`, in sectors of 512
/// bytes, see Documentation/block/stat.rst of the kernel. Discards are counted elsewhere.
fn written_to(volume: &LogicalVolume) -> Option<u64> {
    let device = std::fs::metadata(&volume.path).ok()?.rdev();
    let stat = format!("/sys/dev/block/{}:{}/stat", major(device), minor(device));
    let stat = std::fs::read_to_string(stat).ok()?;
    stat.split_whitespace().nth(6)?.parse::<u64>().ok()?.checked_mul(512)
}

/// Refuses what cannot be read in rounds, or need not be.
fn check(volume: &LogicalVolume) -> Result<()> {
    let name = volume.full_name();
    if volume.is_thin_pool() {
        return Err(refused(&name, "it is a thin pool, not a volume in it")
            .way_out(format!("lvs {} lists the volumes", volume.vg)));
    }
    if !volume.is_thin() {
        return Err(refused(&name, "it is no thin volume: nothing tells what is written to it meanwhile").way_out(
            "while nobody writes to it `lvpipe send` copies it; lvconvert(8) makes thin volumes of others",
        ));
    }
    if !volume.is_active() {
        return Err(refused(&name, "it is not active, so that nobody writes to it")
            .way_out(format!("lvpipe send {name} ssh://HOST/TARGET copies it")));
    }
    Ok(())
}

fn refused(name: impl std::fmt::Display, why: &str) -> Error {
    Error::guard("cannot migrate", name, why)
}
