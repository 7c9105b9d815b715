//! The rounds of a migration, at their far side: a file that gets its name at the switch, and nothing before.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use lvpipe::error::{Result, Status};
use lvpipe::migrate::{About, Order, Switched};
use lvpipe::usedmap::Extent;
use lvpipe::wire::Lineage;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::image::Image;
use crate::session::Scene;

const MIB: u64 = 1 << 20;

/// A migration to a file.
struct Migration {
    scene: Scene,
    name: &'static str,
}

impl Migration {
    fn new(tcp: bool) -> Migration {
        Migration { scene: Scene::new(tcp), name: "copy" }
    }

    /// A round that brings `state`, as what has changed since `base` if there is one: in these extents.
    fn round(&self, image: &Image, state: &str, base: Option<&str>, written: &[(u64, u64)]) -> Result<()> {
        let order = Order::Round { target: self.scene.path(self.name).display().to_string(), create: false };
        let lineage = Lineage { state: Some(state.into()), base: base.map(String::from), ..Lineage::default() };
        let written: Vec<Extent> = written.iter().map(|&(offset, length)| Extent { offset, length }).collect();
        self.scene.carry(&order, image, lineage, base.map(|_| &written[..]))
    }

    /// All of an image, and then some of it changed, and a hole where data was.
    fn two_rounds(&self) -> Image {
        let first = Image::full(4 * MIB).seed(1);
        self.round(&first, "a:1", None, &[]).expect("the first round");
        assert_eq!(self.names(), ["copy.partial", "image", "pid", "rsh"], "it has no name yet");
        let copy = fs::read(self.scene.path("copy.partial")).expect("it is there");
        // The second differs from the first just there.
        let mut second = first.bytes();
        second[MIB as usize..2 * MIB as usize]
            .copy_from_slice(&Image::full(4 * MIB).seed(2).bytes()[..MIB as usize]);
        second[3 * MIB as usize..].fill(0);
        assert_eq!(copy, first.bytes());
        let later = Image::with_one_run(4 * MIB, 0..3 * MIB).seed(2);
        self.round(&later, "a:2", Some("a:1"), &[(MIB, MIB), (3 * MIB, MIB)]).expect("the second round");
        later
    }

    fn switch(&self, done: Option<&str>) -> Result<Switched> {
        self.scene.session.ask::<()>(&Order::Ready, &self.scene.stop)?;
        let about = About { source: "vg/vm1".into(), target: "copy".into(), host: "somewhere".into() };
        let order = Order::Switch { done: done.map(String::from), about };
        self.scene.session.ask(&order, &self.scene.stop)
    }

    fn end(&self) {
        self.scene.session.ask::<()>(&Order::End, &self.scene.stop).expect("it lets go");
    }

    fn names(&self) -> Vec<String> {
        crate::image::names(self.scene.scratch.path())
    }
}

#[test]
fn a_file_has_its_name_from_the_switch_on_and_what_all_rounds_brought() {
    for tcp in [true, false] {
        let migration = Migration::new(tcp);
        let later = migration.two_rounds();
        let done = format!("cp {0} {0}.seen; echo $LVPIPE_SOURCE", migration.scene.path("copy").display());
        assert_eq!(migration.switch(Some(&done)).expect("an answer"), Switched::Yes);
        migration.end();
        let copy = fs::read(migration.scene.path("copy")).expect("it is there");
        let (first, later) = (Image::full(4 * MIB).seed(1).bytes(), later.bytes());
        let (one, two, three) = (MIB as usize, 2 * MIB as usize, 3 * MIB as usize);
        assert!(copy[..one] == first[..one] && copy[two..three] == first[two..three], "what nobody wrote");
        assert!(copy[one..two] == later[one..two], "what was written");
        assert!(copy[three..].iter().all(|byte| *byte == 0), "what was discarded");
        assert_eq!(fs::read(migration.scene.path("copy.seen")).expect("the command had it"), copy);
    }
}

