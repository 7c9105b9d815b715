//! Standard input and output as the program found them.
//!
//! Rust's runtime opens /dev/null in place of a standard stream that is closed; mbuffer reports it. So whether they
//! were open is noted before the runtime starts.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// The standard streams, and whether they were open when the program started.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// Standard input.
    pub stdin: Option<BorrowedFd<'static>>,
    /// Standard output.
    pub stdout: Option<BorrowedFd<'static>>,
}

static STDIN_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before `main`, when nothing but the C library is there.
extern "C" fn note() {
    // SAFETY: fcntl with F_GETFD takes any number and changes nothing.
    let closed = |fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0;
    STDIN_CLOSED.store(closed(libc::STDIN_FILENO), Ordering::Relaxed);
    STDOUT_CLOSED.store(closed(libc::STDOUT_FILENO), Ordering::Relaxed);
}

// SAFETY: the section holds pointers to functions without arguments that run before main; `note` needs no runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

/// The streams, where they were open.
pub fn streams() -> Streams {
    // SAFETY: descriptors 0 and 1 are open for the whole run: the runtime has seen to it, and nothing closes them.
    let (stdin, stdout) =
        unsafe { (BorrowedFd::borrow_raw(libc::STDIN_FILENO), BorrowedFd::borrow_raw(libc::STDOUT_FILENO)) };
    Streams {
        stdin: (!STDIN_CLOSED.load(Ordering::Relaxed)).then_some(stdin),
        stdout: (!STDOUT_CLOSED.load(Ordering::Relaxed)).then_some(stdout),
    }
}
