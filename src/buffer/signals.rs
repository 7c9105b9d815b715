//! SIGINT and SIGHUP end a run at once, with status 1 and a summary; all other signals do what they always do.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook::iterator::Signals;

/// If the main thread cannot end the run in this time (its stderr is a pipe that nobody reads), the process ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// From now on the signals are caught, and each is reported to `ended`.
pub fn catch(ended: Sender<()>) -> io::Result<()> {
    let mut caught = vec![SIGINT];
    // Under nohup a hangup is to be survived.
    if !is_ignored(SIGHUP) {
        caught.push(SIGHUP);
    }
    let mut signals = Signals::new(caught)?;
    let wait = move || {
        let caught = signals.forever().next();
        if caught.is_some() && ended.send(()).is_ok() {
            thread::sleep(PATIENCE);
            // SAFETY: _exit(2) takes any status and runs nothing of ours.
            unsafe { libc::_exit(1) };
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: sigaction is plain data; a null new action only asks for the present one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
