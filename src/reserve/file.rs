//! The file of one process: a line of JSON for each thing taken, and one for each let go.
//!
//! In: what is held, from any thread of the process, one at a time. Out: lines, each synced before the call
//! returns. Lines are only appended, so a crash can at most leave a torn last line, and that was for a thing not
//! taken yet. When nothing is held the file is emptied, so it stays short however long the process runs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Held;
use super::directory::Directory;
use crate::error::Result;

/// How the files' names end.
pub(super) const SUFFIX: &str = ".held";

/// One line of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// Which of the file's things it is about.
    pub(super) id: u64,
    /// The process that wrote it.
    pub(super) pid: u32,
    /// What is held; without it, the thing has been let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
}

/// This process's own file, locked as long as it lives.
#[derive(Debug)]
pub(super) struct OwnFile {
    file: File,
    path: PathBuf,
    directory: Directory,
    next_id: u64,
    held: BTreeSet<u64>,
}

impl OwnFile {
    /// Makes and locks a new file.
    pub(super) fn create(directory: &Directory) -> Result<Self> {
        loop {
            let name = format!("{}-{:08x}{SUFFIX}", std::process::id(), random());
            let file = directory.open_file(&name)?;
            file.lock().map_err(|why| directory.unusable(&why))?;
            let found = file.metadata().map_err(|why| directory.unusable(&why))?;
            // Before it was locked, another run may have taken the new file for a dead one's and removed it.
            if found.nlink() > 0 && found.len() == 0 {
                let path = directory.path().join(name);
                return Ok(OwnFile { file, path, directory: directory.clone(), next_id: 0, held: BTreeSet::new() });
            }
        }
    }

    /// Records a new thing; returns its id.
    pub(super) fn take(&mut self, held: &Held) -> Result<u64> {
        let id = self.next_id;
        self.update(id, held)?;
        self.next_id += 1;
        Ok(id)
    }

    /// Records more about a thing: the last line about it counts.
    pub(super) fn update(&mut self, id: u64, held: &Held) -> Result<()> {
        self.append(&Line { id, pid: std::process::id(), held: Some(held.clone()) })?;
        self.held.insert(id);
        Ok(())
    }

    /// Records that the thing has been let go.
    pub(super) fn clear(&mut self, id: u64) -> Result<()> {
        self.append(&Line { id, pid: std::process::id(), held: None })?;
        self.held.remove(&id);
        if self.held.is_empty() {
            self.file.set_len(0).map_err(|why| self.directory.unusable(&why))?;
        }
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<()> {
        append(&mut self.file, line).map_err(|why| self.directory.unusable(&why))
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        // With something still held, the file is what tells the next run.
        if self.held.is_empty() {
            // Should that fail, an empty file is left, which the next run removes.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Appends one line and waits until it is on stable storage.
pub(super) fn append(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Keeps two files of one process apart, as when a test opens several registries.
fn random() -> u32 {
    // The name need not be secret, only new: the clock serves where there is no randomness.
    getrandom::u32().unwrap_or_else(|_| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos())
    })
}
