//! A command that runs in a process group of its own, and the end of that group.
//!
//! In: a shell that is not started. Out: how it ended. On the caller's thread, which sees the command's end within
//! [`LOOK`]. What has left the group, as setsid(1) makes a process do, is not found.

use std::fs;
use std::io;
use std::process::{Child, ChildStdin, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::stop::Stop;

/// How often it is looked whether a command has ended: a virtual machine stands still meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// The same of a whole group that is being ended: all processes are looked at.
const LOOK_AROUND: Duration = Duration::from_millis(10);

/// How long a command that is told to end may take to do so.
const GRACE: Duration = Duration::from_secs(2);

/// A command that runs, as the leader of its group.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    group: Pid,
}

impl Running {
    /// Starts it. It is to be a shell with a group of its own.
    pub(super) fn start(shell: &mut Command) -> io::Result<Self> {
        let child = shell.spawn()?;
        // A pid is an i32.
        let group = Pid::from_raw(child.id() as i32);
        Ok(Running { child, group })
    }

    /// Its group.
    pub(super) fn group(&self) -> Pid {
        self.group
    }

    /// Its standard input, if that was to be a pipe.
    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for its end; `None` where the run has ended before, and then the whole group has.
    pub(super) fn wait(&mut self, stop: Option<&Stop>) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            match stop {
                Some(stop) if stop.sleep(LOOK).is_err() => {
                    self.end();
                    return Ok(None);
                }
                Some(_) => {}
                None => thread::sleep(LOOK),
            }
        }
    }

    /// Ends it and what it has started: they are told to, and those who do not are killed. Nobody of them does anything
    /// any more when this returns.
    pub(super) fn end(&mut self) {
        let _ = killpg(self.group, Signal::SIGTERM);
        if !self.is_gone_within(GRACE) {
            let _ = killpg(self.group, Signal::SIGKILL);
            // Who is in the kernel for long, as in a write to a pool that is full, comes back to no command of his own.
            self.is_gone_within(GRACE);
        }
    }

    /// Whether there is nobody left in the group. The shell is waited for; its pid is not another's before the group is
    /// empty, and not soon after, for the kernel goes round all of them.
    fn is_gone_within(&mut self, time: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let _ = self.child.try_wait();
            if !is_alive(self.group) {
                return true;
            }
            if begun.elapsed() >= time {
                return false;
            }
            thread::sleep(LOOK_AROUND);
        }
    }
}

/// Whether somebody in the group may still do something. Who has ended and was not waited for does not count: orphans
/// stay so for as long as it pleases init.
fn is_alive(group: Pid) -> bool {
    if killpg(group, None).is_err() {
        return false;
    }
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes.flatten().filter(|process| process.file_name().as_encoded_bytes()[0].is_ascii_digit()).any(
        |process| {
            // One that is gone by now does not count either.
            let stat = fs::read(process.path().join("stat"));
            stat.is_ok_and(|stat| is_alive_in(&String::from_utf8_lossy(&stat), group))
        },
    )
}

/// Of one process, by its line in proc_pid_stat(5): `PID (NAME) STATE PARENT GROUP ...`. A name can have anything in it,
/// and is cut after 15 bytes, within a character if need be.
fn is_alive_in(stat: &str, group: Pid) -> bool {
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let is_running = fields.next().is_some_and(|state| !matches!(state, "Z" | "X"));
    is_running && fields.nth(1).and_then(|group| group.parse().ok()) == Some(group.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::path::Path;

    fn start(command: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", command]).process_group(0)).expect("sh")
    }

    fn wait_for(path: &Path) {
        let begun = Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it has not begun");
            thread::sleep(LOOK);
        }
    }

    #[test]
    fn those_whom_a_command_has_started_end_with_it_even_if_they_do_not_want_to() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let (ready, left) = (scratch.path().join("ready"), scratch.path().join("left"));
        // The shell ends at once when it is told to; the other does not.
        let deaf = format!("(trap '' TERM; touch {}; sleep 3; touch {}) & wait", ready.display(), left.display());
        let mut running = start(&deaf);
        wait_for(&ready);
        running.end();
        assert!(!is_alive(running.group()), "somebody is left");
        thread::sleep(Duration::from_millis(1500));
        assert!(!left.exists());
    }

    #[test]
    fn who_has_ended_is_not_alive_and_who_is_in_another_group_is_not_meant() {
        let group = Pid::from_raw(12);
        for (stat, alive) in [
            ("13 (sh) S 1 12 12 0 -1", true),
            ("13 (a) Z 1 12 b) R 1 12 12 0", true),
            ("13 (sh) Z 1 12 12 0 -1", false),
            ("13 (sh) S 1 120 12 0 -1", false),
            ("", false),
        ] {
            assert_eq!(is_alive_in(stat, group), alive, "{stat}");
        }
    }

    #[test]
    fn who_has_a_name_that_is_no_text_is_alive_too() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        // 14 bytes, and the first of the last character's two.
        let sleep = scratch.path().join("aaaaaaaaaaaaaa\u{e4}");
        fs::copy("/bin/sleep", &sleep).expect("copied");
        let mut running =
            Running::start(Command::new(&sleep).arg0("sleep").arg("9").process_group(0)).expect("sleep");
        let stat = format!("/proc/{}/stat", running.group());
        while !fs::read(&stat).expect("it runs").windows(3).any(|name| name == b"(aa") {
            thread::sleep(LOOK);
        }
        assert!(fs::read_to_string(&stat).is_err(), "its name is text");
        assert!(is_alive(running.group()));
        running.end();
        assert!(!is_alive(running.group()));
    }

    #[test]
    fn who_needs_a_moment_to_end_has_it() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let (ready, tidied) = (scratch.path().join("ready"), scratch.path().join("tidied"));
        let tidy = format!(
            "(trap 'sleep 0.2; touch {}; exit' TERM; touch {}; sleep 9 & wait) & wait",
            tidied.display(),
            ready.display()
        );
        let mut running = start(&tidy);
        wait_for(&ready);
        running.end();
        assert!(tidied.exists());
    }
}
