//! A writer: one thread an output moves bytes from the ring to it, volume after volume.
//!
//! In: the ring's bytes, in order. Out: the output, and the count of bytes written. An error ends this output; its
//! place in the ring is given up, so that the others go on. The thread may be abandoned while it waits in `write`:
//! it owns nothing that outlives the process.
//!
//! Where the output may be a tape, or keeps messages apart, each `write` is one block: that is a record there. To a pipe
//! or connection a write is as large as what the ring has in one piece; what several write to one pipe stays whole by
//! the block, as far as the system can do that.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::counters::Counters;
use super::descriptor::{self, Kind};
use super::log::Log;
use super::media::{Change, Changer, Side};
use super::output::Output;
use super::pace::Pace;
use super::rate::Rate;
use super::ring::{Drain, Ring};
use super::stride::Stride;
use super::takers::OtherEnd;
use super::why;

/// Fewer bytes are copied into a pipe: each page given takes up one of the pipe's places, however little is on it.
const LEAST_GIVEN: usize = 64 << 10;

/// What is written to a pipe at once is not mixed with what others write there, up to so many bytes (pipe(7)). More is
/// cut, if at all, where a page ends: at a multiple of it.
const PIPE_BUF: usize = libc::PIPE_BUF;

/// After so many volumes that a command has brought, one after the other, and that took nothing, there is no more hope:
/// it brings the same one again and again.
const MOST_REFUSED: u32 = 3;

/// How an output is written.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// `-R`.
    pub rate: Option<Rate>,
    /// `-u`: wait after each block.
    pub pause: Duration,
    /// Bytes in a block.
    pub block: usize,
    /// `-d`: each write to a device is one of its own blocks.
    pub device_blocks: bool,
    /// `-D`: bytes on a volume, whole blocks.
    pub volume: Option<u64>,
    /// `-W`: somebody looks whether bytes move.
    pub watched: bool,
    /// `--tapeaware`: the first ENOSPC only says that the end is near.
    pub tape_aware: bool,
    /// Who changes volumes.
    pub changer: Changer,
}

/// One output and what its thread needs.
pub struct Writer {
    /// Where the bytes go.
    pub output: Output,
    /// Its place on the command line.
    pub index: usize,
    /// Whether it is the last of the command line.
    pub main: bool,
    /// Whether it is the last of those that `-o` names: only that one has volumes.
    pub has_volumes: bool,
    /// Where it leads.
    pub end: OtherEnd,
    /// How it is written.
    pub manner: Manner,
    /// Bytes moved so far.
    pub counters: Arc<Counters>,
    /// Where errors go.
    pub log: Arc<Log>,
}

/// Why an output ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

/// Says that an output takes no more; of the main one also where in the stream that was.
pub fn say_lost(name: &str, offset: Option<u64>, error: Errno, log: &Log) {
    let reason = why(error);
    log.error(&match offset {
        Some(offset) => format!("outputThread: error writing to {name} at offset 0x{offset:x}: {reason}"),
        None => format!("error writing to {name}: {reason}"),
    });
}

/// Where a writer stands on its volumes.
struct Volume {
    number: u64,
    written: u64,
    start: Instant,
    warned_of_end: bool,
    // How many before it, up to the last, have taken nothing since they were brought.
    refused: u32,
}

impl Volume {
    fn new(number: u64, refused: u32) -> Self {
        Volume { number, written: 0, start: Instant::now(), warned_of_end: false, refused }
    }
}

impl Writer {
    /// Writes all that the drain has. The reason if it could not; the message is said already.
    pub fn run(mut self, ring: &Ring, mut drain: Drain) -> Result<(), Failure> {
        let name = self.output.name().to_owned();
        let fits = if self.main {
            self.log.info(&format!("outputThread: starting output on {name}..."));
            Ok(())
        } else if self.output.kind() == Kind::Device {
            self.check_device_block()
        } else {
            self.log.info(&format!("no device on output stream {name}"));
            Ok(())
        };
        let written = fits.and_then(|()| self.write_all(ring, &mut drain));
        let result = written.and_then(|()| self.finish()).and_then(|()| {
            let thread = if self.main { "outputThread: " } else { "" };
            self.log.info(&format!("{thread}syncing {name}..."));
            self.sync()
        });
        self.end.let_go();
        // Said before the drain goes: whoever sees the place empty finds the count right.
        if result.is_err() {
            self.counters.written[self.index].fail();
        }
        if self.main {
            self.log.info("outputThread: finished - exiting...");
        }
        result
    }

