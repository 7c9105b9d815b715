//! What dead processes left: files of the registry that nobody has locked.
//!
//! In: the directory. Out: [`StaleRecord`]s, whose file stays locked until they are dropped, so that of two runs
//! that start together only one cleans up. A file without anything held is removed on the way.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Held;
use super::directory::Directory;
use super::file::{Line, SUFFIX, append};
use crate::error::{Error, Result};

/// The most that is read of one file: a few hundred lines more than any run writes.
const MOST_BYTES: u64 = 1 << 20;

/// One thing that a dead process left behind.
#[derive(Debug)]
pub struct StaleRecord {
    id: u64,
    pid: u32,
    held: Held,
    file: Arc<Mutex<StaleFile>>,
}

#[derive(Debug)]
struct StaleFile {
    file: File,
    path: PathBuf,
    left: usize,
}

impl StaleRecord {
    /// What was held, or was about to be: the process may have died before it took it.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The process that held it, for messages.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The thing has been let go, or is not there any more: strikes it out.
    pub fn clear(self) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line { id: self.id, pid: self.pid, held: None };
        let cleared = append(&mut file.file, &line).and_then(|()| {
            file.left -= 1;
            if file.left == 0 { std::fs::remove_file(&file.path) } else { Ok(()) }
        });
        cleared.map_err(|why| Error::io("cannot clear a reservation", file.path.display(), &why))
    }
}

/// All records of all files that no living process has locked.
pub(super) fn find(directory: &Directory) -> Result<Vec<StaleRecord>> {
    let failed = |why: io::Error| Error::io("cannot read the reservations", directory.path().display(), &why);
    let entries = match std::fs::read_dir(directory.path()) {
        Ok(entries) => entries,
        // Nothing was ever held, or not by this user, who then could not let it go either.
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(Vec::new());
        }
        Err(why) => return Err(failed(why)),
    };
    directory.check_owner(&std::fs::metadata(directory.path()).map_err(failed)?)?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(SUFFIX.as_bytes()) {
            found.extend(read(&path).map_err(|why| Error::io("cannot read a reservation", path.display(), &why))?);
        }
    }
    Ok(found)
}

/// The records of one file; none if its process lives.
fn read(path: &Path) -> io::Result<Vec<StaleRecord>> {
    let file = match OpenOptions::new().read(true).append(true).open(path) {
        Ok(file) => file,
        // Another run has just finished with it.
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Vec::new()),
        Err(TryLockError::Error(why)) => return Err(why),
    }
    let mut text = Vec::new();
    (&file).take(MOST_BYTES).read_to_end(&mut text)?;
    // What is no text does not parse either, and must not keep lvpipe from running.
    let left = still_held(&String::from_utf8_lossy(&text));
    if left.is_empty() {
        std::fs::remove_file(path)?;
        return Ok(Vec::new());
    }
    let file = Arc::new(Mutex::new(StaleFile { file, path: path.to_path_buf(), left: left.len() }));
    let record = |(id, (pid, held))| StaleRecord { id, pid, held, file: file.clone() };
    Ok(left.into_iter().map(record).collect())
}

/// What the lines say is held at their end. A line that does not parse was torn by a crash before its thing was
/// taken.
fn still_held(text: &str) -> BTreeMap<u64, (u32, Held)> {
    let mut held = BTreeMap::new();
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Line { id, pid, held: Some(thing) }) => held.insert(id, (pid, thing)),
            Ok(Line { id, held: None, .. }) => held.remove(&id),
            Err(_) => None,
        };
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_about_a_thing_counts() {
        let lines = concat!(
            r#"{"id":0,"pid":7,"held":{"kind":"metadata-snapshot","pool":"vg-pool-tpool","held_root":null}}"#,
            "\n",
            r#"{"id":0,"pid":7,"held":{"kind":"metadata-snapshot","pool":"vg-pool-tpool","held_root":35}}"#,
            "\n",
            r#"{"id":1,"pid":7,"held":{"kind":"temporary-lv","vg":"vg","lv":"tmp","tag":"lvpipe.lv.1"}}"#,
            "\n",
            r#"{"id":1,"pid":7}"#,
            "\n",
            "\u{fffd}\u{0}\n",
            r#"{"id":2,"pid":7,"held":{"kind":"activ"#,
        );
        let snapshot = Held::MetadataSnapshot { pool: "vg-pool-tpool".into(), held_root: Some(35) };
        assert_eq!(still_held(lines), BTreeMap::from([(0, (7, snapshot))]));
    }
}