#[test]
fn while_the_done_command_runs_there_are_signs_of_life_and_of_one_that_is_stopped_there_are_none() {
    let migration = Migration::new(true);
    migration.two_rounds();
    let Scene { session, stop, .. } = &migration.scene;
    session.ask::<()>(&Order::Ready, stop).expect("ready");
    let about = About { source: "vg/vm1".into(), target: "copy".into(), host: "somewhere".into() };
    let order = Order::Switch { done: Some("sleep 2.5; sleep 2.5".into()), about };
    let far = Pid::from_raw(migration.scene.pid().parse().expect("a number"));
    let signs = AtomicU32::new(0);
    // It stands still amid the command, and the command does not.
    let sign = || {
        if signs.fetch_add(1, Ordering::SeqCst) == 1 {
            kill(far, Signal::SIGSTOP).expect("stopped");
        }
    };
    let seen = thread::scope(|scope| {
        let answer = scope.spawn(|| session.ask_for_long::<Switched>(&order, sign, stop));
        thread::sleep(Duration::from_secs(6));
        let seen = signs.load(Ordering::SeqCst);
        kill(far, Signal::SIGCONT).expect("it goes on");
        assert_eq!(answer.join().expect("no panic").expect("an answer"), Switched::Yes);
        seen
    });
    assert_eq!(seen, 2);
    migration.end();
}

#[test]
fn what_is_not_switched_to_is_gone() {
    let migration = Migration::new(true);
    migration.two_rounds();
    let Switched::No { status, reason } = migration.switch(Some("exit 7")).expect("an answer") else {
        panic!("the command failed")
    };
    assert_eq!(Status::from_code(status), Status::Io);
    assert!(reason.contains("the done command failed: exit 7: exit status: 7"), "{reason}");
    migration.end();
    assert_eq!(migration.names(), ["image", "pid", "rsh"]);
}

#[test]
fn a_migration_that_is_not_brought_to_its_end_leaves_nothing() {
    let migration = Migration::new(true);
    migration.two_rounds();
    migration.end();
    assert_eq!(migration.names(), ["image", "pid", "rsh"]);

    let migration = Migration::new(true);
    migration.two_rounds();
    let (pid, scratch) = (migration.scene.pid(), migration.scene.scratch.path().to_path_buf());
    let Scene { session, scratch: kept, .. } = migration.scene;
    drop(session);
    crate::process::wait_until("the far side has ended", || !std::path::Path::new("/proc").join(&pid).exists());
    assert_eq!(crate::image::names(&scratch), ["image", "pid", "rsh"]);
    drop(kept);
}

#[test]
fn a_round_that_does_not_follow_on_the_one_before_is_the_end() {
    let migration = Migration::new(true);
    let first = Image::full(4 * MIB);
    migration.round(&first, "a:1", None, &[]).expect("the first round");
    let error = migration.round(&first, "a:3", Some("a:2"), &[(0, MIB)]).expect_err("one is missing");
    assert!(error.to_string().contains("it is not what has changed since the round before"), "{error}");
    let error = migration.switch(None).expect_err("there is nothing");
    assert!(error.to_string().contains("no round of it has come"), "{error}");
    migration.end();
    assert_eq!(migration.names(), ["image", "pid", "rsh"]);
}

#[test]
fn a_file_that_was_there_stays_and_a_pipe_is_refused() {
    let migration = Migration::new(false);
    fs::write(migration.scene.path("copy"), vec![7; 5 << 20]).expect("written");
    let first = Image::full(4 * MIB);
    migration.round(&first, "a:1", None, &[]).expect("the first round");
    assert_eq!(migration.switch(None).expect("an answer"), Switched::Yes);
    migration.end();
    first.assert_is(&migration.scene.path("copy"));

    let scene = Scene::new(true);
    let order = Order::Round { target: "/dev/null".into(), create: false };
    let lineage = Lineage { state: Some("a:1".into()), ..Lineage::default() };
    let error = scene.carry(&order, &first, lineage, None).expect_err("a pipe");
    assert!(error.to_string().contains("a pipe cannot take what is written a second time"), "{error}");
}
