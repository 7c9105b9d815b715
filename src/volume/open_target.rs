//! From a name to a target, past the guards.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::handed_over::NewFile;
use super::lineage::{Lineage, Place};
use super::lvm::{Activation, CreatedLv, LogicalVolume, Lvm, StagedLv};
use super::open_source::clean_up;
use super::pool_watch::PoolWatch;
use super::{
    Arrival, BlockTarget, CommandGuard, Discards, ExecOutput, ExecTarget, FileTarget, JournalPlace, STREAM,
    StreamTarget, Target, fifo, guards, identity,
};
use crate::byte_size::ByteSize;
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{Dmsetup, ThinVolume};

/// What is known of the stream when the target is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected<'a> {
    /// The identity of its source: a target that is just being read is refused.
    pub source: Option<&'a str>,
    /// Bytes of the volume, unless it is a byte stream.
    pub size: Option<u64>,
    /// Bytes in the source's used map.
    pub used: Option<u64>,
    /// The file that the stream is read from, which may be the target by mistake.
    pub stream: Option<&'a Metadata>,
    /// Which state of the volume it brings, and whether as a delta.
    pub arrival: Option<&'a Arrival>,
}

/// A target that is open, with what it needs. The parts are dropped in this order: what is held goes after the
/// target is closed.
pub struct OpenTarget {
    /// What is written.
    pub target: Arc<dyn Target>,
    /// What is held while it is written.
    pub held: HeldForTarget,
    /// Whether it was there before and is written where it is, so that a transfer that fails leaves a part of it.
    pub in_place: bool,
    /// Where the journal of a transfer to it belongs; `None` for what cannot be gone on with: a pipe, or an LV that is
    /// removed when the transfer fails.
    pub journal: Option<JournalPlace>,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// What is held outside the process while a target is written; undone when dropped, as for a transfer that failed.
/// Close the target before.
#[derive(Default)]
pub struct HeldForTarget {
    pub(super) _pool: Option<PoolWatch>,
    pub(super) created: Option<CreatedLv>,
    /// A file that was not there before.
    pub(super) new_file: Option<NewFile>,
    /// What is to be kept of the transfer with the target; the target must be active for that.
    lineage: Option<(Lineage, Stop)>,
    /// Where a delta is applied until all of it is there.
    staged: Option<StagedLv>,
    /// The target of such a delta, so that nobody else opens it meanwhile.
    unchanged: Option<Arc<dyn Target>>,
    pub(super) activation: Option<Activation>,
    /// Killed when the transfer fails, even where a write to it is blocked.
    command: Option<CommandGuard>,
}

impl HeldForTarget {
    /// The transfer is whole: a volume that was made for it stays. What the user should know.
    ///
    /// # Errors
    /// LVM's words.
    pub fn keep(mut self) -> Result<Vec<String>> {
        self.created.take().map_or(Ok(()), CreatedLv::keep)?;
        if let Some(staged) = self.staged.take() {
            if let Some((lineage, stop)) = &mut self.lineage {
                lineage.keep_either(staged.volume(), stop)?;
            }
            drop(self.unchanged.take());
            staged.check_target()?;
            staged.merge()?;
        }
        let notice = self.lineage.map_or(Ok(None), |(lineage, stop)| lineage.done(&stop))?;
        let stays_active = self.activation.map_or(Ok(None), Activation::end)?;
        Ok(notice.into_iter().chain(stays_active).collect())
    }

    /// The transfer failed: undoes what was done for it; a notice for each thing that is left to the next run.
    pub fn abandon(self) -> Vec<String> {
        drop(self.command);
        drop(self.unchanged);
        let created = self.created.and_then(CreatedLv::abandon);
        let staged = self.staged.and_then(StagedLv::abandon);
        created.into_iter().chain(staged).chain(self.activation.and_then(Activation::abandon)).collect()
    }
}

/// Opens a target by name: `-`, a path, or `vg/lv`.
///
/// # Errors
/// A guard's, before anything is written; or the system's.
pub fn open_target(name: &OsStr, expected: Expected<'_>, stop: &Stop) -> Result<OpenTarget> {
    if name == STREAM {
        return Ok(plain(Arc::new(StreamTarget::stdout()?)));
    }
    let lvm = Lvm::default();
    // LVM's names are ASCII; a file's may be anything.
    if let Some(name) = name.to_str()
        && let Some(volume) = lvm.resolve(name)?
    {
        return open_lv(&lvm, &volume, expected, stop);
    }
    let path = Path::new(name);
    let name = &*name.to_string_lossy();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            refuse_new_device(path, name)?;
            guards::refuse_if_dangling(name, path)?;
            return open_file(path, name, false, expected, stop);
        }
        Err(e) => return Err(guards::cannot_open_file(name, &e)),
    };
    refuse_own_source(name, expected, &metadata)?;
    let kind = metadata.file_type();
    if kind.is_block_device() {
        let journal = JournalPlace::of_device(path, name, &metadata);
        let open = OpenTarget { journal: Some(journal), ..open_device(path, name, expected, stop)? };
        open.with_lineage(Place::Nowhere, name, expected, stop)
    } else if kind.is_file() {
        open_file(path, name, true, expected, stop)
    } else if kind.is_dir() {
        Err(Error::usage("cannot open target", name, "it is a directory")
            .way_out(format!("name the file in it: {}/NAME", name.trim_end_matches('/'))))
    } else {
        let file = fifo::open_to_write(path, stop)?;
        let file = file.map_err(|e| guards::cannot_open_file(name, &e))?;
        Ok(plain(Arc::new(StreamTarget::new(file, name))))
    }
}

