//! The run: starts the threads, shows the status, waits for the end, whatever ends it, and says how it went.
//!
//! Runs on the main thread. In: a [`Plan`], with everything opened. Out: the exit status. It never waits for a thread
//! that may sit in `read` or `write`: when it returns, the process ends, and with it those.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, unbounded};

use super::Fatal;
use super::bar::Bar;
use super::counters::Counters;
use super::descriptor::{Kind, widen_pipe};
use super::geometry::Geometry;
use super::hash::Algorithm;
use super::input::Input;
use super::log::{Level, Log};
use super::media::Changer;
use super::memory::Memory;
use super::output::Output;
use super::rate::Rate;
use super::reader::Reader;
use super::ring::{Drain, Filler, Ring, Watermarks};
use super::signals;
use super::status::{self, Figures, Totals};
use super::watchdog::Watchdog;
use super::writer::{Failure, Manner, Writer};

/// What a run needs to know, with everything opened.
pub struct Plan {
    /// The buffer's shape.
    pub geometry: Geometry,
    /// The buffer's bytes.
    pub memory: Memory,
    /// Where the bytes come from.
    pub input: Input,
    /// Where they go, in the order of the command line; at least one.
    pub outputs: Vec<Output>,
    /// Outputs that are lost already.
    pub unopened: Vec<Unopened>,
    /// What is hashed on the way, in the order of the command line.
    pub hashes: Vec<Algorithm>,
    /// `-P`, `-p`.
    pub marks: Watermarks,
    /// `-r`.
    pub read_rate: Option<Rate>,
    /// `-R`, `-u`, `-d`, `-D`, `--tapeaware`.
    pub manner: Manner,
    /// `-n`.
    pub volumes: u64,
    /// `-A`, `-a`.
    pub changer: Changer,
    /// `-q`, `-Q`, `statusinterval`.
    pub show: Show,
    /// `-W`.
    pub watchdog: Option<Watchdog>,
}

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

/// What a thread reports to the main thread.
enum Event {
    /// The reader is done.
    Read,
    /// This output is done, well or not.
    Written(usize, Result<(), Failure>),
    /// This hash is done.
    Hashed(usize, String),
}

/// What is known of the threads.
struct Progress {
    reading: bool,
    outputs: Vec<Option<Result<(), Failure>>>,
    hashes: Vec<Option<String>>,
}

impl Progress {
    fn note(&mut self, event: Event) {
        match event {
            Event::Read => self.reading = false,
            Event::Written(index, result) => self.outputs[index] = Some(result),
            Event::Hashed(index, hash) => self.hashes[index] = Some(hash),
        }
    }

    /// All is written, or nothing is left that could take what is read.
    fn is_over(&self) -> bool {
        let written = self.outputs.iter().all(Option::is_some);
        let lost = self.outputs.iter().all(|output| matches!(output, Some(Err(_))));
        let hashed = self.hashes.iter().all(Option::is_some);
        written && hashed && (!self.reading || lost)
    }
}

/// How the threads report, and how a run is ended from outside.
struct Wires {
    events: Sender<Event>,
    reports: Receiver<Event>,
    end: Sender<()>,
    ended: Receiver<()>,
}

/// Carries out the plan; the exit status, 0 or 1.
pub fn run(plan: Plan, log: &Arc<Log>) -> Result<u8, Fatal> {
    let counters = Arc::new(Counters::new(plan.outputs.len()));
    let ends = plan.outputs.len() + plan.hashes.len();
    let (ring, filler, drains) = Ring::new(plan.memory, plan.geometry, plan.marks, ends);
    let (events, reports) = unbounded();
    let (end, ended) = unbounded();
    let wires = Wires { events, reports, end, ended };
    signals::catch(wires.end.clone()).map_err(|error| no_thread(&error))?;
    if let Some(watchdog) = &plan.watchdog {
        watchdog.attach(counters.clone(), ring.clone(), wires.end.clone());
    }
    let file_size = match plan.input.kind() {
        Kind::File(size) if plan.input.has_volumes() && size > 0 => Some(size),
        _ => None,
    };
    let view = View {
        names: plan.outputs.iter().map(|output| output.name().to_owned()).collect(),
        unopened: plan.unopened,
        hashes: plan.hashes.clone(),
        show: plan.show,
        block: plan.geometry.block,
        file_size,
        counters: counters.clone(),
        ring: ring.clone(),
        log: log.clone(),
        start: Instant::now(),
    };
    let reader = Reader {
        input: plan.input,
        rate: plan.read_rate,
        volumes: plan.volumes,
        changer: plan.changer,
        counters: counters.clone(),
        log: log.clone(),
    };
    let mut drains = drains.into_iter();
    start_writers(plan.outputs, &plan.manner, &mut drains, &ring, &counters, log, &wires)?;
    start_hashes(&plan.hashes, drains, &wires)?;
    start_reader(reader, filler, &ring, &wires)?;
    view.wait(&wires)
}

