//! The reader: its own thread moves bytes from the input into the ring, volume after volume.
//!
//! In: the input's bytes, as many at a time as it gives. Out: the ring, and the count of bytes read. It waits where
//! the ring is full. An error ends the input: what was read before is delivered. The thread may be abandoned while
//! it waits in `read`: it owns nothing that outlives the process.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::counters::Counters;
use super::descriptor::{self, Kind};
use super::input::Input;
use super::log::Log;
use super::media::{Change, Changer, Side};
use super::pace::Pace;
use super::rate::Rate;
use super::ring::{Filler, Ring};
use super::why;

/// A tape record larger than this is not read: the drives' own limit is 16 MiB - 1.
const LARGEST_RECORD: usize = 16 << 20;

/// Less than this at once from a pipe is a crumb: a producer that writes a little at a time.
const CRUMB: usize = 256 << 10;

/// After two crumbs the reader lets the pipe fill for so long, instead of waking up for each. A pipe of [`ROOMY`]
/// bytes does not fill in that time, so the producer is not held up.
const NAP: Duration = Duration::from_micros(100);
const ROOMY: usize = 512 << 10;

/// What the reader needs beside input and ring.
pub struct Reader {
    /// Where the bytes come from.
    pub input: Input,
    /// `-r`.
    pub rate: Option<Rate>,
    /// `-n`: volumes to read; 0 means until somebody says that was the last.
    pub volumes: u64,
    /// Who changes them.
    pub changer: Changer,
    /// Bytes moved so far.
    pub counters: Arc<Counters>,
    /// Where errors go.
    pub log: Arc<Log>,
}

impl Reader {
    /// Reads the input to its end, or to its first error.
    pub fn run(mut self, ring: &Ring, mut filler: Filler) {
        // SAFETY: pthread_self(3) always succeeds.
        let thread = unsafe { libc::pthread_self() } as usize; // a number, or a pointer, by the C library
        self.log.info(&format!("inputThread: starting with threadid 0x{thread:x}..."));
        let added = self.fill(ring, &mut filler);
        filler.finish(added);
        self.log.info("inputThread: exiting...");
    }

    /// Returns how many bytes of the last space are filled.
    fn fill(&mut self, ring: &Ring, filler: &mut Filler) -> usize {
        let mut pace = Pace::default();
        let mut added = 0;
        let mut records = Records::default();
        let mut volume = 1;
        let mut volume_start = Instant::now();
        let roomy = self.input.kind() == Kind::Pipe && descriptor::widen_pipe(self.input.as_fd()) >= ROOMY;
        let mut crumbs = 0;
        while let Some(space) = filler.next(added) {
            added = 0;
            let rate = self.rate.as_ref().map(|rate| rate.now(ring));
            let most = self.most_at_once(space.len(), rate);
            pace.wait();
            match records.read(&mut self.input, &mut space[..most], &self.log) {
                Ok(0) => {
                    if !self.next_volume(&mut volume, volume_start) {
                        return 0;
                    }
                    volume_start = Instant::now();
                }
                Ok(bytes) => {
                    added = bytes;
                    self.counters.read.fetch_add(bytes as u64, Ordering::Relaxed);
                    if let Some(rate) = rate {
                        pace.charge(bytes, rate);
                    } else if roomy {
                        // A read that filled the space it had says nothing about the producer.
                        crumbs = if bytes < CRUMB.min(most) { crumbs + 1 } else { 0 };
                        if crumbs > 1 {
                            std::thread::sleep(NAP);
                        }
                    }
                }
                Err(error) => {
                    let offset = self.counters.read.load(Ordering::Relaxed);
                    self.log.error(&format!("inputThread: error reading at offset 0x{offset:x}: {}", why(error)));
                    return 0;
                }
            }
        }
        0
    }

    fn most_at_once(&self, space: usize, rate: Option<u64>) -> usize {
        match rate {
            // A tape's record comes whole or not at all.
            Some(rate) if self.input.kind() != Kind::Device => Pace::step(rate, space),
            _ => space,
        }
    }

    /// Asks for the next volume; false when there is none. This one was begun at `start`.
    fn next_volume(&mut self, volume: &mut u64, start: Instant) -> bool {
        if self.volumes == *volume || !self.input.has_volumes() {
            return false;
        }
        *volume += 1;
        self.log.info(&format!("time for reading volume: {:.6}sec.", start.elapsed().as_secs_f64()));
        if let Err(error) = self.input.close() {
            self.log.error(&format!("error closing {}: {}", self.input.name(), super::reason(&error)));
            return false;
        }
        let name = self.input.name().to_owned();
        let written = self.counters.main_written();
        match self.changer.change(Side::Input, name.as_ref(), *volume, written, &self.counters, &self.log) {
            Change::Done => match self.input.reopen(&self.log) {
                Ok(()) => true,
                Err(fatal) => {
                    self.log.error(&fatal.to_string());
                    false
                }
            },
            Change::Failed(message) => {
                self.log.error(&message);
                false
            }
            Change::Nobody | Change::NoMore => false,
        }
    }
}

/// Reads, and copes with what devices add to it.
///
/// A tape drive in variable block mode refuses a read that is smaller than its next record (ENOMEM). Such a record
/// is read here whole, and handed out piece by piece.
#[derive(Default)]
struct Records {
    record: Vec<u8>,
    given: usize,
}

impl Records {
    fn read(&mut self, input: &mut Input, space: &mut [u8], log: &Log) -> Result<usize, Errno> {
        if self.given < self.record.len() {
            return Ok(self.give(space));
        }
        loop {
            let result = input.read(space);
            log.io(|| format!("inputThread: read(In, {}) = {result:?}", space.len()));
            match result {
                Err(Errno::EINVAL) if input.end_direct(log) => {}
                Err(Errno::ENOMEM) => return self.read_record(input, space),
                result => return result,
            }
        }
    }

    fn read_record(&mut self, input: &Input, space: &mut [u8]) -> Result<usize, Errno> {
        let mut size = (space.len() * 2).max(input.native_block() as usize);
        loop {
            self.record.resize(size, 0);
            match input.read(&mut self.record) {
                Err(Errno::ENOMEM) if size < LARGEST_RECORD => size = (size * 2).min(LARGEST_RECORD),
                Err(error) => {
                    self.record.clear();
                    return Err(error);
                }
                Ok(bytes) => {
                    self.record.truncate(bytes);
                    self.given = 0;
                    return Ok(self.give(space));
                }
            }
        }
    }

    fn give(&mut self, space: &mut [u8]) -> usize {
        let rest = &self.record[self.given..];
        let bytes = rest.len().min(space.len());
        space[..bytes].copy_from_slice(&rest[..bytes]);
        self.given += bytes;
        bytes
    }
}
