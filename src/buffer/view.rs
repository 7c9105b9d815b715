//! What is seen of a run: the status line or the bar while it lasts, hashes, losses and the summary at its end.
//!
//! On the main thread, between the events it waits for. In: the counters and the ring's fill. Out: lines on fd 2 and in
//! the log file, and the exit status they stand for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::bar::Bar;
use super::counters::Counters;
use super::hash::Algorithm;
use super::log::{Level, Log};
use super::question::Terminal;
use super::ring::Ring;
use super::status::{self, Figures, Totals};
use super::writer::Failure;

/// An output that could not be opened; that was said, and is said again at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unopened {
    /// Its name on the command line.
    pub name: String,
    /// The system's words.
    pub why: String,
}

/// What is shown while it runs and at its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Show {
    /// Status and summary on fd 2.
    pub on_terminal: bool,
    /// Status and summary in the log file.
    pub in_log: bool,
    /// Between two status lines.
    pub interval: Duration,
    /// A bar instead of the status line, if fd 2 is a terminal.
    pub bar: bool,
}

/// What the main thread looks at and shows.
pub struct View {
    /// The names of the outputs.
    pub names: Vec<String>,
    /// Outputs that were lost before the run began.
    pub unopened: Vec<Unopened>,
    /// What is hashed.
    pub hashes: Vec<Algorithm>,
    /// What the user wants to see.
    pub show: Show,
    /// Bytes in a block.
    pub block: u64,
    /// Bytes in the input, where that is known.
    pub file_size: Option<u64>,
    /// What was moved.
    pub counters: Arc<Counters>,
    /// What is in the buffer.
    pub ring: Arc<Ring>,
    /// Where it is said.
    pub log: Arc<Log>,
    /// When the run began.
    pub start: Instant,
    /// When it was last looked for the first whole block.
    pub looked: Instant,
    /// Instead of the status line.
    pub bar: Option<Bar>,
    /// Where questions are asked: no status meanwhile.
    pub terminal: Arc<Terminal>,
    /// The last status line; none before the first whole block was read.
    pub shown: Option<Shown>,
}

/// What the last status line was made from.
pub struct Shown {
    at: Instant,
    read: u64,
    written: u64,
    // No line has been shown yet.
    first: bool,
}

impl View {
    /// How long to wait for events before the status line is due.
    pub fn until_next(&self) -> Duration {
        if !self.show.on_terminal && !self.show.in_log {
            return Duration::from_secs(3600);
        }
        match &self.shown {
            // The clock of the status line starts with the first full block.
            None => (self.looked + self.show.interval.min(Duration::from_millis(100)))
                .saturating_duration_since(Instant::now()),
            Some(shown) => (shown.at + self.show.interval).saturating_duration_since(Instant::now()),
        }
    }

    /// Shows the status line, or the bar, if it is time for it.
    pub fn tick(&mut self) {
        let now = Shown {
            at: Instant::now(),
            read: self.counters.read.load(Ordering::Relaxed),
            written: self.counters.all_written(),
            first: false,
        };
        let Some(before) = &self.shown else {
            self.looked = now.at;
            if now.read >= self.block {
                self.shown = Some(Shown { at: now.at, read: 0, written: 0, first: true });
            }
            return;
        };
        let since = if before.first { self.start } else { before.at };
        let seconds = now.at.saturating_duration_since(since).as_secs_f64().max(1e-3);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let fill = self.ring.fill().bytes as f64 * 100.0 / self.ring.capacity() as f64;
        let figures = Figures {
            read_rate: rate(now.read, before.read),
            write_rate: rate(now.written, before.written),
            written: self.written(),
            outputs: self.counters.alive(),
            fill,
            done: self.file_size.map(|size| (self.written() as f64 * 100.0 / size as f64).min(100.0)),
        };
        let line = status::line(&figures);
        if self.terminal.is_asking() {
            self.shown = Some(now);
            return;
        }
        match &self.bar {
            Some(bar) => bar.show(&figures),
            None if self.show.on_terminal => self.log.terminal(format!("\r{line}").as_bytes()),
            None => {}
        }
        if self.show.in_log && self.log.shows(Level::Warning) {
            self.log.file_line(&line);
        }
        self.shown = Some(now);
    }

    /// Bytes at the output that got most: what a user calls the total.
    fn written(&self) -> u64 {
        let alive = self.counters.written.iter().filter(|written| !written.failed.load(Ordering::Relaxed));
        let most = alive.map(|written| written.bytes.load(Ordering::Relaxed)).max();
        most.unwrap_or_else(|| self.counters.main_written())
    }

    /// Takes the bar off the terminal, or ends the status line.
    pub fn end_line(&self) {
        match (&self.bar, &self.shown) {
            (Some(bar), _) => bar.clear(),
            (None, Some(shown)) if !shown.first && self.show.on_terminal => self.log.terminal(b"\n"),
            _ => {}
        }
    }

    /// Says how it went: lost outputs, hashes, the summary. Returns the exit status. `results` are those of the
    /// outputs, `hashes` those of the algorithms; `None` is what the end of the run came before.
    pub fn conclude(&self, results: &[Option<Result<(), Failure>>], hashes: &[Option<String>]) -> u8 {
        let time = self.start.elapsed();
        self.log.info("waiting for senders...");
        let mut lost = false;
        for (name, result) in self.names.iter().zip(results) {
            let why = match result {
                Some(Ok(())) => continue,
                Some(Err(Failure(why))) => why.as_str(),
                None => "canceled",
            };
            lost = true;
            self.log.warning(&format!("error during output to {name}: {why}"));
        }
        for Unopened { name, why } in &self.unopened {
            self.log.warning(&format!("error during output to {name}: {why}"));
        }
        for (algorithm, hash) in self.hashes.iter().zip(hashes) {
            if let Some(hash) = hash {
                let line = format!("{} hash: {hash}\n", algorithm.name());
                self.log.terminal(line.as_bytes());
                self.log.file(line.as_bytes());
            }
        }
        let fill = self.ring.fill();
        let outputs = results.iter().filter(|result| !matches!(result, Some(Err(_)))).count();
        let totals =
            Totals { written: self.written(), outputs: outputs.max(1), time, empty: fill.empty, full: fill.full };
        let summary = status::summary(&totals);
        if self.show.on_terminal {
            self.log.terminal(summary.as_bytes());
        }
        if self.show.in_log {
            self.log.file(summary.as_bytes());
        }
        u8::from(lost || self.log.failed())
    }
}
