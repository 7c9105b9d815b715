//! From a name to a source: what the name stands for, which map it has, and what is held while it is read.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lvm::{Activation, LogicalVolume, Lvm, TemporarySnapshot, cleanup_stale};
use super::source_maps::{self, Base, Maps};
use super::{BlockSource, FileSource, STREAM, Source, State, fifo, guards, identity, stdin_stream};
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{Dmsetup, release_left_behind};
use crate::usedmap::{self, UsedMap};

/// Where a source's used map is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MapChoice {
    /// dm-thin's metadata for a thin LV, SEEK_DATA for a file, nothing for others.
    #[default]
    Auto,
    /// Nothing is known: all of the volume is read, zeros are found while reading.
    None,
    /// A saved copy of a pool's metadata, and the device's id in it.
    Metadata {
        /// The copy.
        file: PathBuf,
        /// The thin device's id.
        device: u32,
    },
}

/// What a source is compared with, so that only what changed is of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// A thin LV in the same pool, by name.
    Volume(OsString),
    /// A device in the saved copy of the metadata that the map is taken from, by its id.
    Device(u32),
}

/// How a source is opened.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    /// The base, if only what changed since it is wanted.
    pub since: Option<Since>,
    /// Where its map is taken from.
    pub map: MapChoice,
    /// A thin LV is read as it is, without a temporary snapshot; a file that changes meanwhile too.
    pub no_snapshot: bool,
    /// Nothing but the map is wanted. The pool's metadata snapshot makes that consistent, so the volume itself need
    /// not stand still.
    pub only_map: bool,
}

/// A source that is open, with what it needs. The parts are dropped in this order: what is held goes after the
/// source is closed.
pub struct OpenSource {
    /// What is read.
    pub what: What,
    /// What is held while it is read.
    pub held: HeldForSource,
    /// What is known of it, for the stream's lineage.
    pub origin: Origin,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// What a source is.
pub enum What {
    /// Stdin, or a FIFO.
    Stream(File),
    /// A volume with its map.
    Volume {
        /// Where the bytes are.
        source: Arc<dyn Source>,
        /// Which of them are data; with a base, which of them were written since.
        map: Arc<UsedMap>,
        /// With a base, what was discarded since. What is in neither map is the same.
        discarded: Option<Arc<UsedMap>>,
    },
}

/// What is held outside the process while a source is read; let go of when dropped. Close the source before.
#[derive(Debug, Default)]
pub struct HeldForSource {
    snapshot: Option<TemporarySnapshot>,
    activation: Option<Activation>,
}

impl HeldForSource {
    /// The temporary snapshot that is read, if there is one. While it is held a later delta can have it as its base.
    pub fn snapshot(&self) -> Option<&LogicalVolume> {
        self.snapshot.as_ref().map(TemporarySnapshot::volume)
    }

    /// Lets go after a run that went well; a notice for what somebody else uses by now.
    ///
    /// # Errors
    /// LVM's words; what is left is on record for the next run.
    pub fn release(self) -> Result<Option<String>> {
        self.snapshot.map_or(Ok(()), TemporarySnapshot::remove)?;
        self.activation.map_or(Ok(None), Activation::end)
    }

    /// Lets go after a run that failed; a notice for each thing that is left to the next run.
    pub fn abandon(self) -> Vec<String> {
        let snapshot = self.snapshot.and_then(TemporarySnapshot::abandon);
        snapshot.into_iter().chain(self.activation.and_then(Activation::abandon)).collect()
    }
}

/// Where a stream comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The name as the user gave it, or `vg/lv`.
    pub name: String,
    /// The LV's UUID.
    pub uuid: Option<String>,
    /// See [`identity`].
    pub identity: Option<String>,
    /// The state of the volume that is read, if a later delta can have it as its base: a snapshot's.
    pub state: Option<State>,
    /// With a base, its state, if it still is as it was when it was taken.
    pub base: Option<State>,
}