fn no_thread(error: &io::Error) -> Fatal {
    Fatal::new(format!("unable to create thread: {}", super::reason(error)))
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Fatal> {
    thread::Builder::new().name(name).spawn(work).map(drop).map_err(|error| no_thread(&error))
}

fn start_writers(
    outputs: Vec<Output>,
    manner: &Manner,
    drains: &mut impl Iterator<Item = Drain>,
    ring: &Arc<Ring>,
    counters: &Arc<Counters>,
    log: &Arc<Log>,
    wires: &Wires,
) -> Result<(), Fatal> {
    let last = outputs.len().saturating_sub(1);
    for ((index, output), drain) in outputs.into_iter().enumerate().zip(drains) {
        if output.kind() == Kind::Pipe {
            widen_pipe(std::os::fd::AsFd::as_fd(&output));
        }
        let main = index == last;
        let (manner, counters, log) = (manner.clone(), counters.clone(), log.clone());
        let writer = Writer { output, index, main, manner, counters, log };
        let (ring, events) = (ring.clone(), wires.events.clone());
        spawn(format!("output {index}"), move || {
            let result = writer.run(&ring, drain);
            // A main thread that no longer listens has ended the run already.
            let _ = events.send(Event::Written(index, result));
        })?;
    }
    Ok(())
}

fn start_hashes(hashes: &[Algorithm], drains: impl Iterator<Item = Drain>, wires: &Wires) -> Result<(), Fatal> {
    for ((index, algorithm), drain) in hashes.iter().copied().enumerate().zip(drains) {
        let events = wires.events.clone();
        spawn(algorithm.name().to_lowercase(), move || {
            let _ = events.send(Event::Hashed(index, algorithm.run(drain)));
        })?;
    }
    Ok(())
}

fn start_reader(reader: Reader, filler: Filler, ring: &Arc<Ring>, wires: &Wires) -> Result<(), Fatal> {
    let (ring, events, counters) = (ring.clone(), wires.events.clone(), reader.counters.clone());
    spawn("input".into(), move || {
        reader.run(&ring, filler);
        counters.read_done.store(true, Ordering::SeqCst);
        let _ = events.send(Event::Read);
    })
}

/// What the main thread looks at and shows.
struct View {
    names: Vec<String>,
    unopened: Vec<Unopened>,
    hashes: Vec<Algorithm>,
    show: Show,
    block: u64,
    file_size: Option<u64>,
    counters: Arc<Counters>,
    ring: Arc<Ring>,
    log: Arc<Log>,
    start: Instant,
}

/// What the last status line was made from.
struct Shown {
    at: Instant,
    read: u64,
    written: u64,
    // No line has been shown yet.
    first: bool,
}

impl View {
    fn wait(&self, wires: &Wires) -> Result<u8, Fatal> {
        let mut progress = Progress {
            reading: true,
            outputs: self.names.iter().map(|_| None).collect(),
            hashes: self.hashes.iter().map(|_| None).collect(),
        };
        let mut shown: Option<Shown> = None;
        let bar = (self.show.bar && self.show.on_terminal).then(|| Bar::new(self.file_size)).flatten();
        while !progress.is_over() {
            select! {
                recv(wires.reports) -> event => if let Ok(event) = event { progress.note(event) },
                recv(wires.ended) -> _ => break,
                default(self.until_next(shown.as_ref())) => self.tick(&mut shown, bar.as_ref()),
            }
            if self.log.must_end() {
                return Ok(1);
            }
        }
        match &bar {
            Some(bar) => bar.clear(),
            None if shown.is_some_and(|shown| !shown.first) && self.show.on_terminal => self.log.terminal(b"\n"),
            None => {}
        }
        Ok(self.conclude(&progress))
    }

    /// How long to wait for events before the status line is due.
    fn until_next(&self, shown: Option<&Shown>) -> Duration {
        if !self.show.on_terminal && !self.show.in_log {
            return Duration::from_secs(3600);
        }
        match shown {
            // The clock of the status line starts with the first full block.
            None => self.show.interval.min(Duration::from_millis(100)),
            Some(shown) => (shown.at + self.show.interval).saturating_duration_since(Instant::now()),
        }
    }

    fn tick(&self, shown: &mut Option<Shown>, bar: Option<&Bar>) {
        let now = Shown {
            at: Instant::now(),
            read: self.counters.read.load(Ordering::Relaxed),
            written: self.counters.all_written(),
            first: false,
        };
        let Some(before) = shown else {
            if now.read >= self.block {
                *shown = Some(Shown { at: now.at, read: 0, written: 0, first: true });
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
        match bar {
            Some(bar) => bar.show(&figures),
            None if self.show.on_terminal => self.log.terminal(format!("\r{line}").as_bytes()),
            None => {}
        }
        if self.show.in_log && self.log.shows(Level::Warning) {
            self.log.file_line(&line);
        }
        *shown = Some(now);
    }

    /// Bytes at the output that got most: what a user calls the total.
    fn written(&self) -> u64 {
        let alive = self.counters.written.iter().filter(|written| !written.failed.load(Ordering::Relaxed));
        let most = alive.map(|written| written.bytes.load(Ordering::Relaxed)).max();
        most.unwrap_or_else(|| self.counters.main_written())
    }

    /// Says how it went: hashes, lost outputs, the summary. Returns the exit status.
    fn conclude(&self, progress: &Progress) -> u8 {
        let time = self.start.elapsed();
        for (algorithm, hash) in self.hashes.iter().zip(&progress.hashes) {
            if let Some(hash) = hash {
                let line = format!("{} hash: {hash}\n", algorithm.name());
                self.log.terminal(line.as_bytes());
                self.log.file(line.as_bytes());
            }
        }
        let mut lost = false;
        for (name, result) in self.names.iter().zip(&progress.outputs) {
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
        let fill = self.ring.fill();
        let outputs = progress.outputs.iter().filter(|result| !matches!(result, Some(Err(_)))).count();
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
