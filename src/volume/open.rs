//! From a name to a volume: what the name stands for, which map it has, and what must be held while it is read.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BlockSource, BlockTarget, Discards, FileSource, FileTarget, Source, StreamTarget, Target};
use super::{guards, identity, stdin_stream};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::usedmap::{self, UsedMap};

/// The name of stdin as a source and of stdout as a target.
const STREAM: &str = "-";

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
    /// A volume in use is read as it is, without a temporary snapshot.
    pub no_snapshot: bool,
}

/// A source that is open, with what it needs.
pub struct OpenSource {
    /// What is read.
    pub what: What,
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

/// Where a stream comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The name as the user gave it.
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
pub fn open_source(name: &str, options: &SourceOptions, stop: &Stop) -> Result<OpenSource> {
    let origin = Origin { name: name.into(), ..Origin::default() };
    if name == STREAM {
        let notices = Vec::new();
        return Ok(OpenSource { what: What::Stream(stdin_stream()?), origin, notices });
    }
    let path = Path::new(name);
    let metadata = fs::metadata(path).map_err(|e| cannot_open_source(name, &e))?;
    let identity = identity::of_source(std::slice::from_ref(&metadata));
    let origin = Origin { identity, ..origin };
    let kind = metadata.file_type();
    let what = if kind.is_block_device() {
        open_device(path, name, options, stop)?
    } else if kind.is_file() {
        open_file(path, name, options, stop)?
    } else if kind.is_dir() {
        return Err(Error::usage("cannot open source", name, "it is a directory")
            .way_out(format!("for files: tar c {name} | lvpipe send - | ... lvpipe recv - | tar x")));
    } else {
        What::Stream(File::open(path).map_err(|e| cannot_open_source(name, &e))?)
    };
    Ok(OpenSource { what, origin, notices: Vec::new() })
}

fn open_file(path: &Path, name: &str, options: &SourceOptions, stop: &Stop) -> Result<What> {
    let file = File::open(path).map_err(|e| cannot_open_source(name, &e))?;
    let for_map = file.try_clone().map_err(|e| cannot_open_source(name, &e))?;
    let source = FileSource::new(file, name)?;
    let map = match &options.map {
        MapChoice::Auto => usedmap::from_sparse_file(&for_map, path, stop)?,
        MapChoice::None => UsedMap::everything(source.size()),
        MapChoice::Metadata { file, device } => saved_map(file, *device, source.size(), stop)?,
    };
    Ok(What::Volume { source: Arc::new(source), map: Arc::new(map) })
}

fn open_device(path: &Path, name: &str, options: &SourceOptions, stop: &Stop) -> Result<What> {
    let source = BlockSource::open(path, name)?;
    let map = match &options.map {
        MapChoice::Auto | MapChoice::None => UsedMap::everything(source.size()),
        MapChoice::Metadata { file, device } => saved_map(file, *device, source.size(), stop)?,
    };
    Ok(What::Volume { source: Arc::new(source), map: Arc::new(map) })
}

/// The map of a thin device from a saved copy of its pool's metadata.
fn saved_map(file: &Path, device: u32, size: u64, stop: &Stop) -> Result<UsedMap> {
    usedmap::from_metadata_file(file, device, Some(size), stop)
}

fn cannot_open_source(name: &str, error: &io::Error) -> Error {
    guards::cannot_open("cannot open source", name, error)
}

/// Opens a target by name. `source` is the identity of the stream's source, where it has one: a target that is just
/// being read is refused.
///
/// # Errors
/// A guard's, before anything is written; or the system's.
pub fn open_target(name: &str, source: Option<&str>, stop: &Stop) -> Result<Arc<dyn Target>> {
    if name == STREAM {
        return Ok(Arc::new(StreamTarget::stdout()?));
    }
    let path = Path::new(name);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Arc::new(FileTarget::open(path, name)?)),
        Err(e) => return Err(guards::cannot_open("cannot open target", name, &e)),
    };
    refuse_own_source(name, source, &metadata)?;
    let kind = metadata.file_type();
    if kind.is_block_device() {
        Ok(Arc::new(BlockTarget::open(path, name, Discards::Unknown, stop)?))
    } else if kind.is_file() {
        Ok(Arc::new(FileTarget::open(path, name)?))
    } else if kind.is_dir() {
        Err(Error::usage("cannot open target", name, "it is a directory")
            .way_out(format!("name the file in it: {}/NAME", name.trim_end_matches('/'))))
    } else {
        let file = fs::OpenOptions::new().write(true).open(path);
        let file = file.map_err(|e| guards::cannot_open("cannot open target", name, &e))?;
        Ok(Arc::new(StreamTarget::new(file, name)))
    }
}

fn refuse_own_source(name: &str, source: Option<&str>, target: &Metadata) -> Result<()> {
    if source.is_some_and(|source| identity::is_being_read(source, target)) {
        return Err(Error::guard("target refused", name, "it is the source that is being sent")
            .way_out("name another target"));
    }
    Ok(())
}
