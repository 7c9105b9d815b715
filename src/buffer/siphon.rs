//! Reading from a pipe without standing in its writer's way.
//!
//! A `read` holds the pipe's lock while it copies, and so does each `write`: a producer that writes little at a time
//! spends half of its time spinning on that lock. A siphon holds it for moments only. It lets a pipe of its own refer
//! to the same pages (tee(2)), copies from there, and then takes the pages out of the producer's pipe, unseen
//! (splice(2)). Only a copy is kept, and it is complete before the producer's pipe becomes empty: a page that the
//! producer lent is its own again no earlier than after a `read`.
//!
//! On the reader's thread. It costs the two pipes: as many bytes of pages as they are wide, while a read lasts.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice, tee};

use super::descriptor;

/// Two pipes of its own, both empty between two reads.
#[derive(Debug)]
pub struct Siphon {
    copied: Ends,
    removed: Ends,
    nowhere: File,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Ends {
    fn new() -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        descriptor::widen_pipe(write.as_fd());
        Ok(Ends { read, write })
    }
}

impl Siphon {
    /// With pipes as wide as the system allows; an error where it has none to give.
    pub fn new() -> io::Result<Self> {
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Siphon { copied: Ends::new()?, removed: Ends::new()?, nowhere })
    }

    /// As [`descriptor::read`], from a pipe. `None`: nothing was read, and a plain `read` knows more: the end, an
    /// error, or an input that is no pipe.
    pub fn read(&self, input: BorrowedFd<'_>, space: &mut [u8]) -> Option<Result<usize, Errno>> {
        let bytes = match tee(input, &self.copied.write, space.len(), SpliceFFlags::empty()) {
            Ok(bytes) if bytes > 0 => bytes,
            _ => return None,
        };
        let mut copied = 0;
        while copied < bytes {
            match descriptor::read(self.copied.read.as_fd(), &mut space[copied..bytes]) {
                Ok(0) => return Some(Err(Errno::EIO)),
                Ok(more) => copied += more,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(self.remove(input, bytes).map(|()| bytes))
    }

    /// Takes so many bytes out of the input.
    ///
    /// By way of a pipe of its own: freeing the pages takes longer than moving them, and is done without the
    /// producer's lock.
    fn remove(&self, input: BorrowedFd<'_>, bytes: usize) -> Result<(), Errno> {
        let mut left = bytes;
        while left > 0 {
            // It waits for nothing: the bytes are there, unless somebody else reads the same pipe.
            match splice(input, None, &self.removed.write, None, left, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(0) | Err(Errno::EAGAIN) => return Ok(()),
                Ok(moved) => {
                    left -= moved;
                    self.free(moved)?;
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn free(&self, bytes: usize) -> Result<(), Errno> {
        let mut left = bytes;
        while left > 0 {
            match splice(&self.removed.read, None, &self.nowhere, None, left, SpliceFFlags::empty()) {
                Ok(0) => return Err(Errno::EIO),
                Ok(freed) => left -= freed,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_reads_as_read_does_and_leaves_the_end_to_it() {
        let (source, mut producer) = io::pipe().expect("a pipe");
        let siphon = Siphon::new().expect("pipes");
        let sent: Vec<u8> = (0..50_000u32).map(|n| (n % 251) as u8).collect();
        producer.write_all(&sent[..20_000]).expect("it fits");
        producer.write_all(&sent[20_000..]).expect("it fits");
        drop(producer);
        let mut got = Vec::new();
        let mut space = [0; 7777];
        while let Some(bytes) = siphon.read(source.as_fd(), &mut space) {
            got.extend_from_slice(&space[..bytes.expect("data")]);
        }
        assert!(got == sent, "{} bytes", got.len());
        assert_eq!(descriptor::read(source.as_fd(), &mut space), Ok(0));
    }

    #[test]
    fn what_is_no_pipe_is_left_to_read() {
        let zero = File::open("/dev/zero").expect("it is always there");
        let siphon = Siphon::new().expect("pipes");
        assert_eq!(siphon.read(zero.as_fd(), &mut [0; 10]), None);
    }
}
