//! An image file as a source.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use super::{Piece, Source, resident};
use crate::error::{Error, Result, Status};

/// A regular file. It is read past what the page cache holds, without adding to it.
pub struct FileSource {
    file: File,
    name: String,
    size: u64,
    written: Written,
}

/// When a file was last written, and how long it is since: seconds, nanoseconds, bytes. The clock of a file system
/// ticks every few milliseconds; what is written in the very tick of the opening is not told by it.
#[derive(PartialEq, Eq)]
struct Written(i64, i64, u64);

impl Written {
    fn of(file: &Metadata) -> Self {
        Written(file.mtime(), file.mtime_nsec(), file.len())
    }
}

impl FileSource {
    /// Takes an open file; `name` is for messages. To be called before the file's map is read, so that what is
    /// written in between counts as a change.
    ///
    /// # Errors
    /// When its size cannot be had.
    pub fn new(file: File, name: &str) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| Error::io("cannot open source", name, &e))?;
        resident::prepare(&file);
        Ok(FileSource { file, name: name.into(), size: metadata.len(), written: Written::of(&metadata) })
    }

    fn fill(&self, reader: &mut resident::Reader<'_>, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            let at = offset + filled as u64;
            let failed = |why: &io::Error| {
                Error::io("cannot read source", format_args!("{} at offset {at}", self.name), why)
            };
            match reader.read_at(&mut into[filled..], at) {
                Ok(0) => return Err(failed(&io::Error::other("the file has become shorter while it was read"))),
                Ok(length) => filled += length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(&e)),
            }
        }
        Ok(())
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut reader = resident::Reader::until(&self.file, offset + into.len() as u64);
        self.fill(&mut reader, offset, into)
    }

    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        let end = pieces.last().map_or(0, |(offset, into)| offset + into.len() as u64);
        let mut reader = resident::Reader::until(&self.file, end);
        pieces.iter_mut().try_for_each(|(offset, into)| self.fill(&mut reader, *offset, into))
    }

    fn unchanged(&self) -> Result<()> {
        let metadata = self.file.metadata().map_err(|e| Error::io("cannot read source", &self.name, &e))?;
        if Written::of(&metadata) == self.written {
            return Ok(());
        }
        Err(Error::new(Status::Io, "cannot send", &self.name, "it changed while it was sent").way_out(
            "end what writes it, or send a copy or a snapshot of it; with --no-snapshot it is sent as it comes",
        ))
    }
}
