//! What a run is at, where it is a matter of seconds and there is nothing to count: one line on the terminal.

use std::cell::Cell;
use std::io::{Write, stderr};

use super::terminal;

/// A line on the terminal behind standard error, if there is one; gone when this is dropped.
pub struct StepLine {
    is_seen: bool,
    is_drawn: Cell<bool>,
}

/// To the beginning of the line, and all of it erased: ECMA-48, EL.
const ERASE: &str = "\r\x1b[K";

impl StepLine {
    /// Nothing is drawn yet; nor later, with `quiet`.
    pub fn new(quiet: bool) -> Self {
        let is_seen = !quiet && terminal::can_draw() && terminal::is_in_front();
        StepLine { is_seen, is_drawn: Cell::new(false) }
    }

    /// Says what is done from now on.
    pub fn say(&self, what: &str) {
        if self.is_seen {
            let room = terminal::width().saturating_sub(1);
            let line: String = what.chars().filter(|c| !c.is_control()).take(room).collect();
            self.is_drawn.set(true);
            write(&format!("{ERASE}{line}"));
        }
    }

    /// Prints lines of text, above.
    pub fn println(&self, text: &str) {
        self.clear();
        write(&format!("{text}\n"));
    }

    /// Takes the line away, as before a program that talks to the terminal itself.
    pub fn clear(&self) {
        if self.is_drawn.replace(false) {
            write(ERASE);
        }
    }
}

impl Drop for StepLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Standard error may be closed, or a terminal that is gone: there is nobody left to tell.
fn write(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}
