//! A pair of pipes that is used for one thing after the other: a message, or a whole link.
//!
//! What goes one way is a row of turns. A turn is any number of chunks, each its length in four bytes, little-endian,
//! and so many bytes; a chunk of no bytes ends it. So a link can end while its pipes stay, and what it left unread is
//! passed over by whoever has the next turn. The two ways are independent of each other.
//!
//! Memory: a read buffer, and one chunk that is written. Whoever waits in a read or a write comes back when the stop
//! that it was made with is set, or the link is hung up. A pipe that ends amid a turn is an error.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};

use super::{HangUp, Link};
use crate::error::{Error, Status};
use crate::stop::{Interruptible, Stop};

/// Bytes of a chunk's length.
const LENGTH: usize = 4;
/// A chunk with its length is written in one piece: pipe(7).
const MOST_CHUNK: usize = libc::PIPE_BUF - LENGTH;
/// Bytes that one read takes at most.
const READ: usize = 64 << 10;
/// The longest message.
const LONGEST_MESSAGE: u64 = 1 << 20;
/// How long it may take to end a turn whose link was hung up, where the peer does not read.
const FAREWELL: Duration = Duration::from_secs(2);

/// The pipes, and whose turn it is.
pub struct Turns {
    from: Arc<Mutex<Incoming>>,
    to: Arc<Mutex<Outgoing>>,
    /// How many turns were given out: to read, and to write.
    given: Mutex<(u64, u64)>,
}

impl Turns {
    /// Nothing is read or written yet.
    pub fn new(from: File, to: File) -> Self {
        let buffer = vec![0; READ].into();
        let incoming = Incoming { file: from, turn: 0, left: 0, length: ([0; LENGTH], 0), buffer, unread: 0..0 };
        Turns {
            from: Arc::new(Mutex::new(incoming)),
            to: Arc::new(Mutex::new(Outgoing { file: Some(to), turn: 0 })),
            given: Mutex::default(),
        }
    }

    /// Says one message.
    ///
    /// # Errors
    /// What the pipe says, or that the run has ended.
    pub fn say(&self, message: &[u8], stop: &Stop) -> io::Result<()> {
        self.writer(stop).write_all(message)
    }

    /// Hears one message; `None` where the pipe ends instead.
    ///
    /// # Errors
    /// What the pipe says, that the run has ended, or that this is no message.
    pub fn hear(&self, stop: &Stop) -> io::Result<Option<Vec<u8>>> {
        let mut reader = self.reader(stop);
        let mut message = Vec::new();
        match (&mut reader).take(LONGEST_MESSAGE + 1).read_to_end(&mut message) {
            Ok(_) if message.len() as u64 > LONGEST_MESSAGE => Err(io::ErrorKind::InvalidData.into()),
            Ok(_) => Ok(Some(message)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && message.is_empty() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A link for one turn each way. It ends when its halves are dropped, or it is hung up, or `stop` is set.
    pub fn link(&self, name: &str, stop: &Stop) -> Link {
        let ended = stop.child();
        let (reader, writer) = (self.reader(&ended), self.writer(&ended));
        let why = Error::new(Status::Io, "link ended", name, "");
        let hang_up = HangUp::new(move || ended.fail(why.clone()));
        Link { name: name.into(), reader: Box::new(reader), writer: Box::new(writer), hang_up }
    }

    /// Closes the pipe that goes out: whoever reads it sees its end.
    pub fn close(&self) {
        lock(&self.to).file = None;
    }

    fn reader(&self, stop: &Stop) -> Reader {
        let mut given = lock(&self.given);
        given.0 += 1;
        Reader { from: self.from.clone(), turn: given.0 - 1, stop: stop.clone() }
    }

    fn writer(&self, stop: &Stop) -> Writer {
        let mut given = lock(&self.given);
        given.1 += 1;
        Writer { to: self.to.clone(), turn: given.1 - 1, stop: stop.clone() }
    }
}

/// Where a thread panicked with the lock, the pipe is amid a chunk at worst, and the peer finds that out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What comes.
struct Incoming {
    file: File,
    /// The turn that the next byte is of.
    turn: u64,
    /// Bytes of its chunk that are still to come.
    left: usize,
    /// The next chunk's length, and how many bytes of it have come: the wait for the rest may be broken off.
    length: ([u8; LENGTH], usize),
    buffer: Box<[u8]>,
    /// What of the buffer was read from the pipe and is not used.
    unread: Range<usize>,
}

impl Incoming {
    /// Takes up to `most` bytes of what has come, and waits where that is nothing.
    fn take(&mut self, most: usize, stop: &Stop) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            let length = Interruptible::new(&self.file, stop).read(&mut self.buffer)?;
            if length == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the pipe has ended"));
            }
            self.unread = 0..length;
        }
        let start = self.unread.start;
        let end = self.unread.end.min(start + most);
        self.unread.start = end;
        Ok(&self.buffer[start..end])
    }