/// Starts a command that takes the volume on its standard input. What ends the run kills it.
///
/// # Errors
/// When it cannot be started.
pub fn exec_target(command: &str, output: ExecOutput, stop: &Stop) -> Result<OpenTarget> {
    let (target, guard) = ExecTarget::start(command, output, stop)?;
    let held = HeldForTarget { command: Some(guard), ..HeldForTarget::default() };
    Ok(OpenTarget { held, ..plain(Arc::new(target)) })
}

fn plain(target: Arc<dyn Target>) -> OpenTarget {
    OpenTarget { target, held: HeldForTarget::default(), in_place: false, journal: None, notices: Vec::new() }
}

impl OpenTarget {
    /// Checks whether what comes may be applied to the target, and notes that it is about to change.
    fn with_lineage(mut self, place: Place, name: &str, expected: Expected<'_>, stop: &Stop) -> Result<Self> {
        let apart = matches!(&place, Place::Lv(_, volume) if volume.is_thin());
        let arrival = expected.arrival.cloned().unwrap_or_default();
        if arrival.base.is_some() && matches!(place, Place::Nowhere) {
            // Nothing would tell that the delta which is gone on with is the one that was begun there.
            self.journal = None;
        }
        let mut lineage = Lineage::new(name, place, arrival, !apart);
        self.notices.extend(lineage.begin(stop)?);
        self.held.lineage = Some((lineage, stop.clone()));
        Ok(self)
    }
}

fn open_file(path: &Path, name: &str, in_place: bool, expected: Expected<'_>, stop: &Stop) -> Result<OpenTarget> {
    if !in_place && expected.arrival.is_some_and(|arrival| arrival.base.is_some()) {
        return Err(Error::guard("target refused", name, "it has never had the first copy: there is no such file")
            .way_out("send all of it first"));
    }
    let target = FileTarget::open(path, name)?;
    let metadata = target.file().metadata().map_err(|e| guards::cannot_open_file(name, &e))?;
    let journal = Some(JournalPlace::beside(path, name, &metadata));
    let file = target.file().try_clone().map_err(|e| guards::cannot_open_file(name, &e))?;
    let new_file = (!in_place).then(|| NewFile::of(path, &metadata));
    let held = HeldForTarget { new_file, ..HeldForTarget::default() };
    let open = OpenTarget { in_place, journal, held, ..plain(Arc::new(target)) };
    open.with_lineage(Place::File(file), name, expected, stop)
}

/// A device's name with a mistake in it: a file of that name would be made in memory, and be gone at the next boot.
pub(super) fn refuse_new_device(path: &Path, name: &str) -> Result<()> {
    let is_in_dev = path.starts_with("/dev") && !path.starts_with("/dev/shm");
    if !is_in_dev {
        return Ok(());
    }
    Err(Error::guard("target refused", name, "there is no such device").way_out("lsblk and lvs list what there is"))
}

pub(super) fn refuse_own_source(name: &str, expected: Expected<'_>, target: &Metadata) -> Result<()> {
    let is_same = |stream: &Metadata| (stream.dev(), stream.ino()) == (target.dev(), target.ino());
    if target.is_file() && expected.stream.is_some_and(is_same) {
        return Err(Error::guard("target refused", name, "it is the stream that is being received")
            .way_out("name another target"));
    }
    if expected.source.is_some_and(|source| identity::is_being_read(source, target)) {
        return Err(Error::guard("target refused", name, "it is the source that is being sent")
            .way_out("name another target"));
    }
    Ok(())
}

/// Opens a device; a thin one is discarded instead of being filled with zeros, and its pool is watched.
pub(super) fn open_device(path: &Path, name: &str, expected: Expected<'_>, stop: &Stop) -> Result<OpenTarget> {
    let thin = ThinVolume::at(path, &Dmsetup::default())?;
    // Where an external origin shows through what is not mapped, discarding does not give zeros.
    let unmaps = thin.as_ref().filter(|thin| thin.external_origin.is_none());
    let discards = unmaps.map_or(Discards::Unknown, |thin| Discards::Unmap {
        chunk: thin.pool.chunk_bytes,
        zeroed: thin.pool.zeroes_new_chunks,
    });
    let target = BlockTarget::open(path, name, discards, stop)?;
    let mut open = OpenTarget { in_place: true, ..plain(Arc::new(target)) };
    if let Some(thin) = thin {
        let status = thin.pool.status()?;
        let (used, total) = status.data_chunks;
        let free = total.saturating_sub(used).saturating_mul(thin.pool.chunk_bytes);
        if let Some(needed) = expected.used.filter(|needed| *needed > free) {
            open.notices.push(format!(
                "pool {} has {} free, the source uses {}: unless {name} holds much of it already or the pool grows, \
                 it runs full",
                thin.pool.name,
                ByteSize(free),
                ByteSize(needed)
            ));
        }
        open.held._pool = Some(PoolWatch::start(thin.pool, stop)?);
    }
    Ok(open)
}

