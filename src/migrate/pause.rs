//! A volume's user that stands still, and goes on again whatever happens, until the point from which it must not.
//!
//! In: the pause and the unpause command. Out: a guard ([`Paused`]). Whatever ends the migration while it is held runs
//! the unpause command, once: an error, a panic, a signal, and SIGKILL too. For that there is a watchman, a shell whose
//! standard input ends when this process does. From [`Paused::hold`] on, which is before anything on the far side may
//! run, only [`Paused::undo`] does so, by somebody who knows that nothing runs there: two that run would destroy each
//! other's data.

use std::process::{Child, Stdio};

use super::commands::{About, Output};
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

/// The volume's user stands still. Dropped, it goes on, unless the point of no return has been passed.
#[derive(Debug)]
pub struct Paused {
    pause: Pause,
    watchman: Option<Child>,
    /// Whether it is undone when nobody says anything else.
    is_undone_by_itself: bool,
}

impl Pause {
    /// Runs the pause command. One that fails, or is ended, may have done half of its work: it is undone.
    ///
    /// # Errors
    /// The command's failure; what ended the run. With what became of the undoing.
    pub fn begin(self, stop: &Stop) -> Result<Paused> {
        let watchman = self.undo.as_deref().map(|undo| watch(&self.about, undo)).transpose()?;
        let paused = Paused { pause: self, watchman, is_undone_by_itself: true };
        let Pause { command, about, .. } = &paused.pause;
        match about.run("pause", command, Output::Inherited, Some(stop)) {
            Ok(()) => Ok(paused),
            Err(error) => Err(paused.undo(error)),
        }
    }
}

impl Paused {
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
        let undone = about.run("unpause", undo, Output::Inherited, None);
        // Only now: where this process is killed meanwhile, it is tried once more.
        self.dismiss();
        undone
    }

    fn dismiss(&mut self) {
        if let Some(mut watchman) = self.watchman.take() {
            // Killed before its standard input ends, which is when it would act.
            let _ = watchman.kill();
            let _ = watchman.wait();
        }
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

/// Starts the watchman.
fn watch(about: &About, undo: &str) -> Result<Child> {
    let script = "read -r never; \
                  echo \"lvpipe: migrate was killed while $LVPIPE_SOURCE was paused: unpausing it\" >&2; \
                  exec sh -c \"$UNDO\" </dev/null";
    let mut shell = about.shell(script);
    shell
        .env("UNDO", undo)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|e| Error::io("cannot start the watchman", "sh", &e))
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

    #[test]
    fn the_watchman_lets_it_go_on_when_nobody_else_can() {
        let (scratch, note) = scene();
        let mut watchman = watch(&about(), &note("unpause")).expect("started");
        thread::sleep(Duration::from_millis(100));
        assert_eq!(log(scratch.path()), "");
        // What the end of the process that has the pipe comes to.
        drop(watchman.stdin.take());
        watchman.wait().expect("it ends");
        assert_eq!(log(scratch.path()), "unpause\n");
    }
}