    fn write_all(&mut self, ring: &Ring, drain: &mut Drain) -> Result<(), Failure> {
        let mut pace = Pace::default();
        let mut volume = Volume::new(1, 0);
        let mut taken = 0;
        let mut in_block = 0;
        let mut stride = Stride::new(self.manner.watched);
        let is_pipe = self.output.kind() == Kind::Pipe && !self.writes_records();
        loop {
            let gives = is_pipe && drain.can_give();
            let Some(data) = drain.next(taken) else { return Ok(()) };
            if self.volume_is_full(&volume) {
                self.next_volume(&mut volume)?;
            }
            let rate = self.manner.rate.as_ref().map(|rate| rate.now(ring));
            let most = self.most_at_once(data.len(), in_block, rate, &stride);
            pace.wait();
            let start = Instant::now();
            let given = if gives { self.give(&data[..most])? } else { None };
            taken = match given {
                Some(bytes) => bytes,
                None => self.write_some(&data[..most], &mut volume)?,
            };
            if given.is_some() {
                drain.gave();
            }
            stride.took(start.elapsed());
            self.counters.written[self.index].bytes.fetch_add(taken as u64, Ordering::Relaxed);
            volume.written += taken as u64;
            if let Some(rate) = rate {
                pace.charge(taken, rate);
            }
            in_block = (in_block + taken) % self.manner.block;
            if in_block == 0 && !self.manner.pause.is_zero() {
                std::thread::sleep(self.manner.pause);
            }
        }
    }

    /// Puts the pages of `data` into the output, if that is worth it; how many bytes of it are out then.
    fn give(&self, data: &[u8]) -> Result<Option<usize>, Failure> {
        if data.len() < LEAST_GIVEN {
            return Ok(None);
        }
        let result = descriptor::give(self.output.as_fd(), data);
        self.log.io(|| format!("outputThread: writing {}: {result:?}", data.len()));
        match result {
            Ok(bytes) if bytes > 0 => Ok(Some(bytes)),
            Err(error @ Errno::EPIPE) => Err(self.fail(error)),
            // A plain write knows why, or does it: in a sandbox without vmsplice(2).
            _ => Ok(None),
        }
    }

    /// How many of `len` bytes to give to one `write`, `in_block` bytes after the beginning of a block.
    fn most_at_once(&self, len: usize, in_block: usize, rate: Option<u64>, stride: &Stride) -> usize {
        let rest_of_block = len.min(self.manner.block - in_block);
        if self.manner.device_blocks && self.output.kind() == Kind::Device {
            let record = usize::try_from(self.output.native_block()).unwrap_or(usize::MAX);
            return rest_of_block.min(record);
        }
        if self.writes_records() {
            return rest_of_block;
        }
        let len = if self.manner.pause.is_zero() { len } else { rest_of_block };
        let most = rate.map_or(stride.of(len), |rate| Pace::step(rate, stride.of(len)));
        if !self.blocks_stay_whole() {
            return most;
        }
        let rest = (in_block + most) % self.manner.block;
        if most > rest { most - rest } else { rest_of_block }
    }

    /// Whether each `write` makes a record, or may meet the end of a medium.
    fn writes_records(&self) -> bool {
        let joined_would_tear = self.blocks_stay_whole() && !PIPE_BUF.is_multiple_of(self.manner.block);
        let by_kind = matches!(self.output.kind(), Kind::Device | Kind::Messages);
        by_kind || self.output.path().is_some() || joined_would_tear
    }

    /// Whether a block goes out in one piece although others write to the same pipe.
    fn blocks_stay_whole(&self) -> bool {
        self.output.kind() == Kind::Pipe && self.manner.block <= PIPE_BUF
    }

    fn volume_is_full(&self, volume: &Volume) -> bool {
        self.has_volumes && self.manner.volume.is_some_and(|size| volume.written >= size)
    }

