//! The far side of a replica, with files; and what a command line of `replicate` cannot ask for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lvpipe::error::Status;
use lvpipe::link::ssh::{Session, SshOptions};
use lvpipe::migrate;
use lvpipe::replicate::order::{Found, Holds, Keep, Order, TargetName};
use lvpipe::stop::Stop;
use lvpipe::volume::TargetKind;

use crate::image::scratch_in_memory;
use crate::process::{LVPIPE, lvpipe, run};

/// A far side that a stand-in for ssh runs here.
fn session(scratch: &Path) -> Session {
    let script = scratch.join("rsh");
    fs::write(&script, "for command; do :; done\neval \"exec $command\"\n").expect("written");
    let options = SshOptions {
        command: vec!["sh".into(), script.display().to_string()],
        remote: LVPIPE.into(),
        arguments: Vec::new(),
        create: false,
        tcp: false,
        ports: None,
        binds: Vec::new(),
        connect_timeout: Duration::from_secs(2),
    };
    let url = "ssh://somewhere/-".parse().expect("a url");
    Session::start(url, options, &Stop::new()).expect("it is started")
}

fn target(path: &Path) -> TargetName {
    TargetName { name: path.display().to_string(), create: false }
}

fn look(session: &Session, target: TargetName) -> lvpipe::error::Result<Found> {
    session.ask(&migrate::Order::Replica(Order::Look { target }), &Stop::new())
}

#[test]
fn the_far_side_tells_what_is_there_and_keeps_only_what_it_has() {
    let scratch = scratch_in_memory();
    let (session, path) = (session(scratch.path()), scratch.path().join("copy.img"));
    let found = look(&session, target(&path)).expect("told");
    assert_eq!((found.target, found.begun), (None, None));
    fs::write(&path, vec![7; 10_000]).expect("written");
    let there = look(&session, target(&path)).expect("told").target.expect("it is there");
    assert_eq!((there.kind, there.size, there.is_empty), (TargetKind::File, 10_000, false));
    assert_eq!((there.holds, there.copy_of, there.snapshots.len()), (Holds::Unknown, None, 0));
    fs::File::create(&path).and_then(|file| file.set_len(1 << 20)).expect("a hole");
    assert!(look(&session, target(&path)).expect("told").target.expect("it is there").is_empty);

    let state = "u-1:7".parse().expect("a state");
    let moment = "20260101T000000Z".parse().expect("a moment");
    let keep = Order::Keep { target: target(&path), source: "u".into(), state, moment };
    let error = session.ask::<Keep>(&migrate::Order::Replica(keep), &Stop::new()).expect_err("it holds nothing");
    assert!(error.why().contains("it does not hold what was sent"), "{error}");
    // What is refused is answered, and it goes on.
    for (name, why) in [("/", "it is a directory"), ("/dev/null", "it is not kept what it holds"), ("-", "a pipe")]
    {
        let error = look(&session, target(Path::new(name))).expect_err(why);
        assert_eq!(error.status(), Status::Peer, "{error}");
        assert!(error.why().contains(why), "{error}");
    }
    session.ask::<()>(&migrate::Order::End, &Stop::new()).expect("it lets go");
}

#[test]
fn what_cannot_be_replicated_is_refused_before_anything_is_started() {
    let scratch = scratch_in_memory();
    let image = scratch.path().join("image");
    fs::write(&image, "x").expect("written");
    let image = image.to_str().expect("UTF-8");
    let rows: [(u8, &[&str], &str); 6] = [
        // The source is refused, as by migrate.
        (4, &[image, "ssh://host/vg/a"], "it is no logical volume\n  lvpipe send copies any volume, in full"),
        (2, &[image, "ssh://host/-"], "a pipe keeps nothing to send a delta to"),
        (2, &[image, "ssh://host/vg/a", "--create"], "expected VG/POOL:NAME"),
        (2, &[image, "host:/vg/a"], "expected ssh://"),
        (2, &[image, "ssh://host/vg/a", "--keep", "0"], "0 is not in 1..=10000"),
        (2, &[image, "ssh://host/vg/a", "--full", "--rollback"], "cannot be used with"),
    ];
    for (status, arguments, words) in rows {
        // What would be started ends with another status.
        run(lvpipe(["replicate", "--rsh", "false"]).args(arguments)).expect_failure(status.into(), &[words]);
    }
}
