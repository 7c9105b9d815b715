//! What the user is told, in mbuffer's words: messages with a level, the log file, and the exit status they imply.
//!
//! In: messages from every thread. Out: one `write` per message, on fd 2 or in the log file. A message that cannot be
//! written is dropped: a log that nobody reads must not end a copy (SIGPIPE is ignored by Rust's runtime).

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::descriptor;

/// How much is said: the numbers of `-v`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// 0: nothing.
    Silent,
    /// 1: what ends the run.
    Fatal,
    /// 2: what makes the exit status 1.
    Error,
    /// 3: what may matter; the default.
    Warning,
    /// 4: what is done.
    Info,
    /// 5: how it is done.
    Debug,
    /// 6: each read and write.
    Io,
}

impl Level {
    /// The level for a word or digit of `-v`, in any case.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        let level = match word.trim_ascii().to_ascii_lowercase().as_slice() {
            b"0" | b"silent" | b"none" => Level::Silent,
            b"1" | b"fatal" => Level::Fatal,
            b"2" | b"error" => Level::Error,
            b"3" | b"warning" => Level::Warning,
            b"4" | b"info" => Level::Info,
            b"5" | b"debug" => Level::Debug,
            b"6" | b"io" => Level::Io,
            _ => return None,
        };
        Some(level)
    }
}

/// The one place messages go through; shared by all threads.
pub struct Log {
    sink: Mutex<Sink>,
    level: AtomicU8,
    failed: AtomicBool,
    end_on_error: AtomicBool,
    must_end: AtomicBool,
}

struct Sink {
    prefix: String,
    file: Option<File>,
}

impl Log {
    /// Messages begin with `name: `, mbuffer's default level is [`Level::Warning`].
    pub fn new(name: &str) -> Self {
        Log {
            sink: Mutex::new(Sink { prefix: format!("{name}: "), file: None }),
            level: AtomicU8::new(Level::Warning as u8),
            failed: AtomicBool::new(false),
            end_on_error: AtomicBool::new(false),
            must_end: AtomicBool::new(false),
        }
    }

    /// Says more or less from now on.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Whether messages of this level are shown.
    pub fn shows(&self, level: Level) -> bool {
        self.level.load(Ordering::Relaxed) >= level as u8
    }

    /// Messages go to this file, and no longer to fd 2.
    pub fn set_file(&self, file: File) {
        self.sink().file = Some(file);
    }

    /// Messages begin with this from now on (`--pid`).
    pub fn set_prefix(&self, prefix: String) {
        self.sink().prefix = prefix;
    }

    /// From now on the first error ends the run (`-e`); one that was raised before does not.
    pub fn end_on_error(&self) {
        self.end_on_error.store(true, Ordering::Relaxed);
    }

    /// Whether an error was raised, shown or not: the exit status is 1.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Whether the run must end now: an error was raised after `-e` was given. Nothing more is said then.
    pub fn must_end(&self) -> bool {
        self.must_end.load(Ordering::SeqCst)
    }

    /// What ends the run.
    pub fn fatal(&self, text: &str) {
        self.failed.store(true, Ordering::SeqCst);
        self.say(Level::Fatal, "fatal: ", text);
    }

    /// What makes the exit status 1.
    pub fn error(&self, text: &str) {
        self.failed.store(true, Ordering::SeqCst);
        self.say(Level::Error, "error: ", text);
        if self.end_on_error.load(Ordering::Relaxed) {
            self.must_end.store(true, Ordering::SeqCst);
        }
    }

    /// What may matter, and does not change the status.
    pub fn warning(&self, text: &str) {
        self.say(Level::Warning, "warning: ", text);
    }

    /// What is done.
    pub fn info(&self, text: &str) {
        self.say(Level::Info, "", text);
    }

    /// How it is done.
    pub fn debug(&self, text: &str) {
        self.say(Level::Debug, "", text);
    }

    /// Each read and write; the text is made only where it is shown.
    pub fn io(&self, text: impl FnOnce() -> String) {
        if self.shows(Level::Io) {
            self.say(Level::Io, "", &text());
        }
    }

    /// With the prefix, whatever the level: `--pid`.
    pub fn always(&self, text: &str) {
        let mut sink = self.sink();
        let line = format!("{}{text}\n", sink.prefix);
        sink.write(line.as_bytes());
    }

    /// To fd 2 as it is: the status line, the summary, questions.
    pub fn terminal(&self, text: &[u8]) {
        let _lock = self.sink();
        write_stderr(text);
    }

    /// To the log file as it is, if there is one: its copy of the summary and the hashes.
    pub fn file(&self, text: &[u8]) {
        let mut sink = self.sink();
        if sink.file.is_some() {
            sink.write(text);
        }
    }

    /// With the prefix to the log file, if there is one: its copy of the status line.
    pub fn file_line(&self, text: &str) {
        let mut sink = self.sink();
        if sink.file.is_some() {
            let line = format!("{}{text}\n", sink.prefix);
            sink.write(line.as_bytes());
        }
    }

    fn say(&self, level: Level, kind: &str, text: &str) {
        if self.shows(level) && !self.must_end() {
            let mut sink = self.sink();
            let line = format!("{}{kind}{text}\n", sink.prefix);
            sink.write(line.as_bytes());
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        // What is inside is whole at every moment, also where a thread panicked while writing.
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    fn write(&mut self, text: &[u8]) {
        match &mut self.file {
            // A full disk under the log must not end the copy: as for fd 2, what cannot be written is dropped.
            Some(file) => drop(file.write_all(text)),
            None => write_stderr(text),
        }
    }
}

/// One `write` where the system allows it: lines of several processes on one terminal stay whole.
fn write_stderr(mut text: &[u8]) {
    let stderr = std::io::stderr();
    while !text.is_empty() {
        match descriptor::write_shared(stderr.as_fd(), text) {
            Ok(written) => text = &text[written..],
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_and_digits_in_any_case() {
        for (word, level) in
            [("0", Level::Silent), ("NONE", Level::Silent), ("Warning", Level::Warning), ("6", Level::Io)]
        {
            assert_eq!(Level::from_word(word.as_bytes()), Some(level), "{word}");
        }
        for word in ["7", "", "-1", "verbose", "33"] {
            assert_eq!(Level::from_word(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn an_error_that_is_not_shown_still_fails_the_run() {
        let log = Log::new("mbuffer");
        log.set_level(Level::Silent);
        log.warning("w");
        assert!(!log.failed());
        log.error("e");
        assert!(log.failed() && !log.must_end());
        log.end_on_error();
        assert!(!log.must_end(), "that error was raised before");
        log.error("e");
        assert!(log.must_end());
    }
}