    /// Begins the next chunk, or the next turn.
    fn next_chunk(&mut self, stop: &Stop) -> io::Result<()> {
        while self.length.1 < LENGTH {
            let (known, most) = (self.length.1, LENGTH - self.length.1);
            let mut piece = [0; LENGTH];
            let bytes = self.take(most, stop)?;
            let end = known + bytes.len();
            piece[known..end].copy_from_slice(bytes);
            self.length.0[known..end].copy_from_slice(&piece[known..end]);
            self.length.1 = end;
        }
        self.left = u32::from_le_bytes(self.length.0) as usize;
        self.length.1 = 0;
        if self.left == 0 {
            self.turn += 1;
        }
        Ok(())
    }
}

/// One turn of what comes.
struct Reader {
    from: Arc<Mutex<Incoming>>,
    turn: u64,
    stop: Stop,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut from = lock(&self.from);
        loop {
            if from.turn > self.turn || into.is_empty() {
                return Ok(0);
            }
            if from.left == 0 {
                from.next_chunk(&self.stop)?;
                continue;
            }
            let is_passed_over = from.turn < self.turn;
            let most = if is_passed_over { from.left } else { from.left.min(into.len()) };
            let bytes = from.take(most, &self.stop)?;
            let length = bytes.len();
            if !is_passed_over {
                into[..length].copy_from_slice(bytes);
            }
            from.left -= length;
            if !is_passed_over {
                return Ok(length);
            }
        }
    }
}

/// What goes.
struct Outgoing {
    /// Until it is closed.
    file: Option<File>,
    /// The turn that the next chunk is of.
    turn: u64,
}

impl Outgoing {
    fn chunk(&mut self, bytes: &[u8], stop: &Stop) -> io::Result<()> {
        let mut chunk = Vec::with_capacity(LENGTH + bytes.len());
        // At most PIPE_BUF.
        chunk.extend((bytes.len() as u32).to_le_bytes());
        chunk.extend(bytes);
        let mut file = self.file.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = Interruptible::new(file, stop).write(&chunk)?;
        // sshd may have made a socket of it, which takes what it has room for: what was begun is brought to its end.
        file.write_all(&chunk[written..])
    }

    /// Ends the turns before this one: who has one may be a thread that is left in a call that does not come back.
    fn end_those_before(&mut self, turn: u64, stop: &Stop) -> io::Result<()> {
        while self.turn < turn {
            self.chunk(&[], stop)?;
            self.turn += 1;
        }
        Ok(())
    }
}

/// One turn of what goes; dropped, it is over.
struct Writer {
    to: Arc<Mutex<Outgoing>>,
    turn: u64,
    stop: Stop,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut to = lock(&self.to);
        to.end_those_before(self.turn, &self.stop)?;
        if to.turn > self.turn {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let bytes = &bytes[..bytes.len().min(MOST_CHUNK)];
        if !bytes.is_empty() {
            to.chunk(bytes, &self.stop)?;
        }
        Ok(bytes.len())
    }

