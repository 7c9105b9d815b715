//! A volume's user that stands still, and goes on again whatever happens, until the point from which it must not.
//!
//! In: the pause and the unpause command. Out: a guard ([`Paused`]). Whatever ends the migration while it is held runs
//! the unpause command, once: an error, a panic, a signal, and SIGKILL too. For that there is a watchman, a shell whose
//! standard input ends when this process does. While the pause command runs the watchman knows its process group, and ends
//! that before: it would pause for good what was just let go on. From [`Paused::hold`] on, which is before anything on
//! the far side may run, only [`Paused::undo`] does so, by somebody who knows that nothing runs there: two that run would
//! destroy each other's data.

use std::io::{self, Write};
use std::process::{Child, Stdio};

use super::commands::{self, About, Output, Task};
use crate::error::{Error, Result, Status};
use crate::stop::Stop;

/// The commands, and what they are about.
#[derive(Debug, Clone)]
pub struct Pause {
    /// What makes the volume's user stand still.
    pub command: String,
    /// What lets it go on; without, it has to be done by hand.
    pub undo: Option<String>,
    /// What both are about.
    pub about: About,
}

/// What the watchman does. He hears of process groups that are to be ended before he acts, one a line, or 0 for none, and
/// acts when his standard input ends. One that is told to end has some two seconds for that; of one that is killed after
/// that nobody does anything any more, even if it is not gone yet.
///
/// Signals that are meant for a whole service do not end him: nobody could be told of the pause then. Only SIGKILL does.
const WATCH: &str = r#"
trap '' HUP INT TERM
group=0
while read -r heard; do group=$heard; done
echo "lvpipe: migrate was killed while $LVPIPE_SOURCE was paused: unpausing it" >&2
if [ "$group" -gt 0 ] && kill -TERM -"$group"; then
    tries=10
    while [ $tries -gt 0 ] && [ -n "$(LC_ALL=C sed -n "s/^.*) [^ZX] [0-9]* $group .*/alive/p" /proc/[0-9]*/stat)" ]; do
        tries=$((tries - 1))
        sleep 0.2
    done
    kill -KILL -"$group" && sleep 0.1
fi 2>/dev/null
trap - HUP INT TERM
exec sh -c "$UNDO" </dev/null
"#;

/// The volume's user stands still. Dropped, it goes on, unless the point of no return has been passed.
#[derive(Debug)]
pub struct Paused {
    pause: Pause,
    watchman: Option<Watchman>,
    /// Whether it is undone when nobody says anything else.
    is_undone_by_itself: bool,
}

impl Pause {
    /// Runs the pause command. One that fails, or is ended, may have done half of its work: it is undone.
    ///
    /// # Errors
    /// The command's failure; what ended the run. With what became of the undoing.
    pub fn begin(self, stop: &Stop) -> Result<Paused> {
        let watchman = self.undo.as_deref().map(|undo| Watchman::start(&self.about, undo)).transpose()?;
        let mut paused = Paused { pause: self, watchman, is_undone_by_itself: true };
        match paused.run_command(stop) {
            Ok(()) => Ok(paused),
            Err(error) => Err(paused.undo(error)),
        }
    }
}

impl Paused {
    /// The pause command, to its end. It does not begin before the watchman knows of it.
    fn run_command(&mut self, stop: &Stop) -> Result<()> {
        let Pause { command, about, .. } = &self.pause;
        let mut running = about.prepare(Task::Pause, command)?;
        if let Some(watchman) = &mut self.watchman {
            watchman.tell(running.group().as_raw()).map_err(Watchman::cannot_tell)?;
        }
        commands::begin(&mut running);
        let paused = commands::wait(&mut running, Task::Pause, command, Some(stop));
        let told = self.watchman.as_mut().map_or(Ok(()), |watchman| watchman.tell(0));
        paused.and(told.map_err(Watchman::cannot_tell))
    }

    /// From here on it is not undone by itself.
    pub fn hold(&mut self) {
        self.is_undone_by_itself = false;
        self.dismiss();
    }

    /// Runs the unpause command, to its end. The error that made it necessary, with what became of the source.
    #[must_use]
    pub fn undo(mut self, error: Error) -> Error {
        self.is_undone_by_itself = false;
        match self.undo_now() {
            Ok(()) => error,
            Err(why) => error.also(format!("{} is still paused: {why}", self.pause.about.source)),
        }
    }

    fn undo_now(&mut self) -> Result<()> {
        let Pause { undo, about, .. } = &self.pause;
        let Some(undo) = undo else {
            return Err(Error::new(Status::Io, "no --unpause command is given", "", ""));
        };
        let undone = about.run(Task::Unpause, undo, Output::Inherited, None);
        // Only now: where this process is killed meanwhile, it is tried once more.
        self.dismiss();
        undone
    }

    fn dismiss(&mut self) {
        self.watchman.take().into_iter().for_each(Watchman::dismiss);
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if self.is_undone_by_itself {
            // Only a panic comes by here; it has said so.
            let _ = self.undo_now();
        }
        self.dismiss();
    }
}

/// Who unpauses when nobody else can.
#[derive(Debug)]
struct Watchman {
    shell: Child,
}

