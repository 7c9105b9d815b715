//! The thread that shows the figures while a run lasts, and the summary at its end.
//!
//! The thread wakes a few times a second, reads the [`Figures`], and writes to standard error what the [`ProgressKind`]
//! asks for. It ends when the [`Reporter`] is finished or dropped; dropping takes the bar off the terminal, so that
//! an error message stands alone. What cannot be written is dropped: figures never end a transfer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::ValueEnum;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use signal_hook::SigId;
use signal_hook::consts::SIGUSR1;
use signal_hook::low_level::unregister;

use super::console::Console;
use super::figures::Figures;
use super::pace::{Pace, State};
use super::terminal::{self, Turn};
use super::{json, text};

/// The bar is redrawn, and SIGUSR1 answered, this often.
const TICK: Duration = Duration::from_millis(200);
/// Distance of plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Distance of JSON lines.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// How progress is shown, all of it on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressKind {
    /// A bar on a terminal; elsewhere plain lines with -v, nothing without.
    Auto,
    /// A bar; plain lines where standard error is not a terminal.
    Bar,
    /// A line every 10 seconds.
    Plain,
    /// A JSON object every second and one at the end, in place of the summary.
    Json,
    /// Only the summary.
    None,
}

/// How a run ended, for the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All went well. The note is appended to the summary, such as `sha256 verified`; it may be empty.
    Done(String),
    /// It failed. The error itself is printed by `main`; only JSON tells the figures.
    Failed,
}

/// What is shown while the run lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bar,
    Plain,
    Json,
    Nothing,
}

impl Mode {
    fn choose(kind: ProgressKind, verbose: bool, quiet: bool, can_draw: bool) -> Mode {
        match kind {
            _ if quiet => Mode::Nothing,
            ProgressKind::Auto | ProgressKind::Bar if can_draw => Mode::Bar,
            ProgressKind::Bar | ProgressKind::Plain => Mode::Plain,
            ProgressKind::Auto if verbose => Mode::Plain,
            ProgressKind::Json => Mode::Json,
            ProgressKind::Auto | ProgressKind::None => Mode::Nothing,
        }
    }

    /// Distance of the lines that are printed in this mode.
    fn line_every(self) -> Option<Duration> {
        match self {
            Mode::Plain => Some(PLAIN_EVERY),
            Mode::Json => Some(JSON_EVERY),
            Mode::Bar | Mode::Nothing => None,
        }
    }
}

/// Shows the progress of one run until it is finished or dropped.
#[derive(Debug)]
pub struct Reporter {
    figures: Arc<Figures>,
    console: Console,
    mode: Mode,
    quiet: bool,
    thread: Option<(Sender<()>, JoinHandle<Watch>)>,
}

impl Reporter {
    /// Starts the thread. `quiet` silences all but errors and the answer to SIGUSR1; `verbose` asks for plain lines
    /// where there is no terminal. Where no thread can be started, only the summary is printed.
    pub fn start(figures: Arc<Figures>, kind: ProgressKind, verbose: bool, quiet: bool) -> Reporter {
        let mode = Mode::choose(kind, verbose, quiet, terminal::can_draw());
        let console = Console::new();
        let asked = Arc::new(AtomicBool::new(false));
        // Without the handler the signal would end the run, which is what the system does anyway if this fails.
        let on_signal = signal_hook::flag::register(SIGUSR1, asked.clone()).ok();
        let (finish, finished) = bounded(1);
        let watch = Watch {
            pace: Pace::new(figures.snapshot()),
            figures: figures.clone(),
            console: console.clone(),
            mode,
            turn: Turn::Waiting,
            colour: terminal::wants_colour(),
            asked,
            on_signal,
        };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || watch.run(&finished));
        let thread = thread.ok().map(|thread| (finish, thread));
        Reporter { figures, console, mode, quiet, thread }
    }

    /// Where other messages go while the run lasts, without tearing the bar. It can be cloned and kept by any thread.
    pub fn console(&self) -> Console {
        self.console.clone()
    }

    /// Draws the last state and prints the summary, or the last JSON line.
    pub fn finish(mut self, outcome: Outcome) {
        let (ok, note) = match &outcome {
            Outcome::Done(note) => (true, note.as_str()),
            Outcome::Failed => (false, ""),
        };
        let now = self.figures.snapshot();
        // The thread's right to draw is kept until the summary is out: another lvpipe's bar comes after it.
        let watch = self.join(ok);
        let last = match &watch {
            Some(watch) => watch.pace.last(now),
            None => Pace::new(now.clone()).last(now),
        };
        match self.mode {
            Mode::Json => self.console.println(&json::line(&last, Some((ok, note)))),
            _ if self.quiet || !ok => {}
            _ => self.console.println(&text::summary(&last.now, note)),
        }
    }

    /// Ends the thread, which leaves the bar as it is at the end of a run that went well, and removes it otherwise.
    fn join(&mut self, ok: bool) -> Option<Watch> {
        let (finish, thread) = self.thread.take()?;
        if ok {
            // The thread has room for one message and may be gone only by a panic, which join tells.
            let _ = finish.send(());
        }
        drop(finish);
        thread.join().ok()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.join(false);
    }
}

