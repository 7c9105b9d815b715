//! Pipes of our own that hold data on its way from pipe to pipe: pages change hands, no byte is copied.
//!
//! Where one pipe is copied to another pipe or connection and no option needs to see or count the bytes, the ring
//! gives out these before it gives out memory. What the kernel wrote into the input pipe is moved into one of them,
//! and from there to the output (splice(2)): the pages are the kernel's, nobody writes to them again, so unlike pages
//! of our own they cannot change under a slow reader. There are few of them; a buffer that fills goes to memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::descriptor::widen_pipe;

/// What one pipe holds, if the system lets us make it so large: the usual limit.
pub const PIPE: u64 = 1 << 20;

/// Most pipes made: the kernel gives an ordinary user 64 MiB for all of them.
const MOST: u64 = 24;

/// A few pipes.
#[derive(Debug, Default)]
pub struct Stash {
    pipes: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    from: OwnedFd,
    to: OwnedFd,
}

impl Stash {
    /// Pipes for some blocks of this size; fewer, or none, where that is more than the system gives.
    pub fn for_blocks(block: u64) -> Self {
        let wanted = (block * 3).div_ceil(PIPE).max(4);
        if wanted > MOST {
            return Stash::default();
        }
        let mut pipes = Vec::new();
        for _ in 0..wanted {
            match Held::new() {
                Ok(held) => pipes.push(held),
                Err(_) => return Stash::default(),
            }
        }
        Stash { pipes }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pipes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pipes.is_empty()
    }

    /// The end of a pipe that takes data.
    pub fn inlet(&self, pipe: usize) -> BorrowedFd<'_> {
        self.pipes[pipe].to.as_fd()
    }

    /// The end of a pipe that gives data.
    pub fn outlet(&self, pipe: usize) -> BorrowedFd<'_> {
        self.pipes[pipe].from.as_fd()
    }
}

impl Held {
    fn new() -> io::Result<Self> {
        let (from, to) = pipe2(OFlag::O_CLOEXEC)?;
        widen_pipe(to.as_fd());
        Ok(Held { from, to })
    }
}

/// What [`take_in`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes were moved.
    Bytes(usize),
    /// Nothing more fits, whatever the count of bytes says: a page that is half full takes a whole place.
    Full,
    /// The input has ended.
    End,
}

/// Moves what the input has now, at most `most` bytes, into a pipe that holds `held` bytes; waits for input, not for
/// room.
pub fn take_in(input: BorrowedFd<'_>, inlet: BorrowedFd<'_>, most: usize, held: usize) -> Result<Taken, Errno> {
    loop {
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        match splice(input, None, inlet, None, most, flags) {
            Ok(0) => return Ok(Taken::End),
            Ok(bytes) => return Ok(Taken::Bytes(bytes)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if held > 0 && is_readable(input, PollTimeout::ZERO)? => return Ok(Taken::Full),
            Err(Errno::EAGAIN) => drop(is_readable(input, PollTimeout::NONE)?),
            Err(error) => return Err(error),
        }
    }
}

fn is_readable(input: BorrowedFd<'_>, wait: PollTimeout) -> Result<bool, Errno> {
    loop {
        match poll(&mut [PollFd::new(input, PollFlags::POLLIN)], wait) {
            Err(Errno::EINTR) => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}

/// Moves up to `len` bytes, which are there, from a pipe to the output; waits for the output.
pub fn give_out(outlet: BorrowedFd<'_>, output: BorrowedFd<'_>, len: usize) -> Result<usize, Errno> {
    loop {
        match splice(outlet, None, output, None, len, SpliceFFlags::SPLICE_F_MOVE) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    #[test]
    fn bytes_pass_through_in_order_and_an_end_is_an_end() {
        let stash = Stash::for_blocks(1 << 20);
        assert_eq!(stash.len(), 4);
        let (input, to) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let (from, output) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let mut to = File::from(to);
        to.write_all(b"hello, ").expect("written");
        to.write_all(b"world").expect("written");
        assert_eq!(take_in(input.as_fd(), stash.inlet(0), 100, 0), Ok(Taken::Bytes(12)));
        assert_eq!(give_out(stash.outlet(0), output.as_fd(), 5), Ok(5));
        assert_eq!(give_out(stash.outlet(0), output.as_fd(), 7), Ok(7));
        let mut got = [0; 12];
        File::from(from).read_exact(&mut got).expect("read");
        assert_eq!(&got, b"hello, world");
        drop(to);
        assert_eq!(take_in(input.as_fd(), stash.inlet(0), 100, 0), Ok(Taken::End));
    }

    #[test]
    fn a_pipe_full_of_crumbs_is_full() {
        let stash = Stash::for_blocks(1);
        let (input, to) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let mut to = File::from(to);
        let mut held = 0;
        // Each crumb is moved alone, so each takes a place of its own.
        for _ in 0..100_000 {
            to.write_all(b"x").expect("written");
            match take_in(input.as_fd(), stash.inlet(0), 100, held).expect("no error") {
                Taken::Bytes(bytes) => held += bytes,
                other => {
                    assert_eq!(other, Taken::Full);
                    assert!(held < 100_000 && held > 0);
                    return;
                }
            }
        }
        panic!("{held} crumbs fitted");
    }
}
