//! The journal's file: found, locked, read, removed.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};

use super::about::{About, LONGEST, MAGIC, NoHeader};
use super::held::{Held, Records};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::volume::JournalPlace;
use crate::volume::own_name::{OwnName, is_at, sync_directory_of};

/// An open journal, locked against other runs until it and its clones are closed.
pub(super) struct JournalFile {
    pub(super) file: File,
    pub(super) place: JournalPlace,
}

/// A journal that is believed.
pub(super) struct Found {
    pub(super) journal: JournalFile,
    pub(super) about: About,
    pub(super) held: Held,
    /// How many records.
    pub(super) count: u64,
    /// Where the next one goes.
    pub(super) end: u64,
}

impl JournalFile {
    /// Makes the file, or takes the one of an earlier run and empties it; both are on stable storage then.
    ///
    /// # Errors
    /// A guard's, when another run has it, or it is no journal; else the system's.
    pub(super) fn create(place: &JournalPlace) -> Result<Self> {
        place.make_directory()?;
        let own = own_name(place);
        let mut file = own.open()?;
        let length = own.claim(&file)?;
        let journal = |file| JournalFile { file, place: place.clone() };
        let mut begin = Vec::new();
        let read = Read::by_ref(&mut file).take(MAGIC.len() as u64).read_to_end(&mut begin);
        read.map_err(|e| failed(place, "cannot read journal", &e))?;
        if length > 0 && !MAGIC.starts_with(&begin) {
            return Err(own.refused("it is not a journal"));
        }
        file.set_len(0).map_err(|e| failed(place, "cannot write journal", &e))?;
        // Of a new file, and of the target's own if that lies there too.
        sync_directory_of(place.path()).map_err(|e| failed(place, "cannot write journal", &e))?;
        Ok(journal(file))
    }

    /// What the journal that lies there is about, if something may be recorded in it. It is not locked, nor are its
    /// records read: which of them are believed, [`JournalFile::find`] says.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn about(place: &JournalPlace) -> Result<Option<About>> {
        let Some(file) = own_name(place).open_existing()? else { return Ok(None) };
        let cannot_read = |e: io::Error| failed(place, "cannot read journal", &e);
        let mut header = Vec::new();
        Read::by_ref(&mut &file).take(LONGEST as u64).read_to_end(&mut header).map_err(cannot_read)?;
        let Ok((about, begin)) = About::decode(&header) else { return Ok(None) };
        let length = file.metadata().map_err(cannot_read)?.len();
        Ok((about.target == place.identity() && length > begin as u64).then_some(about))
    }

    /// Opens and reads the journal that lies there; `None` where there is none, or none that is believed.
    ///
    /// # Errors
    /// A guard's, when another run has it, or it is no journal, or a newer lvpipe's; else the system's; or what the
    /// run's [`Stop`] was set to.
    pub(super) fn find(place: &JournalPlace, stop: &Stop) -> Result<Option<Found>> {
        let own = own_name(place);
        let Some(mut file) = own.open_existing()? else { return Ok(None) };
        own.claim(&file)?;
        let cannot_read = |e: io::Error| failed(place, "cannot read journal", &e);
        let mut header = Vec::new();
        Read::by_ref(&mut file).take(LONGEST as u64).read_to_end(&mut header).map_err(cannot_read)?;
        let (about, begin) = match About::decode(&header) {
            Ok(decoded) => decoded,
            Err(NoHeader::Damaged) => return Ok(None),
            Err(NoHeader::Foreign) => return Err(own.refused("it is not a journal")),
            Err(NoHeader::Newer(version)) => {
                let why = format!("it is of version {version}: this lvpipe is older than the one that wrote it");
                return Err(Error::guard("cannot read journal", place.path().display(), why)
                    .way_out("go on with that lvpipe, or without --resume begin anew"));
            }
        };
        if about.target != place.identity() {
            return Ok(None);
        }
        let begin = begin as u64;
        file.seek(SeekFrom::Start(begin)).map_err(cannot_read)?;
        let records = Records::read(&file, &about, stop).map_err(cannot_read)??;
        let count = records.count;
        if count == 0 {
            return Ok(None);
        }
        let end = begin + count * super::record::LENGTH as u64;
        let held = Held::new(about.clone(), file.try_clone().map_err(cannot_read)?, begin, records);
        let journal = JournalFile { file, place: place.clone() };
        Ok(Some(Found { journal, about, held, count, end }))
    }

    /// Removes the file: it is not needed any more.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn remove(&self) -> Result<()> {
        let path = self.place.path();
        // Somebody may have moved it and put something else there.
        if !is_at(&self.file, path) {
            return Ok(());
        }
        let removed = fs::remove_file(path).and_then(|()| sync_directory_of(path));
        removed.map_err(|e| failed(&self.place, "cannot remove journal", &e))
    }
}

/// What the bytes of a journal say, whosesoever it is: what it is about, and offset and length of what is held. `None`
/// where they are not a journal's.
pub fn parse(bytes: &[u8]) -> Option<(About, Vec<(u64, u64)>)> {
    let (about, begin) = About::decode(&bytes[..bytes.len().min(LONGEST)]).ok()?;
    // A header torn in its padding has no records.
    let records = bytes.get(begin..).unwrap_or_default();
    let records = Records::read(records, &about, &Stop::new()).ok()?.ok()?;
    Some((about, records.extents()))
}

fn own_name(place: &JournalPlace) -> OwnName<'_> {
    OwnName {
        path: place.path(),
        target: place.name(),
        mode: 0o600,
        way_out: "lvpipe records there what has arrived: move it away, or remove it if nobody needs it",
    }
}

/// A failed operation on a journal.
pub(super) fn failed(place: &JournalPlace, what: &str, error: &io::Error) -> Error {
    Error::io(what, place.path().display(), error)
}