/// Opens a source by name: `-`, a path, or `vg/lv`.
///
/// # Errors
/// A usage error for what is no volume; a guard's; or the system's.
pub fn open_source(name: &OsStr, options: &SourceOptions, stop: &Stop) -> Result<OpenSource> {
    if name == STREAM {
        let stream = stdin_stream()?;
        // A pipe or a socket may rightly be both ends of a process; a file is not.
        let file = stream.metadata().ok().filter(Metadata::is_file);
        return Ok(plain(What::Stream(stream), STREAM, file.as_ref()));
    }
    let lvm = Lvm::default();
    // LVM's names are ASCII; a file's may be anything.
    if let Some(name) = name.to_str()
        && let Some(volume) = lvm.resolve(name)?
    {
        return open_lv(&lvm, &volume, options, stop);
    }
    let path = Path::new(name);
    let name = &*name.to_string_lossy();
    let metadata = fs::metadata(path).map_err(|e| cannot_open(name, &e))?;
    let kind = metadata.file_type();
    let mut notices = Vec::from_iter(guards::who_writes(&metadata).map(|who| in_use(name, &who, kind, options)));
    let what = if kind.is_block_device() {
        let (what, seen) = open_device(path, name, options, None, stop)?;
        notices.extend(seen.notices);
        what
    } else if kind.is_file() {
        open_file(path, name, options, stop)?
    } else if kind.is_dir() {
        return Err(Error::usage("cannot open source", name, "it is a directory")
            .way_out(format!("for files: tar c {name} | lvpipe send - | ... lvpipe recv - | tar x")));
    } else {
        What::Stream(fifo::open_to_read(path, stop)?.map_err(|e| cannot_open(name, &e))?)
    };
    Ok(OpenSource { notices, ..plain(what, name, Some(&metadata)) })
}

fn plain(what: What, name: &str, metadata: Option<&Metadata>) -> OpenSource {
    let identity = metadata.and_then(|metadata| identity::of_source(std::slice::from_ref(metadata)));
    let origin = Origin { name: name.into(), identity, ..Origin::default() };
    OpenSource { what, held: HeldForSource::default(), origin, notices: Vec::new() }
}

fn open_file(path: &Path, name: &str, options: &SourceOptions, stop: &Stop) -> Result<What> {
    let file = File::open(path).map_err(|e| cannot_open(name, &e))?;
    let for_map = file.try_clone().map_err(|e| cannot_open(name, &e))?;
    let source = FileSource::new(file, name)?;
    let maps = match &options.map {
        MapChoice::Metadata { file, device } => {
            source_maps::saved(file, *device, options.since.as_ref(), source.size(), stop)?
        }
        _ if options.since.is_some() => return Err(nothing_tells(name)),
        MapChoice::Auto => usedmap::from_sparse_file(&for_map, path, stop)?.into(),
        MapChoice::None => UsedMap::everything(source.size()).into(),
    };
    Ok(volume(source, maps).0)
}

/// A source with its maps, and what was seen of it besides.
fn volume(source: impl Source + 'static, maps: Maps) -> (What, Seen) {
    let Maps { map, discarded, untouched, base_untouched, notices } = maps;
    let what = What::Volume { source: Arc::new(source), map: Arc::new(map), discarded: discarded.map(Arc::new) };
    (what, Seen { untouched, base_untouched, notices })
}

/// What was seen when a device's map was read.
struct Seen {
    untouched: Option<u64>,
    base_untouched: Option<u64>,
    notices: Vec<String>,
}

fn nothing_tells(name: &str) -> Error {
    Error::usage("cannot tell what changed", name, "it is no thin volume, so nothing tells what was written to it")
}

fn cannot_open(name: &str, error: &io::Error) -> Error {
    Error::io("cannot open source", name, error)
}

/// Opens a device as it is, with what changed since `base` if there is one.
fn open_device(
    path: &Path,
    name: &str,
    options: &SourceOptions,
    base: Option<&Base>,
    stop: &Stop,
) -> Result<(What, Seen)> {
    let source = BlockSource::open(path, name)?;
    let maps = match &options.map {
        MapChoice::Metadata { file, device } => {
            source_maps::saved(file, *device, options.since.as_ref(), source.size(), stop)?
        }
        _ if options.since.is_some() && base.is_none() => return Err(nothing_tells(name)),
        MapChoice::None if base.is_some() => {
            return Err(Error::usage("cannot tell what changed", "--map none", "the pool's metadata tells that"));
        }
        MapChoice::None => UsedMap::everything(source.size()).into(),
        MapChoice::Auto => source_maps::of_device(path, source.size(), base, stop)?,
    };
    Ok(volume(source, maps))
}