    /// Writes at least one byte, on the next medium if this one has ended.
    fn write_some(&mut self, data: &[u8], volume: &mut Volume) -> Result<usize, Failure> {
        loop {
            let result = self.output.write(data);
            self.log.io(|| format!("outputThread: writing {}: {result:?}", data.len()));
            match result {
                // A write of something that takes nothing would come round for ever.
                Ok(0) => return Err(self.fail(Errno::ENOSPC)),
                Ok(bytes) => {
                    volume.warned_of_end = false;
                    return Ok(bytes);
                }
                Err(Errno::EINVAL) if self.output.end_direct(&self.log) => {}
                Err(Errno::ENOSPC) if self.manner.tape_aware && !volume.warned_of_end => {
                    volume.warned_of_end = true;
                    self.log.info("end of media approaching");
                }
                Err(Errno::ENOSPC) if self.has_next_volume() => self.next_volume(volume)?,
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    fn has_next_volume(&self) -> bool {
        self.has_volumes && self.manner.changer.can_ask()
    }

    /// Closes this volume and opens the next.
    fn next_volume(&mut self, volume: &mut Volume) -> Result<(), Failure> {
        let refused = if volume.number > 1 && volume.written == 0 { volume.refused + 1 } else { 0 };
        if refused == MOST_REFUSED && self.manner.changer.autoload.is_there() {
            self.log.error(&format!("the last {refused} volumes had no space for a single byte"));
            return Err(self.fail(Errno::ENOSPC));
        }
        let written = self.counters.written[self.index].bytes.load(Ordering::Relaxed);
        let block = written / self.manner.block as u64;
        self.log.info(&format!("end of volume - last block on volume: {block}"));
        self.sync()?;
        self.end.let_go();
        if let Err(error) = self.output.close() {
            return Err(self.fail_io("error closing", &error));
        }
        self.log.info(&format!("time for writing volume: {:.6}sec.", volume.start.elapsed().as_secs_f64()));
        volume.number += 1;
        let path = self.output.path().map_or_else(PathBuf::new, PathBuf::from);
        let change =
            self.manner.changer.change(Side::Output, &path, volume.number, written, &self.counters, &self.log);
        let failed = match change {
            Change::Done => match self.output.reopen(&self.log) {
                Ok(()) => {
                    *volume = Volume::new(volume.number, refused);
                    self.end.watch(&self.output);
                    return Ok(());
                }
                Err(error) => return Err(self.fail_io("unable to open output", &error)),
            },
            Change::Failed(message) => message,
            Change::Nobody | Change::NoMore => "End of volume, but not end of input.\n\
                Specify an autoload command, if you are working without terminal."
                .into(),
        };
        self.log.error(&failed);
        Err(Failure("canceled".into()))
    }

    /// What the system says of another device than the main one: its blocks, and whether ours fit them.
    fn check_device_block(&self) -> Result<(), Failure> {
        let (native, block) = (self.output.native_block(), self.manner.block);
        self.log.info(&format!("blocksize is {native} bytes on output device"));
        if (block as u64).is_multiple_of(native) {
            return Ok(());
        }
        let name = self.output.name();
        self.log.warning(&format!(
            "Blocksize should be a multiple of the blocksize of the output device!\n\
             This can cause problems with some device/OS combinations...\n\
             Blocksize on output device {name} is {native} (transfer block size is {block})"
        ));
        if !self.manner.device_blocks {
            return Ok(());
        }
        self.log.error("unable to set output blocksize");
        Err(Failure(why(Errno::EINVAL)))
    }

    /// All is written. A connection may still break before its peer has all of it.
    fn finish(&self) -> Result<(), Failure> {
        // What still moves there is no stall.
        let moved = || {
            self.counters.rests.fetch_add(2, Ordering::Relaxed);
        };
        self.output.finish(moved).map_err(|error| self.fail(error))
    }

    fn sync(&self) -> Result<(), Failure> {
        match self.output.sync(&self.log) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.log.error(&format!("error syncing {}: {}", self.output.name(), why(error)));
                Err(Failure(why(error)))
            }
        }
    }

    fn fail(&self, error: Errno) -> Failure {
        let name = self.output.name();
        // Otherwise the main thread has found it lost, and has said so.
        if self.counters.written[self.index].fail() {
            say_lost(name, self.main.then(|| self.counters.main_written()), error, &self.log);
        }
        Failure(why(error))
    }

    fn fail_io(&self, what: &str, error: &std::io::Error) -> Failure {
        let reason = super::reason(error);
        self.log.error(&format!("{what} {}: {reason}", self.output.name()));
        Failure(reason)
    }
}
