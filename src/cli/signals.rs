//! Signals that end a run in good order: what is held outside the process is let go of on the way out.

use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM};
use signal_hook::consts::{SIGXCPU, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::error::{Error, Result};
use crate::stop::Stop;

/// Every signal whose default is to end the process and that can be caught, but SIGUSR1 (prints the state), faults,
/// and those that Rust ignores.
const ENDING: [i32; 12] =
    [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR2, SIGVTALRM, SIGPROF, SIGIO, libc::SIGPWR, SIGXCPU, SIGXFSZ];

/// Ends the run with the first signal that comes. One that is ignored from the start, as SIGHUP is under nohup(1),
/// stays ignored. A write to a closed pipe is an error like others, for Rust's runtime ignores SIGPIPE; one that is
/// sent by hand has no effect.
///
/// # Errors
/// When no thread can be started.
pub fn watch(stop: &Stop) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("cannot watch for signals", "SIGINT and others", &e);
    // It asks for the state; before there is one to print it must not end the run, which is its default.
    signal_hook::flag::register(SIGUSR1, Arc::default()).map_err(failed)?;
    let mut signals = Signals::new(ENDING.iter().filter(|signal| !is_ignored(**signal))).map_err(failed)?;
    let stop = stop.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                stop.fail(Error::signal(signal));
            }
        })
        .map_err(failed)?;
    Ok(())
}

/// proc(5): SigIgn in status is a mask in hexadecimal, bit 0 for signal 1.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
