//! Asking the person at the terminal, which is fd 2, for another medium.
//!
//! Runs on the reader's or an output's own thread, which waits for the answer; a terminal that hangs up is an answer
//! too. The main thread shows no status meanwhile, and gives the terminal back as it was if the run ends before.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use super::descriptor;
use super::log::Log;

/// The terminal, shared by those who ask and the main thread.
#[derive(Debug, Default)]
pub struct Terminal {
    asking: AtomicBool,
    // How it was before single keys were asked for.
    before: Mutex<Option<Termios>>,
}

impl Terminal {
    /// Whether there is one.
    pub fn is_there() -> bool {
        descriptor::is_terminal(io::stderr().as_fd())
    }

    /// Whether somebody is being asked: a status line would write over the question.
    pub fn is_asking(&self) -> bool {
        self.asking.load(Ordering::Relaxed)
    }

    /// Asks for an empty medium; false if the terminal went away.
    pub fn ask_for_medium(&self, log: &Log) -> bool {
        self.asking.store(true, Ordering::Relaxed);
        log.terminal(b"\nvolume full - insert new media and press return when ready...\n");
        let answered = key(|byte| byte == b'\n').is_some();
        if answered {
            log.terminal(b"\nOK - continuing...\n");
        }
        self.asking.store(false, Ordering::Relaxed);
        answered
    }

    /// Asks whether there is another medium to read; a terminal that went away is a "no".
    pub fn ask_for_more(&self, log: &Log) -> bool {
        self.asking.store(true, Ordering::Relaxed);
        self.take_single_keys();
        log.terminal(b"\nContinue with next volume? Press 'y' to continue or 'n' to finish...");
        let more = match key(|byte| matches!(byte, b'y' | b'Y' | b'n' | b'N')) {
            Some(b'y' | b'Y') => {
                log.terminal(b"\nyes - continuing with next volume...\n\nOK - continuing...\n");
                true
            }
            Some(_) => {
                log.terminal(b"\nno - input done, waiting for output to finish...\n");
                false
            }
            None => false,
        };
        self.restore();
        self.asking.store(false, Ordering::Relaxed);
        more
    }

    /// From now on a key is an answer without Return, and is not shown. Ctrl-C stays what it is.
    fn take_single_keys(&self) {
        let stderr = io::stderr();
        let Ok(before) = termios::tcgetattr(&stderr) else { return };
        let mut single = before.clone();
        single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        // Where this fails, Return is needed after the key.
        let _ = termios::tcsetattr(&stderr, SetArg::TCSANOW, &single);
    }

    /// The terminal is again as it was.
    pub fn restore(&self) {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            // One that is gone needs nothing.
            let _ = termios::tcsetattr(io::stderr(), SetArg::TCSANOW, &before);
        }
    }
}

/// Waits for a key that `is_answer`; `None` when the terminal is gone.
fn key(is_answer: impl Fn(u8) -> bool) -> Option<u8> {
    let stderr = io::stderr();
    let mut byte = [0];
    loop {
        match descriptor::read_shared(stderr.as_fd(), &mut byte) {
            Ok(1) if is_answer(byte[0]) => return Some(byte[0]),
            Ok(1) => {}
            _ => return None,
        }
    }
}