impl Watchman {
    fn start(about: &About, undo: &str) -> Result<Self> {
        let mut shell = about.shell(WATCH);
        let shell = shell.env("UNDO", undo).stdin(Stdio::piped()).spawn().map_err(cannot_watch)?;
        Ok(Watchman { shell })
    }

    /// This group is to be ended before he acts; 0 for none.
    fn tell(&mut self, group: i32) -> io::Result<()> {
        self.shell.stdin.as_mut().map_or(Ok(()), |stdin| writeln!(stdin, "{group}"))
    }

    /// That it could not be told him: he has ended, or was killed.
    fn cannot_tell(why: io::Error) -> Error {
        Error::io("lost the watchman, who unpauses if this process is killed", "sh", &why)
    }

    /// He is not needed any more.
    fn dismiss(mut self) {
        // Killed before his standard input ends, which is when he would act.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn cannot_watch(why: io::Error) -> Error {
    Error::io("cannot start the watchman", "sh", &why)
}

#[cfg(test)]
mod tests {
    use super::super::commands::tests::about;
    use super::*;
    use std::path::Path;
    use std::thread;
    use std::time::Duration;

    fn scene() -> (tempfile::TempDir, impl Fn(&str) -> String) {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().to_path_buf();
        (scratch, move |name| format!("echo {name} >> {}/log", path.display()))
    }

    fn log(scratch: &Path) -> String {
        std::fs::read_to_string(scratch.join("log")).unwrap_or_default()
    }

    fn failure() -> Error {
        Error::signal(2)
    }

    #[test]
    fn what_was_paused_goes_on_once_when_it_failed() {
        let (scratch, note) = scene();
        let pause = Pause { command: note("pause"), undo: Some(note("unpause")), about: about() };
        let paused = pause.clone().begin(&Stop::new()).expect("paused");
        assert_eq!(paused.undo(failure()), failure());
        assert_eq!(log(scratch.path()), "pause\nunpause\n");
        drop(pause.begin(&Stop::new()).expect("paused"));
        assert_eq!(log(scratch.path()), "pause\nunpause\npause\nunpause\n");
    }

    #[test]
    fn from_some_point_on_nothing_goes_on_by_itself() {
        let (scratch, note) = scene();
        let pause = Pause { command: note("pause"), undo: Some(note("unpause")), about: about() };
        let mut paused = pause.begin(&Stop::new()).expect("paused");
        paused.hold();
        drop(paused);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(log(scratch.path()), "pause\n");
        let pause = Pause { command: note("pause"), undo: Some(note("unpause")), about: about() };
        let mut paused = pause.begin(&Stop::new()).expect("paused");
        paused.hold();
        assert_eq!(paused.undo(failure()), failure());
        assert_eq!(log(scratch.path()), "pause\npause\nunpause\n");
    }

    #[test]
    fn a_pause_that_fails_is_undone_and_without_a_command_for_it_that_is_said() {
        let (scratch, note) = scene();
        let pause = Pause { command: "exit 3".into(), undo: Some(note("unpause")), about: about() };
        let error = pause.clone().begin(&Stop::new()).expect_err("3");
        assert!(error.to_string().starts_with("the pause command failed: exit 3: "), "{error}");
        assert_eq!(log(scratch.path()), "unpause\n");
        let error = Pause { undo: None, ..pause.clone() }.begin(&Stop::new()).expect_err("3");
        assert!(error.to_string().contains("vg/vm1 is still paused: no --unpause command"), "{error}");
        let error = Pause { undo: Some("exit 4".into()), ..pause }.begin(&Stop::new()).expect_err("3");
        assert!(error.to_string().contains("vg/vm1 is still paused: the unpause command failed"), "{error}");
    }

    /// What the end of the process that has the pipe comes to.
    fn left_alone(mut watchman: Watchman) {
        drop(watchman.shell.stdin.take());
        watchman.shell.wait().expect("it ends");
    }

    #[test]
    fn the_watchman_lets_it_go_on_when_nobody_else_can() {
        let (scratch, note) = scene();
        let mut watchman = Watchman::start(&about(), &note("unpause")).expect("started");
        // One that has ended.
        watchman.tell(i32::MAX).expect("it hears");
        watchman.tell(0).expect("it hears");
        thread::sleep(Duration::from_millis(100));
        assert_eq!(log(scratch.path()), "");
        left_alone(watchman);
        assert_eq!(log(scratch.path()), "unpause\n");
    }

    #[test]
    fn the_watchman_ends_a_pause_command_that_still_runs_before_he_lets_it_go_on() {
        for deaf in ["", "trap '' TERM; "] {
            let (scratch, note) = scene();
            let command = format!("{deaf}{}; sleep 10; {}; true", note("pausing"), note("paused"));
            let mut pausing = about().prepare(Task::Pause, &command).expect("started");
            let mut watchman = Watchman::start(&about(), &note("unpause")).expect("started");
            watchman.tell(pausing.group().as_raw()).expect("it hears");
            commands::begin(&mut pausing);
            while log(scratch.path()).is_empty() {
                thread::sleep(Duration::from_millis(10));
            }
            left_alone(watchman);
            assert!(pausing.wait(None).expect("it has ended").is_some_and(|status| !status.success()));
            assert_eq!(log(scratch.path()), "pausing\nunpause\n");
        }
    }
}
