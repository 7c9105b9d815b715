//! Opening what may be a FIFO, or another file that is no volume: fifo(7) lets an open last until somebody opens
//! the other end, and a run that has ended must not wait for that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::Result;
use crate::stop::{Interruptible, Stop};

/// How often a FIFO without a reader is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Opens for reading, and waits for something to read. The inner error is of the file, for the caller to say what
/// it was to be.
///
/// # Errors
/// What ended the run meanwhile.
pub fn open_to_read(path: &Path, stop: &Stop) -> Result<io::Result<File>> {
    // With O_NONBLOCK a FIFO opens without a writer; poll(2) reports its end only after there has been one.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(e) => return Ok(Err(e)),
    };
    Interruptible::new(&file, stop).wait_readable()?;
    Ok(blocking(file))
}

/// Opens for writing, and waits for a reader. The outer error is what ended the run.
pub(super) fn open_to_write(path: &Path, stop: &Stop) -> Result<io::Result<File>> {
    loop {
        stop.check()?;
        match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
            // A FIFO that nobody reads yet. The end of the run is seen by the check above.
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) && is_fifo(path) => {
                let _ = stop.sleep(RETRY);
            }
            Err(e) => return Ok(Err(e)),
            Ok(file) => return Ok(blocking(file)),
        }
    }
}

fn is_fifo(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn blocking(file: File) -> io::Result<File> {
    let flags = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}
