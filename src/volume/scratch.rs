//! A place to write to as long as it is being measured: where a target is or would be, but never that target.
//!
//! In: a target's name, as `recv` takes it. Out: a [`Scratch`]: for a file, one without a name in the same directory,
//! which the system takes away when it is closed, however the run ends; for a thin volume or its pool, a temporary thin
//! volume in that pool, which is removed when this is dropped, or by the next run. Nothing that was there is written
//! to. Only a tenth of what is free is used.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::lvm::{CreatedLv, LogicalVolume, Lvm};
use super::open_source::clean_up;
use super::open_target::{Expected, OpenTarget, open_device, refuse_new_device, refuse_own_source};
use super::{FileTarget, HeldForTarget, NewVolume, STREAM, Target, block, guards};
use crate::byte_size::ByteSize;
use crate::error::{Error, Result, Status};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{Dmsetup, ThinVolume};

/// Less than this says nothing about a device.
const LEAST: u64 = 8 << 20;

/// What can be written instead of a target.
pub enum Scratch {
    /// This.
    Ready(Box<ScratchTarget>),
    /// Nothing.
    None {
        /// Why.
        why: String,
        /// See [`ScratchTarget::pool`].
        pool: Option<String>,
    },
}

/// A place to write to. The parts are dropped in this order: what is held goes after the target is closed.
pub struct ScratchTarget {
    /// What is written.
    pub target: Arc<dyn Target>,
    /// How many bytes may be written.
    pub room: u64,
    /// What it is, in words.
    pub what: String,
    /// What the user should know.
    pub notices: Vec<String>,
    /// The pool, as `vg/pool`, where it or a new volume in it was named, which `recv` has to make.
    pub pool: Option<String>,
    _held: HeldForTarget,
    created: Option<CreatedLv>,
}

impl ScratchTarget {
    /// Closes and removes it; a notice, if that is left to the next run.
    pub fn remove(self) -> Option<String> {
        let ScratchTarget { target, created, _held: held, .. } = self;
        drop(target);
        drop(held);
        created.and_then(CreatedLv::abandon)
    }
}

/// Finds a place where a target of this name is or would be, of `most` bytes at most. The target may be in use now, but
/// must be fit for what is expected: not the source itself, large enough, and with room for what is used.
///
/// # Errors
/// A guard's, for a target that is not fit; else what `recv` would say of it, and what the system or LVM says.
pub fn scratch_for(name: &OsStr, most: u64, expected: Expected<'_>, stop: &Stop) -> Result<Scratch> {
    if name == STREAM {
        return Ok(nothing("a pipe is as fast as who reads it"));
    }
    let lvm = Lvm::default();
    if let Some(name) = name.to_str() {
        if let Some(volume) = lvm.resolve(name)? {
            return beside_lv(&lvm, &volume, most, expected, stop);
        }
        let is_in_directory = Path::new(name).parent().is_some_and(|parent| parent.is_dir());
        if let Some(new) = name.parse::<NewVolume>().ok().filter(|_| !is_in_directory) {
            let pool = format!("{}/{}", new.vg(), new.pool());
            if lvm.find(new.vg(), new.name())?.is_some() {
                let name = format!("{}/{}", new.vg(), new.name());
                return Err(Error::guard("target refused", &name, "there is such a volume already")
                    .way_out(format!("name another one, or {name} itself")));
            }
            return in_pool(&lvm, new.vg(), new.pool(), Some(pool), most, expected, stop);
        }
    }
    let (path, name) = (Path::new(name), &*name.to_string_lossy());
    let mut own = 0;
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            refuse_new_device(path, name)?;
            guards::refuse_if_dangling(name, path)?;
        }
        Err(e) => return Err(guards::cannot_open_file(name, &e)),
        Ok(found) if found.is_dir() => {
            return Err(Error::usage("cannot measure target", name, "it is a directory")
                .way_out(format!("name a file in it: {name}/NAME")));
        }
        Ok(found) if found.file_type().is_block_device() => {
            refuse_own_source(name, expected, &found)?;
            let device = File::open(path).map_err(|e| guards::cannot_open("target", name, &e))?;
            let size = block::size(&device).map_err(|e| guards::cannot_open("target", name, &e))?;
            guards::refuse_if_smaller(name, size, expected.size.unwrap_or(0))?;
            return Ok(overwritten(name));
        }
        Ok(found) if !found.is_file() => return Ok(nothing("it is neither a file nor a volume")),
        Ok(found) => {
            refuse_own_source(name, expected, &found)?;
            access(path, AccessFlags::W_OK).map_err(|e| guards::cannot_open_file(name, &e.into()))?;
            own = found.blocks() * 512;
        }
    }
    // Through a link it is written where that leads.
    let followed = fs::canonicalize(path);
    let path = followed.as_deref().unwrap_or(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    in_directory(directory, name, own, most, expected)
}