    /// Nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut to = lock(&self.to);
        // The link may have been hung up: what comes after it needs to know where it ends all the same. Where nobody
        // reads, the next turn's writer tries again.
        let patience = FAREWELL.as_millis() as u16;
        let Some(file) = &to.file else { return };
        let has_room = poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLOUT)], patience);
        if has_room.is_ok_and(|ready| ready > 0) {
            let _ = to.end_those_before(self.turn + 1, &Stop::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> (File, File) {
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        (File::from(read), File::from(write))
    }

    /// Two ends of a pair of pipes.
    fn ends() -> (Turns, Turns) {
        let ((here, to_here), (there, to_there)) = (pipe(), pipe());
        (Turns::new(here, to_there), Turns::new(there, to_here))
    }

    #[test]
    fn messages_and_links_take_turns() {
        let ((here, there), stop) = (ends(), Stop::new());
        here.say(b"an order", &stop).expect("said");
        assert_eq!(there.hear(&stop).expect("heard").as_deref(), Some(&b"an order"[..]));
        for round in 0..3u8 {
            let (mut one, mut other) = (here.link("there", &stop), there.link("here", &stop));
            let bytes = vec![round; 300_000];
            let expected = bytes.clone();
            let writing = std::thread::spawn(move || one.writer.write_all(&bytes).map(|()| one));
            let mut heard = vec![0; 300_000];
            other.reader.read_exact(&mut heard).expect("it comes");
            assert_eq!(heard, expected);
            other.writer.write_all(&[round]).expect("written");
            drop(other);
            let mut one = writing.join().expect("no panic").expect("written");
            let mut answer = Vec::new();
            one.reader.read_to_end(&mut answer).expect("it ends with the link");
            assert_eq!(answer, [round]);
        }
        there.say(b"done", &stop).expect("said");
        assert_eq!(here.hear(&stop).expect("heard").as_deref(), Some(&b"done"[..]));
        drop(there);
        assert_eq!(here.hear(&stop).expect("heard"), None);
    }

    #[test]
    fn what_a_link_has_left_unread_is_passed_over() {
        let ((here, there), stop) = (ends(), Stop::new());
        let (mut one, other) = (here.link("there", &stop), there.link("here", &stop));
        one.writer.write_all(&[7; 9000]).expect("a pipe holds more");
        one.hang_up.hang_up();
        drop((one, other));
        here.say(b"next", &stop).expect("said");
        assert_eq!(there.hear(&stop).expect("heard").as_deref(), Some(&b"next"[..]));
    }

    #[test]
    fn a_link_that_was_left_behind_is_over_when_the_next_begins() {
        let ((here, there), stop) = (ends(), Stop::new());
        let mut old = here.link("there", &stop);
        old.writer.write_all(b"old").expect("written");
        here.say(b"new", &stop).expect("said");
        assert!(old.writer.write_all(b"late").is_err());
        let mut first = there.link("here", &stop);
        let mut heard = Vec::new();
        first.reader.read_to_end(&mut heard).expect("it ends");
        assert_eq!(heard, b"old");
        assert_eq!(there.hear(&stop).expect("heard").as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn a_hung_up_link_wakes_who_waits_in_it() {
        let ((here, _there), stop) = (ends(), Stop::new());
        let Link { mut reader, writer, hang_up, .. } = here.link("there", &stop);
        let waiting = std::thread::spawn(move || reader.read(&mut [0; 8]).is_err());
        std::thread::sleep(Duration::from_millis(50));
        hang_up.hang_up();
        assert!(waiting.join().expect("no panic"));
        drop(writer);
    }

    #[test]
    fn a_pipe_that_ends_amid_a_turn_is_an_error() {
        let ((here, there), stop) = (ends(), Stop::new());
        let mut link = there.link("here", &stop);
        let raw = lock(&here.to).file.take().expect("open");
        (&raw).write_all(&[9, 0, 0, 0, 1, 2]).expect("written");
        drop(raw);
        let mut heard = Vec::new();
        let error = link.reader.read_to_end(&mut heard).expect_err("cut");
        assert_eq!((error.kind(), &heard[..]), (io::ErrorKind::UnexpectedEof, &[1, 2][..]));
    }
}
