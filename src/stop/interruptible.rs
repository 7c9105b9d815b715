//! Reading and writing that end with the run.
//!
//! A read from a pipe whose writer is silent, or a write to one whose reader is, may last for ever. Threads of the
//! engine that are in one are left alone when the run ends; the main thread must come back from it. So it asks
//! poll(2) before each call, a few times a second also the [`Stop`], and makes only calls that will not block.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, poll};

use super::Stop;
use crate::error::Result;

/// How long a run that has ended may go unnoticed, in milliseconds.
const NOTICE: u16 = 100;

/// A file that is read, or written, by the main thread. Reads give what is there, and an error once the run has
/// ended; whoever ends the run has said why, so that the error's words are not seen.
pub struct Interruptible<'a> {
    file: &'a File,
    stop: &'a Stop,
}

impl<'a> Interruptible<'a> {
    /// `file` is left as it is; what is read through this is not buffered.
    pub fn new(file: &'a File, stop: &'a Stop) -> Self {
        Interruptible { file, stop }
    }

    /// Waits until there is something to read, or the end of it.
    ///
    /// # Errors
    /// What ended the run.
    pub fn wait_readable(&self) -> Result<()> {
        self.wait(PollFlags::POLLIN)
    }

    fn wait(&self, event: PollFlags) -> Result<()> {
        loop {
            self.stop.check()?;
            match poll(&mut [PollFd::new(self.file.as_fd(), event)], NOTICE) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                // Ready, closed by the other side, or something that cannot be polled: the call itself tells.
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }
}

impl Read for Interruptible<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.wait_readable().map_err(io::Error::other)?;
        self.file.read(into)
    }
}

impl Write for Interruptible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::POLLOUT).map_err(io::Error::other)?;
        // pipe(7): a pipe that polls as writable takes so many bytes without blocking.
        self.file.write(&bytes[..bytes.len().min(libc::PIPE_BUF)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::time::Duration;

    fn pipe() -> (File, File) {
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        (File::from(read), File::from(write))
    }

    #[test]
    fn a_silent_pipe_is_left_when_the_run_ends() {
        let ((read, write), stop) = (pipe(), Stop::new());
        let ends = stop.clone();
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            ends.fail(Error::signal(2));
        });
        assert!(Interruptible::new(&read, &stop).read(&mut [0; 8]).is_err());
        // Far more than a pipe holds, and nobody reads.
        assert!(Interruptible::new(&write, &stop).write_all(&vec![0; 4 << 20]).is_err());
        ending.join().expect("no panic");
    }

    #[test]
    fn what_is_written_is_read_and_the_end_is_seen() {
        let ((read, write), stop) = (pipe(), Stop::new());
        Interruptible::new(&write, &stop).write_all(&[7; 9000]).expect("a pipe holds more");
        drop(write);
        let mut bytes = Vec::new();
        Interruptible::new(&read, &stop).read_to_end(&mut bytes).expect("it ends");
        assert_eq!(bytes, [7; 9000]);
    }
}
