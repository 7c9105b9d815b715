//! `--progress bar`: the facts of the status line as a bar on the terminal, for those who ask for it.
//!
//! Drawn by the main thread at each tick of the status line, and wiped at the end.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::status::{self, Figures};

/// A bar on standard error.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar for an input of `size` bytes, or of unknown size; `None` where standard error is no terminal.
    pub fn new(size: Option<u64>) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
        let template = match size {
            Some(_) => "[{elapsed_precise}] [{wide_bar}] {percent:>3}% {msg}",
            None => "[{elapsed_precise}] {spinner} {msg}",
        };
        // The templates are those above; should one not parse, the default style does as well.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Some(Bar { bar })
    }

    /// Draws these figures.
    pub fn show(&self, figures: &Figures) {
        self.bar.set_message(status::line(&Figures { done: None, ..*figures }));
        self.bar.set_position(figures.written);
    }

    /// Takes the bar off the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