fn nothing(why: impl Into<String>) -> Scratch {
    Scratch::None { why: why.into(), pool: None }
}

/// Of a device that knows no holes.
fn overwritten(name: &str) -> Scratch {
    nothing(format!(
        "{name} is there already, and would be overwritten. The estimate is without writing, and that takes longer than \
         elsewhere: what the source does not use is zeroed there"
    ))
}

/// `own`: what the target holds already, which it would hold no more.
fn in_directory(directory: &Path, name: &str, own: u64, most: u64, expected: Expected<'_>) -> Result<Scratch> {
    let failed = |e: nix::errno::Errno| guards::cannot_open_file(name, &e.into());
    let system = statvfs(directory).map_err(failed)?;
    #[allow(clippy::useless_conversion, reason = "their types are the platform's")]
    let free = u64::from(system.blocks_available()).saturating_mul(u64::from(system.fragment_size()));
    let shown = directory.display();
    // No reason to refuse it: zeros among what is used take no room, and there are file systems that compress.
    let mut notices = Vec::new();
    if let Some(used) = expected.used.filter(|used| *used > free.saturating_add(own)) {
        let (free, used) = (ByteSize(free), ByteSize(used));
        notices.push(format!("{shown} has only {free} free, the source uses {used}: it may run full"));
    }
    let Some(room) = room(free, most) else {
        notices.insert(0, format!("{shown} has only {} free", ByteSize(free)));
        return Ok(nothing(notices.join("; ")));
    };
    let target = Arc::new(FileTarget::unnamed(directory, name)?);
    Ok(Scratch::Ready(Box::new(ScratchTarget {
        target,
        room,
        what: format!("a scratch file in {shown}"),
        notices,
        pool: None,
        _held: HeldForTarget::default(),
        created: None,
    })))
}

fn beside_lv(lvm: &Lvm, volume: &LogicalVolume, most: u64, expected: Expected<'_>, stop: &Stop) -> Result<Scratch> {
    let name = volume.full_name();
    if volume.is_thin_pool() {
        return in_pool(lvm, &volume.vg, &volume.name, Some(name), most, expected, stop);
    }
    if volume.is_read_only() {
        return Err(guards::read_only(&name));
    }
    if let Ok(metadata) = fs::metadata(&volume.path) {
        refuse_own_source(&name, expected, &metadata)?;
    }
    guards::refuse_if_smaller(&name, volume.size, expected.size.unwrap_or(0))?;
    match &volume.pool {
        Some(pool) if volume.is_thin() => in_pool(lvm, &volume.vg, pool, None, most, expected, stop),
        _ => Ok(overwritten(&name)),
    }
}

