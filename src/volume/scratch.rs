//! A place to write to as long as it is being measured: where a target is or would be, but never that target.
//!
//! In: a target's name, as `recv` takes it. Out: a [`Scratch`]: for a file, one without a name in the same directory,
//! which the system takes away when it is closed, however the run ends; for a thin volume or its pool, a temporary thin
//! volume in that pool, which is removed when this is dropped, or by the next run. Nothing that was there is written
//! to. Only a tenth of what is free is used.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use nix::sys::statvfs::statvfs;

use super::lvm::{CreatedLv, LogicalVolume, Lvm};
use super::open_source::clean_up;
use super::open_target::{Expected, OpenTarget, open_device, refuse_new_device};
use super::{FileTarget, HeldForTarget, NewVolume, STREAM, Target, guards};
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
    /// Nothing, and why.
    None(String),
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

/// Finds a place where a target of this name is or would be, of `most` bytes at most.
///
/// # Errors
/// What `recv` would say of such a target; what the system or LVM says.
pub fn scratch_for(name: &OsStr, most: u64, stop: &Stop) -> Result<Scratch> {
    if name == STREAM {
        return Ok(Scratch::None("a pipe is as fast as who reads it".into()));
    }
    let lvm = Lvm::default();
    if let Some(name) = name.to_str() {
        if let Some(volume) = lvm.resolve(name)? {
            return beside_lv(&lvm, &volume, most, stop);
        }
        let is_in_directory = Path::new(name).parent().is_some_and(|parent| parent.is_dir());
        if let Some(new) = name.parse::<NewVolume>().ok().filter(|_| !is_in_directory) {
            return in_pool(&lvm, new.vg(), new.pool(), most, stop);
        }
    }
    let (path, name) = (Path::new(name), &*name.to_string_lossy());
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
            return Ok(Scratch::None(format!("{name} is there already, and would be overwritten")));
        }
        Ok(found) if !found.is_file() => return Ok(Scratch::None("it is neither a file nor a volume".into())),
        Ok(_) => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    in_directory(directory, name, most)
}

fn in_directory(directory: &Path, name: &str, most: u64) -> Result<Scratch> {
    let failed = |e: nix::errno::Errno| guards::cannot_open_file(name, &e.into());
    let system = statvfs(directory).map_err(failed)?;
    #[allow(clippy::useless_conversion, reason = "their types are the platform's")]
    let free = u64::from(system.blocks_available()).saturating_mul(u64::from(system.fragment_size()));
    let shown = directory.display();
    let Some(room) = room(free, most) else {
        return Ok(Scratch::None(format!("{shown} has only {} free", ByteSize(free))));
    };
    let target = Arc::new(FileTarget::unnamed(directory, name)?);
    Ok(Scratch::Ready(Box::new(ScratchTarget {
        target,
        room,
        what: format!("a scratch file in {shown}"),
        notices: Vec::new(),
        _held: HeldForTarget::default(),
        created: None,
    })))
}

fn beside_lv(lvm: &Lvm, volume: &LogicalVolume, most: u64, stop: &Stop) -> Result<Scratch> {
    match &volume.pool {
        _ if volume.is_thin_pool() => in_pool(lvm, &volume.vg, &volume.name, most, stop),
        Some(pool) if volume.is_thin() => in_pool(lvm, &volume.vg, pool, most, stop),
        _ => Ok(Scratch::None(format!("{} is there already, and would be overwritten", volume.full_name()))),
    }
}

/// A temporary thin volume: on record before it is made, and marked in LVM too.
fn in_pool(lvm: &Lvm, vg: &str, pool: &str, most: u64, stop: &Stop) -> Result<Scratch> {
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
    let Some(room) = room(free, most) else {
        notices.extend(created.abandon());
        let why = format!("pool {vg}/{pool} has only {} free", ByteSize(free));
        return Ok(Scratch::None([vec![why], notices].concat().join("; ")));
    };
    let OpenTarget { target, held, notices: more, .. } =
        open_device(&path, &created.volume().full_name(), Expected::default(), stop)?;
    notices.extend(more);
    let what = format!("a temporary thin volume in {vg}/{pool}");
    Ok(Scratch::Ready(Box::new(ScratchTarget { target, room, what, notices, _held: held, created: Some(created) })))
}

/// A tenth of what is free, if that is enough to tell anything.
fn room(free: u64, most: u64) -> Option<u64> {
    Some((free / 10).min(most)).filter(|room| *room >= LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn ready(name: &Path) -> ScratchTarget {
        match scratch_for(name.as_os_str(), 16 << 20, &Stop::new()).expect("a place") {
            Scratch::Ready(ready) => *ready,
            Scratch::None(why) => panic!("not measured: {why}"),
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
        let error = scratch_for(directory.path().as_os_str(), 1 << 30, &Stop::new()).err().expect("a directory");
        assert!(error.to_string().contains("it is a directory"), "{error}");
        let missing = directory.path().join("no/such/file");
        assert!(scratch_for(missing.as_os_str(), 1 << 30, &Stop::new()).is_err());
        for (name, why) in [("-", "a pipe"), ("/dev/null", "neither a file nor a volume")] {
            match scratch_for(name.as_ref(), 1 << 30, &Stop::new()) {
                Ok(Scratch::None(told)) => assert!(told.contains(why), "{told}"),
                other => panic!("{name}: {:?}", other.err()),
            }
        }
        assert_eq!((room(1 << 30, 1 << 40), room(1 << 20, 1 << 40)), (Some((1 << 30) / 10), None));
    }
}
