//! The volume that is measured: opened before anything else, read when its turn has come, and let go of.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::Duration;

use super::destination::has_scheme;
use crate::cli::shared::left_behind;
use crate::engine::trial::Sample;
use crate::error::{Error, Result};
use crate::measure::figures::{Transfer, Volume};
use crate::measure::machine::Measuring;
use crate::stop::Stop;
use crate::usedmap::UsedMap;
use crate::volume::{Expected, HeldForSource, MapChoice, OpenSource, Source, SourceOptions, What, open_source};

/// A source with its map.
pub(super) struct Opened {
    /// What is known of it.
    pub(super) volume: Volume,
    identity: Option<String>,
    source: Arc<dyn Source>,
    map: Arc<UsedMap>,
    // What is held goes after the source is closed.
    held: HeldForSource,
}

/// Refuses what has no map, before it is opened: a pipe would wait for its writer.
///
/// # Errors
/// A usage error.
pub(super) fn refuse_what_is_no_volume(name: &OsStr) -> Result<()> {
    let text = name.to_string_lossy();
    let refused = |why| {
        Err(Error::usage("cannot measure", &text, why)
            .way_out("name an image, a device or vg/lv; without a source the data are generated"))
    };
    let kind = fs::metadata(name).map(|found| found.file_type());
    match kind {
        _ if name == "-" => refused("a stream can be read only once"),
        Err(_) if has_scheme(&text) => refused("the source has to be on this machine"),
        Ok(kind) if kind.is_char_device() => refused("it is a character device, which is a stream and no volume"),
        Ok(kind) if kind.is_fifo() => refused("it is a pipe, which can be read only once"),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Opened {
    /// Opens it and reads its map; what the user should know.
    ///
    /// # Errors
    /// As [`open_source`].
    pub(super) fn open(name: &OsStr, map: MapChoice, stop: &Stop) -> Result<(Self, Vec<String>)> {
        // A sample need not be of one moment: no snapshot is taken.
        let options = SourceOptions { only_map: true, map, ..SourceOptions::default() };
        let OpenSource { held, what, origin, notices } = open_source(name, &options, stop)?;
        let What::Volume { source, map, .. } = what else {
            return Err(Error::usage("cannot measure", origin.name, "a stream can be read only once"));
        };
        let volume = Volume {
            name: origin.name,
            size: map.size(),
            used: map.used_bytes(),
            extents: map.extents().len() as u64,
        };
        Ok((Opened { volume, identity: origin.identity, source, map, held }, notices))
    }

    /// What a target has to be fit for.
    pub(super) fn expected(&self) -> Expected<'_> {
        Expected {
            source: self.identity.as_deref(),
            size: Some(self.volume.size),
            used: Some(self.volume.used),
            ..Expected::default()
        }
    }

    /// Reads it for so long and lets go of it; a notice for what somebody else uses by now.
    ///
    /// # Errors
    /// What cannot be read; what ended the run; LVM's words.
    pub(super) fn read(
        self,
        measuring: &Measuring<'_>,
        time: Duration,
    ) -> Result<(Option<Transfer>, Sample, Option<String>)> {
        let Opened { source, map, held, .. } = self;
        let read = measuring.source(&*source, &map, time);
        drop((source, map));
        match read {
            Ok((moved, sample)) => Ok((moved, sample, held.release()?)),
            Err(error) => {
                left_behind(&held.abandon());
                Err(error)
            }
        }
    }
}
