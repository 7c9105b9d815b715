//! Standard error while a bar may be on it: one place through which all lines go, so that none tears the bar.

use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints lines on standard error, above the bar if there is one. Cheap to clone; for any thread, at any time.
#[derive(Debug, Clone)]
pub struct Console {
    /// Hidden until the first [`Console::draw_bar`].
    bar: ProgressBar,
    /// Another lvpipe draws its bar on this terminal.
    shared: Arc<AtomicBool>,
}

impl Console {
    pub(super) fn new() -> Console {
        let style = ProgressStyle::with_template("{msg}").expect("a fixed template");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style);
        Console { bar, shared: Arc::default() }
    }

    /// Prints a line, or several. What cannot be written is dropped.
    pub fn println(&self, text: &str) {
        // The other's bar is two lines high with the cursor at its end, and its next frame begins a line above the
        // cursor. So our text starts on a new line and leaves an empty one for that frame.
        let around = if self.shared.load(Relaxed) { "\n" } else { "" };
        self.bar.suspend(|| {
            // Standard error may be closed, or a pipe without a reader: there is nobody left to tell.
            let _ = stderr().lock().write_all(format!("{around}{text}\n{around}").as_bytes());
        });
    }

    pub(super) fn set_shared(&self, shared: bool) {
        self.shared.store(shared, Relaxed);
    }

    /// Draws the bar's lines in place of those drawn before.
    pub(super) fn draw_bar(&self, lines: String) {
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_message(lines);
    }

    /// Draws the bar's lines for the last time and leaves them on the terminal, if there was a bar at all.
    pub(super) fn leave_bar(&self, lines: &str) {
        if !self.bar.is_hidden() {
            self.bar.abandon_with_message(lines.to_string());
            // From here on the bar is text like any other, and the cursor at its end. Hidden, it is not drawn again.
            self.bar.set_draw_target(ProgressDrawTarget::hidden());
            let _ = stderr().lock().write_all(b"\n");
        }
    }

    /// Removes the bar.
    pub(super) fn clear_bar(&self) {
        self.bar.finish_and_clear();
    }
}