/// Opens an LV: a thin one by way of a temporary snapshot, another as it is, made active where it is not.
///
/// The snapshot is taken whether or not the LV is in use right now: nothing keeps a virtual machine from being started
/// on it while it is read. A snapshot of an LV that is not active leaves it so.
fn open_lv(lvm: &Lvm, volume: &LogicalVolume, options: &SourceOptions, stop: &Stop) -> Result<OpenSource> {
    let name = volume.full_name();
    if volume.is_thin_pool() {
        return Err(Error::usage("cannot send", &name, "it is a thin pool, not a volume in it")
            .way_out(format!("lvs {} lists the volumes", volume.vg)));
    }
    let base = match &options.since {
        Some(Since::Volume(base)) => Some(source_maps::base_of(lvm, volume, base)?),
        _ => None,
    };
    let reservations = Reservations::open();
    let mut notices = clean_up(lvm, &reservations, stop)?;
    let mut held = HeldForSource::default();
    let mut path = volume.path.clone();
    let mut read_volume = volume.clone();
    let can_change = !volume.is_read_only() && !options.only_map;
    if can_change && volume.is_active() && volume.is_thin() && !options.no_snapshot {
        let snapshot = held.snapshot.insert(TemporarySnapshot::take(lvm, volume, &reservations)?);
        read_volume = snapshot.volume().clone();
        path.clone_from(&read_volume.path);
    } else if !volume.is_active() {
        held.activation = Activation::of(lvm, volume, &reservations)?;
    } else if can_change && volume.is_open() {
        let way_out = if volume.is_thin() { "without --no-snapshot it is sent from a snapshot" } else { SNAPSHOT };
        notices
            .push(format!("{name} is in use: what is written to it now arrives in part or not at all; {way_out}"));
    }
    // The volume itself counts as being read, also while its snapshot is.
    let read: Vec<Metadata> =
        [&volume.path, &path].into_iter().filter_map(|path| fs::metadata(path).ok()).collect();
    let base = base.map(|base| Base { volume: base, new_was_made_read_only: read_volume.was_made_read_only() });
    let (what, seen) = open_device(&path, &name, options, base.as_ref(), stop)?;
    base.as_ref().map_or(Ok(()), |base| source_maps::check_base(lvm, &base.volume))?;
    notices.extend(seen.notices);
    let origin = Origin {
        name: name.clone(),
        uuid: Some(volume.uuid.clone()),
        identity: identity::of_source(&read),
        state: seen.untouched.and_then(|mapped| state(&read_volume, mapped)),
        base: base.and_then(|base| state(&base.volume, seen.base_untouched?)),
    };
    Ok(OpenSource { what, held, origin, notices })
}

/// What the user should know of a file or a plain device that is being written.
fn in_use(name: &str, who: &str, kind: FileType, options: &SourceOptions) -> String {
    if kind.is_file() && !options.no_snapshot {
        return format!("{name} is in use: {who}: if it changes while it is sent, the transfer fails");
    }
    format!("{name} is in use: {who}: what is written to it now arrives in part or not at all; {SNAPSHOT}")
}

const SNAPSHOT: &str = "take a snapshot of it and send that";

/// The name of a state of a thin volume that has so many chunks mapped.
pub(super) fn state(volume: &LogicalVolume, mapped: u64) -> Option<State> {
    format!("{}:{mapped}", volume.uuid).parse().ok()
}

/// Undoes what lvpipes that were killed have left.
pub(super) fn clean_up(lvm: &Lvm, reservations: &Reservations, stop: &Stop) -> Result<Vec<String>> {
    let mut notices = release_left_behind(&Dmsetup::default(), reservations, stop)?;
    notices.extend(cleanup_stale(lvm, reservations, true)?);
    Ok(notices)
}