/// A temporary thin volume: on record before it is made, and marked in LVM too. A pool may grow, and an LV in it may
/// hold much of the source already, so what is short of room is a notice, as `recv` gives it. `new`: the pool in which
/// the target itself is to be made.
fn in_pool(
    lvm: &Lvm,
    vg: &str,
    pool: &str,
    new: Option<String>,
    most: u64,
    expected: Expected<'_>,
    stop: &Stop,
) -> Result<Scratch> {
    let reservations = Reservations::open();
    let mut notices = clean_up(lvm, &reservations, stop)?;
    stop.check()?;
    let random = getrandom::u32()
        .map_err(|e| Error::new(Status::Io, "cannot measure target", format_args!("{vg}/{pool}"), e))?;
    let name = format!("lvpipe-bench-{random:08x}");
    let created = CreatedLv::create(lvm, vg, pool, &name, most, &reservations)?;
    let path = created.volume().path.clone();
    let free = match ThinVolume::at(&path, &Dmsetup::default())? {
        None => 0,
        Some(thin) => {
            let (used, total) = thin.pool.status()?.data_chunks;
            total.saturating_sub(used).saturating_mul(thin.pool.chunk_bytes)
        }
    };
    if let Some(used) = expected.used.filter(|used| *used > free) {
        let (free, used) = (ByteSize(free), ByteSize(used));
        notices.push(format!("pool {vg}/{pool} has only {free} free, the source uses {used}: it may run full"));
    }
    let Some(room) = room(free, most) else {
        notices.extend(created.abandon());
        let why = format!("pool {vg}/{pool} has only {} free", ByteSize(free));
        return Ok(Scratch::None { why: [vec![why], notices].concat().join("; "), pool: new });
    };
    let OpenTarget { target, held, notices: more, .. } =
        open_device(&path, &created.volume().full_name(), Expected::default(), stop)?;
    notices.extend(more);
    let what = format!("a temporary thin volume in {vg}/{pool}");
    let created = Some(created);
    Ok(Scratch::Ready(Box::new(ScratchTarget { target, room, what, notices, pool: new, _held: held, created })))
}

/// A tenth of what is free, if that is enough to tell anything.
fn room(free: u64, most: u64) -> Option<u64> {
    Some((free / 10).min(most)).filter(|room| *room >= LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(name: &Path) -> ScratchTarget {
        match scratch_for(name.as_os_str(), 16 << 20, Expected::default(), &Stop::new()).expect("a place") {
            Scratch::Ready(ready) => *ready,
            Scratch::None { why, .. } => panic!("not measured: {why}"),
        }
    }

    #[test]
    fn a_file_is_written_beside_and_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let existing = directory.path().join("existing");
        fs::write(&existing, "precious").expect("written");
        let before = fs::metadata(&existing).expect("there");
        for name in [existing.clone(), directory.path().join("new")] {
            let scratch = ready(&name);
            scratch.target.begin(Some(scratch.room)).expect("room");
            scratch.target.write(4096, &[7; 4096]).expect("written");
            scratch.target.sync().expect("synced");
            let names: Vec<_> = fs::read_dir(directory.path()).expect("there").flatten().collect();
            assert_eq!(names.len(), 1, "it has no name even while it is written: {names:?}");
            assert_eq!(scratch.remove(), None);
        }
        let after = fs::metadata(&existing).expect("there");
        assert_eq!(fs::read(&existing).expect("there"), b"precious");
        assert_eq!((after.mtime_nsec(), after.ino()), (before.mtime_nsec(), before.ino()));
    }

    #[test]
    fn what_cannot_be_measured_says_why() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let error = scratch_for(directory.path().as_os_str(), 1 << 30, Expected::default(), &Stop::new())
            .err()
            .expect("a directory");
        assert!(error.to_string().contains("it is a directory"), "{error}");
        let missing = directory.path().join("no/such/file");
        assert!(scratch_for(missing.as_os_str(), 1 << 30, Expected::default(), &Stop::new()).is_err());
        for (name, why) in [("-", "a pipe"), ("/dev/null", "neither a file nor a volume")] {
            match scratch_for(name.as_ref(), 1 << 30, Expected::default(), &Stop::new()) {
                Ok(Scratch::None { why: told, .. }) => assert!(told.contains(why), "{told}"),
                other => panic!("{name}: {:?}", other.err()),
            }
        }
        assert_eq!((room(1 << 30, 1 << 40), room(1 << 20, 1 << 40)), (Some((1 << 30) / 10), None));
    }
}
