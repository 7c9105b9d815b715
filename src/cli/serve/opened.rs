//! The volumes that are served, opened, with what is held for them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::cli::shared::random_id;
use crate::engine::lineage;
use crate::error::{Error, Result};
use crate::http::serve::{Volume, tag_of_file, tag_of_run, unique};
use crate::http::volume_map::VolumeMap;
use crate::stop::Stop;
use crate::volume::{HeldForSource, OpenSource, Origin, SourceOptions, What, open_source};
use crate::wire::PartSize;

/// All of them.
pub struct Opened {
    pub volumes: Vec<Volume>,
    pub held: AllHeld,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// What is held for all volumes; let go of when dropped. Close the volumes before.
#[derive(Default)]
pub struct AllHeld(Vec<HeldForSource>);

impl Opened {
    /// Opens volumes by name; of one that cannot be opened, those before it are closed again.
    ///
    /// # Errors
    /// A usage error for what can be read only once; those of opening a source.
    pub fn all(names: &[OsString], options: &SourceOptions, part_size: PartSize, stop: &Stop) -> Result<Self> {
        let mut opened = Opened { volumes: Vec::new(), held: AllHeld::default(), notices: Vec::new() };
        let mut found = Vec::new();
        for name in names {
            refuse_stream(name)?;
            let before = file_tag(name, part_size);
            let OpenSource { what, held, origin, notices } = open_source(name, options, stop)?;
            let is_temporary = held.snapshot().is_some();
            opened.held.0.push(held);
            opened.notices.extend(notices);
            let What::Volume { source, map, .. } = what else { return Err(stream(name)) };
            // A tag for longer than this run is of a file that has stood still while it was opened, and with the map
            // that it has itself.
            let is_own = options.map == SourceOptions::default().map && !options.no_snapshot;
            let tag = match before.filter(|tag| is_own && file_tag(name, part_size).as_ref() == Some(tag)) {
                Some(tag) => tag,
                None => tag_of_run(random_id("cannot make an entity tag")?),
            };
            // No delta will be since a snapshot that goes with this run: who pulls it need not keep its state.
            let origin = Origin { state: origin.state.filter(|_| !is_temporary), ..origin };
            found.push((origin, tag, source, map));
        }
        let given: Vec<&str> = found.iter().map(|(origin, ..)| origin.name.as_str()).collect();
        let names = unique(&given);
        for (name, (origin, etag, source, map)) in names.into_iter().zip(found) {
            let about = VolumeMap { volume: name, etag, part_size, lineage: lineage(origin), map };
            opened.volumes.push(Volume::new(about, source, options.no_snapshot)?);
        }
        Ok(opened)
    }
}

impl AllHeld {
    /// Lets go after a run that went well; notices for what somebody else uses by now.
    ///
    /// # Errors
    /// LVM's words for the first that failed; what is left is on record for the next run.
    pub fn release(self) -> Result<Vec<String>> {
        let released: Vec<_> = self.0.into_iter().map(HeldForSource::release).collect();
        let notices: Result<Vec<_>> = released.into_iter().collect();
        Ok(notices?.into_iter().flatten().collect())
    }

    /// Lets go after a run that failed; a notice for each thing that is left to the next run.
    pub fn abandon(self) -> Vec<String> {
        self.0.into_iter().flat_map(HeldForSource::abandon).collect()
    }
}

/// The tag of a regular file as it is now.
fn file_tag(name: &OsStr, part_size: PartSize) -> Option<String> {
    let metadata = fs::metadata(name).ok().filter(fs::Metadata::is_file)?;
    Some(tag_of_file(&metadata, part_size))
}

/// A FIFO would wait for its writer, and could then be read once.
fn refuse_stream(name: &OsStr) -> Result<()> {
    let is_fifo = || fs::metadata(Path::new(name)).is_ok_and(|metadata| metadata.file_type().is_fifo());
    if name == "-" || is_fifo() { Err(stream(name)) } else { Ok(()) }
}

fn stream(name: &OsStr) -> Error {
    Error::usage("cannot serve", name.to_string_lossy(), "a stream can be read only once, and in order")
        .way_out("write it to a file and serve that; or lvpipe send - -O HOST:PORT")
}