/// Opens an LV; one that is not active is made active for the time of the run.
fn open_lv(lvm: &Lvm, volume: &LogicalVolume, expected: Expected<'_>, stop: &Stop) -> Result<OpenTarget> {
    let name = volume.full_name();
    if volume.is_thin_pool() {
        return Err(Error::guard("target refused", &name, "it is a thin pool, not a volume in it")
            .way_out(format!("to make a volume in it: lvpipe recv --create {name}:NAME")));
    }
    if volume.is_read_only() {
        return Err(guards::read_only(&name));
    }
    let reservations = Reservations::open();
    let mut notices = clean_up(lvm, &reservations, stop)?;
    let activation = Activation::of(lvm, volume, &reservations)?;
    if let Ok(metadata) = fs::metadata(&volume.path) {
        refuse_own_source(&name, expected, &metadata)?;
    }
    let mut open = open_device(&volume.path, &name, expected, stop)?;
    if volume.is_open() {
        // Not mounted, and no process of ours to see: in another container, or opened by the kernel.
        return Err(Error::guard("target refused", &name, "it is open elsewhere").way_out(
            "lsof, fuser and \
            `dmsetup info -c` tell more",
        ));
    }
    notices.append(&mut open.notices);
    let held = HeldForTarget { activation, ..open.held };
    let open = OpenTarget { held, notices, journal: Some(JournalPlace::of_lv(volume)), ..open };
    let open = open.with_lineage(Place::Lv(lvm.clone(), Box::new(volume.clone())), &name, expected, stop)?;
    let is_delta = expected.arrival.is_some_and(|arrival| arrival.base.is_some());
    if is_delta && volume.is_thin() { stage(lvm, volume, open, expected, stop) } else { Ok(open) }
}

/// Opens a snapshot of the target instead, to apply a delta to: a run that ends early, however, leaves the target as it
/// is. The target stays open, so that nobody else takes it.
fn stage(
    lvm: &Lvm,
    volume: &LogicalVolume,
    open: OpenTarget,
    expected: Expected<'_>,
    stop: &Stop,
) -> Result<OpenTarget> {
    let OpenTarget { target, held, notices, .. } = open;
    let staged = StagedLv::take(lvm, volume, &Reservations::open())?;
    let apart = open_device(&staged.volume().path, &volume.full_name(), expected, stop)?;
    let held = HeldForTarget { staged: Some(staged), unchanged: Some(target), ..held };
    Ok(OpenTarget { held, notices, in_place: false, journal: None, ..plain(apart.target) })
}

/// A thin LV that is to be made: `vg/pool:name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    vg: String,
    pool: String,
    name: String,
}

impl NewVolume {
    /// The group's name.
    pub fn vg(&self) -> &str {
        &self.vg
    }

    /// The pool's.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The new LV's own.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for NewVolume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(vg, rest)| Some((vg, rest.split_once(':')?)));
        match parts {
            Some((vg, (pool, name))) if ![vg, pool, name].contains(&"") => {
                Ok(NewVolume { vg: vg.into(), pool: pool.into(), name: name.into() })
            }
            _ => Err("expected VG/POOL:NAME, as in vg/pool:vm1".into()),
        }
    }
}

/// Makes a thin LV of the stream's size and opens it.
///
/// # Errors
/// A usage error for a byte stream; a guard's when there is such an LV already; LVM's words.
pub fn create_target(new: &NewVolume, expected: Expected<'_>, stop: &Stop) -> Result<OpenTarget> {
    let Some(size) = expected.size.filter(|size| *size > 0) else {
        return Err(Error::usage(
            "cannot create target",
            format_args!("{}/{}", new.vg, new.name),
            "the stream does \
            not say how large it is",
        )
        .way_out("create the volume with lvcreate and name it as the target"));
    };
    if expected.arrival.is_some_and(|arrival| arrival.base.is_some()) {
        let name = format!("{}/{}", new.vg, new.name);
        return Err(Error::guard(
            "cannot create target",
            name,
            "the stream is a delta, and a new volume holds no base",
        )
        .way_out("send all of it first, without --since"));
    }
    let (lvm, reservations) = (Lvm::default(), Reservations::open());
    let mut notices = clean_up(&lvm, &reservations, stop)?;
    stop.check()?;
    let created = CreatedLv::create(&lvm, &new.vg, &new.pool, &new.name, size, &reservations)?;
    let volume = created.volume();
    let mut open = open_device(&volume.path, &volume.full_name(), expected, stop)?;
    notices.append(&mut open.notices);
    let (place, name) = (Place::Lv(lvm.clone(), Box::new(volume.clone())), volume.full_name());
    let held = HeldForTarget { created: Some(created), ..open.held };
    let open = OpenTarget { held, in_place: false, notices, ..open };
    open.with_lineage(place, &name, expected, stop)
}
