//! From a name to a source: what the name stands for, which map it has, and what is held while it is read.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lvm::{Activation, LogicalVolume, Lvm, TemporarySnapshot, cleanup_stale};
use super::{BlockSource, FileSource, STREAM, Source, fifo, guards, identity, stdin_stream};
use crate::error::{Error, Result};
use crate::reserve::Reservations;
use crate::stop::Stop;
use crate::thin::{Dmsetup, ThinVolume, release_left_behind};
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

/// How a source is opened.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    /// Where its map is taken from.
    pub map: MapChoice,
    /// A volume in use is read as it is, without a temporary snapshot; a file that changes meanwhile too.
    pub no_snapshot: bool,
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
        /// Which of them are data.
        map: Arc<UsedMap>,
    },
}

/// What is held outside the process while a source is read; let go of when dropped. Close the source before.
#[derive(Debug, Default)]
pub struct HeldForSource {
    snapshot: Option<TemporarySnapshot>,
    activation: Option<Activation>,
}

impl HeldForSource {
    /// Lets go, and says when that fails.
    ///
    /// # Errors
    /// LVM's words; what is left is on record for the next run.
    pub fn release(self) -> Result<()> {
        self.snapshot.map_or(Ok(()), TemporarySnapshot::remove)?;
        self.activation.map_or(Ok(()), Activation::end)
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
        open_device(path, name, options, stop, &mut notices)?
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
    let origin = Origin { name: name.into(), uuid: None, identity };
    OpenSource { what, held: HeldForSource::default(), origin, notices: Vec::new() }
}

fn open_file(path: &Path, name: &str, options: &SourceOptions, stop: &Stop) -> Result<What> {
    let file = File::open(path).map_err(|e| cannot_open(name, &e))?;
    let for_map = file.try_clone().map_err(|e| cannot_open(name, &e))?;
    let source = FileSource::new(file, name)?;
    let map = match &options.map {
        MapChoice::Auto => usedmap::from_sparse_file(&for_map, path, stop)?,
        MapChoice::None => UsedMap::everything(source.size()),
        MapChoice::Metadata { file, device } => saved_map(file, *device, source.size(), stop)?,
    };
    Ok(What::Volume { source: Arc::new(source), map: Arc::new(map) })
}

/// The map of a thin device from a saved copy of its pool's metadata.
fn saved_map(file: &Path, device: u32, size: u64, stop: &Stop) -> Result<UsedMap> {
    usedmap::from_metadata_file(file, device, Some(size), stop)
}

fn cannot_open(name: &str, error: &io::Error) -> Error {
    Error::io("cannot open source", name, error)
}

/// Opens a device as it is. `notices` takes what the user should know of its map.
fn open_device(
    path: &Path,
    name: &str,
    options: &SourceOptions,
    stop: &Stop,
    notices: &mut Vec<String>,
) -> Result<What> {
    let source = BlockSource::open(path, name)?;
    let map = match &options.map {
        MapChoice::None => UsedMap::everything(source.size()),
        MapChoice::Metadata { file, device } => saved_map(file, *device, source.size(), stop)?,
        MapChoice::Auto => match ThinVolume::at(path, &Dmsetup::default())? {
            None => UsedMap::everything(source.size()),
            Some(thin) => {
                let found = usedmap::from_thin_device(&thin, &Reservations::open(), stop)?;
                notices.extend(found.notices);
                found.map
            }
        },
    };
    Ok(What::Volume { source: Arc::new(source), map: Arc::new(map) })
}

/// Opens an LV: one that is not active is made active, a thin one that is in use is read from a snapshot.
fn open_lv(lvm: &Lvm, volume: &LogicalVolume, options: &SourceOptions, stop: &Stop) -> Result<OpenSource> {
    let name = volume.full_name();
    if volume.is_thin_pool() {
        return Err(Error::usage("cannot send", &name, "it is a thin pool, not a volume in it")
            .way_out(format!("lvs {} lists the volumes", volume.vg)));
    }
    let reservations = Reservations::open();
    let mut notices = clean_up(lvm, &reservations, stop)?;
    let mut held = HeldForSource::default();
    let mut path = volume.path.clone();
    if !volume.is_active() {
        held.activation = Activation::of(lvm, volume, &reservations)?;
    } else if volume.is_open() && volume.is_thin() && !options.no_snapshot {
        let snapshot = held.snapshot.insert(TemporarySnapshot::take(lvm, volume, &reservations)?);
        path.clone_from(&snapshot.volume().path);
    } else if volume.is_open() {
        let way_out = if volume.is_thin() { "without --no-snapshot it is sent from a snapshot" } else { SNAPSHOT };
        notices
            .push(format!("{name} is in use: what is written to it now arrives in part or not at all; {way_out}"));
    }
    // The volume itself counts as being read, also while its snapshot is.
    let read: Vec<Metadata> =
        [&volume.path, &path].into_iter().filter_map(|path| fs::metadata(path).ok()).collect();
    let origin =
        Origin { name: name.clone(), uuid: Some(volume.uuid.clone()), identity: identity::of_source(&read) };
    let what = open_device(&path, &name, options, stop, &mut notices)?;
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

/// Undoes what lvpipes that were killed have left.
pub(super) fn clean_up(lvm: &Lvm, reservations: &Reservations, stop: &Stop) -> Result<Vec<String>> {
    let mut notices = release_left_behind(&Dmsetup::default(), reservations, stop)?;
    notices.extend(cleanup_stale(lvm, reservations, true)?);
    Ok(notices)
}
