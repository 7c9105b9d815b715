//! An image file as a source.

use std::fs::File;
use std::io;

use super::{Source, resident};
use crate::error::{Error, Result};

/// A regular file. It is read past what the page cache holds, without adding to it.
pub struct FileSource {
    file: File,
    name: String,
    size: u64,
}

impl FileSource {
    /// Takes an open file; `name` is for messages.
    ///
    /// # Errors
    /// When its size cannot be had.
    pub fn new(file: File, name: &str) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| Error::io("cannot open source", name, &e))?;
        resident::prepare(&file);
        Ok(FileSource { file, name: name.into(), size: metadata.len() })
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            let at = offset + filled as u64;
            let failed = |why: &io::Error| {
                Error::io("cannot read source", format_args!("{} at offset {at}", self.name), why)
            };
            match resident::read_at(&self.file, &mut into[filled..], at) {
                Ok(0) => return Err(failed(&io::Error::other("the file has become shorter while it was read"))),
                Ok(length) => filled += length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(&e)),
            }
        }
        Ok(())
    }
}
