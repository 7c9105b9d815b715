//! The run: starts the threads, shows the status, waits for the end, whatever ends it, and says how it went.
//!
//! Runs on the main thread. In: a [`Plan`], with everything opened. Out: the exit status. It never waits for a thread
//! that may sit in `read` or `write`: when it returns, the process ends, and with it those.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, select, unbounded};

use super::Fatal;
use super::bar::Bar;
use super::counters::Counters;
use super::descriptor::{Kind, widen_pipe};
use super::geometry::Geometry;
use super::hash::Algorithm;
use super::input::Input;
use super::log::Log;
use super::media::Changer;
use super::memory::Memory;
use super::output::Output;
use super::rate::Rate;
use super::reader::Reader;
use super::ring::{Drain, Filler, Ring, Watermarks};
use super::signals;
use super::takers::{LOOK, Takers};
use super::view::{Show, Unopened, View};
use super::watchdog::Watchdog;
use super::writer::{Failure, Manner, Writer, say_lost};

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
    fn note(&mut self, event: Event, takers: &mut Takers) {
        match event {
            Event::Read => self.reading = false,
            Event::Written(index, result) => {
                takers.forget(index);
                // What was said first was the reason.
                if self.outputs[index].is_none() {
                    self.outputs[index] = Some(result);
                }
            }
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
    let mut memory = plan.memory;
    // Where a write's length is a record's, as on a tape, blocks must not be cut at a page's end.
    let takes_pages = |output: &Output| output.kind() == Kind::Pipe && output.path().is_none();
    if !plan.outputs.iter().all(takes_pages) {
        memory.keep();
    }
    let (ring, filler, drains) = Ring::new(memory, plan.geometry, plan.marks, ends);
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
    let bar = plan.show.bar && plan.show.on_terminal;
    let takers = Takers::new(&plan.outputs, counters.clone());
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
        looked: Instant::now(),
        bar: bar.then(|| Bar::new(file_size)).flatten(),
        shown: None,
        terminal: plan.changer.terminal.clone(),
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
    start_writers(plan.outputs, &plan.manner, &takers, &mut drains, &ring, log, &wires)?;
    start_hashes(&plan.hashes, drains, &wires)?;
    start_reader(reader, filler, &ring, &wires)?;
    let terminal = view.terminal.clone();
    let status = wait(view, takers, &wires);
    terminal.restore();
    status
}

/// Waits for the end, whatever brings it, and shows how it goes meanwhile. The exit status.
fn wait(mut view: View, mut takers: Takers, wires: &Wires) -> Result<u8, Fatal> {
    let mut progress = Progress {
        reading: true,
        outputs: view.names.iter().map(|_| None).collect(),
        hashes: view.hashes.iter().map(|_| None).collect(),
    };
    let mut last_look = Instant::now();
    while !progress.is_over() {
        let until_look = if takers.are_watched() { LOOK.saturating_sub(last_look.elapsed()) } else { LOOK * 7200 };
        select! {
            recv(wires.reports) -> event => if let Ok(event) = event { progress.note(event, &mut takers) },
            recv(wires.ended) -> _ => break,
            default(view.until_next().min(until_look)) => {}
        }
        if view.until_next().is_zero() {
            view.tick();
        }
        if takers.are_watched() && last_look.elapsed() >= LOOK {
            last_look = Instant::now();
            for (index, error) in takers.lost() {
                let main = index + 1 == view.names.len();
                say_lost(&view.names[index], main.then(|| view.counters.main_written()), error, &view.log);
                progress.note(Event::Written(index, Err(Failure(super::why(error)))), &mut takers);
            }
        }
        if view.log.must_end() {
            view.end_line();
            return Ok(1);
        }
    }
    view.end_line();
    Ok(view.conclude(&progress.outputs, &progress.hashes))
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
    takers: &Takers,
    drains: &mut impl Iterator<Item = Drain>,
    ring: &Arc<Ring>,
    log: &Arc<Log>,
    wires: &Wires,
) -> Result<(), Fatal> {
    let last = outputs.len().saturating_sub(1);
    let last_named = outputs.iter().rposition(|output| output.path().is_some());
    for ((index, output), drain) in outputs.into_iter().enumerate().zip(drains) {
        if output.kind() == Kind::Pipe {
            widen_pipe(std::os::fd::AsFd::as_fd(&output));
        }
        let main = index == last;
        let has_volumes = Some(index) == last_named;
        let (manner, end, counters, log) =
            (manner.clone(), takers.end(index), takers.counters.clone(), log.clone());
        let writer = Writer { output, index, main, has_volumes, end, manner, counters, log };
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