/// What the thread owns.
#[derive(Debug)]
struct Watch {
    figures: Arc<Figures>,
    pace: Pace,
    console: Console,
    mode: Mode,
    turn: Turn,
    colour: bool,
    /// SIGUSR1 has come.
    asked: Arc<AtomicBool>,
    on_signal: Option<SigId>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.on_signal.take().map(unregister);
    }
}

impl Watch {
    /// Until the other end of `finished` says so, or is gone.
    fn run(mut self, finished: &Receiver<()>) -> Watch {
        let mut next_line = self.mode.line_every();
        let ended_well = loop {
            match finished.recv_timeout(TICK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) => break true,
                Err(RecvTimeoutError::Disconnected) => break false,
            }
            let state = self.pace.state(self.figures.snapshot());
            if self.asked.swap(false, Relaxed) {
                self.console.println(&text::plain_line(&state));
            }
            self.draw(&state);
            next_line = self.print_line(&state, next_line);
        };
        if ended_well {
            let last = self.pace.last(self.figures.snapshot());
            self.console.leave_bar(&text::bar_lines(&last, terminal::width(), self.colour));
        } else {
            self.console.clear_bar();
        }
        self
    }

    fn draw(&mut self, state: &State) {
        if self.mode != Mode::Bar {
            return;
        }
        self.turn.ask(state.now.role, state.now.elapsed);
        self.console.set_shared(matches!(self.turn, Turn::Theirs));
        if self.turn.is_ours() && terminal::is_in_front() {
            self.console.draw_bar(text::bar_lines(state, terminal::width(), self.colour));
        }
    }

    /// Prints the line that is due, and says when the next one will be.
    fn print_line(&self, state: &State, due: Option<Duration>) -> Option<Duration> {
        if due.is_none_or(|due| state.now.elapsed < due) {
            return due;
        }
        let line = if self.mode == Mode::Json { json::line(state, None) } else { text::plain_line(state) };
        self.console.println(&line);
        // From the line's own time on: after a long stop (SIGSTOP, a suspended machine) lines are not made up for.
        self.mode.line_every().map(|every| state.now.elapsed + every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_follows_from_options_and_terminal() {
        use ProgressKind::{Auto, Bar, Json, None, Plain};
        // kind, verbose, quiet, on a terminal
        let rows = [
            (Auto, false, false, true, Mode::Bar),
            (Auto, true, false, true, Mode::Bar),
            (Auto, false, false, false, Mode::Nothing),
            (Auto, true, false, false, Mode::Plain),
            (Auto, true, true, true, Mode::Nothing),
            (Bar, false, false, true, Mode::Bar),
            (Bar, false, false, false, Mode::Plain),
            (Plain, false, false, true, Mode::Plain),
            (Plain, false, true, true, Mode::Nothing),
            (Json, false, false, true, Mode::Json),
            (Json, false, true, false, Mode::Nothing),
            (None, true, false, true, Mode::Nothing),
        ];
        for (kind, verbose, quiet, can_draw, mode) in rows {
            assert_eq!(Mode::choose(kind, verbose, quiet, can_draw), mode, "{kind:?} {verbose} {quiet} {can_draw}");
        }
    }
}
