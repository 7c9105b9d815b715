//! Pulls that end early are gone on with: what is there is compared and not fetched again; what must not be mixed is
//! refused.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::image::{Image, names, scratch_in_memory};
use crate::process::{Ran, run, start, wait_until};
use crate::proxy::{Fault, Proxy};
use crate::server::{Server, figure, serve};

const MIB: u64 = 1 << 20;
const ARGS: [&str; 5] = ["--insecure", "-s", "64k", "--compress", "none"];
const JSON: [&str; 2] = ["--progress", "json"];

struct Place {
    scratch: tempfile::TempDir,
    image: Image,
    source: PathBuf,
    target: PathBuf,
}

impl Place {
    fn new(size: u64) -> Place {
        let scratch = scratch_in_memory();
        let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
        let image = Image::full(size);
        image.write(&source);
        Place { scratch, image, source, target }
    }

    fn recorded(&self) -> u64 {
        let journal = self.scratch.path().join("copy.lvpipe-journal");
        fs::metadata(journal).map_or(0, |found| found.len().saturating_sub(512) / 64)
    }

    /// Pulls slowly until so many parts are on record, then kills the puller.
    #[track_caller]
    fn pull_and_kill(&self, server: &Server, args: &[&str]) {
        let before = self.recorded();
        let proxy = Proxy::pulling(server.address, |_| Fault::Crawl(4 << 20));
        let pulling = start(&mut server.pull_through(proxy.address, &[&["-n", "3"], args].concat(), &self.target));
        wait_until("something is on record", || self.recorded() > before + 30);
        pulling.signal(SIGKILL);
        let _ = pulling.end();
    }

    #[track_caller]
    fn go_on(&self, server: &Server) -> Ran {
        let ran = run(&mut server.pull(&[&["--resume"], &JSON[..]].concat(), &self.target)).expect_ok();
        self.image.assert_is(&self.target);
        assert_eq!(names(self.scratch.path()), ["copy", "image"]);
        ran
    }
}

#[test]
fn a_puller_that_is_killed_goes_on_where_it_was() {
    let place = Place::new(48 * MIB);
    let server = serve(&ARGS, &place.source);
    place.pull_and_kill(&server, &[]);
    place.pull_and_kill(&server, &["--resume"]);
    let recorded = place.recorded();
    let ran = place.go_on(&server);
    assert!(figure(&ran, "held") >= recorded.min(40), "{ran}");
    assert!(figure(&ran, "wire_bytes") < 48 * MIB - 30 * 65536, "{ran}");
}

#[test]
fn a_puller_that_is_ended_says_how_to_go_on() {
    let place = Place::new(48 * MIB);
    let server = serve(&ARGS, &place.source);
    let proxy = Proxy::pulling(server.address, |_| Fault::Crawl(4 << 20));
    let pulling = start(&mut server.pull_through(proxy.address, &["-n", "3"], &place.target));
    wait_until("something is on record", || place.recorded() > 30);
    pulling.signal(SIGTERM);
    pulling.end().expect_failure(143, &["SIGTERM", "go on with --resume"]);
    // The server may have been started again meanwhile: the file is the same.
    server.running.signal(SIGKILL);
    let _ = server.running.end();
    place.go_on(&serve(&ARGS, &place.source));
}

#[test]
fn what_was_damaged_in_the_target_is_fetched_again() {
    let place = Place::new(24 * MIB);
    let server = serve(&ARGS, &place.source);
    place.pull_and_kill(&server, &[]);
    let partial = OpenOptions::new().read(true).write(true).open(place.scratch.path().join("copy.partial"));
    let partial = partial.expect("what has come");
    let mut bytes = vec![0; 24 << 20];
    let length = partial.read_at(&mut bytes, 0).expect("it is read");
    // A byte of each part that has something.
    for at in (100..length).step_by(65536).filter(|at| bytes[*at] != 0) {
        partial.write_all_at(&[!bytes[at]], at as u64).expect("written");
    }
    drop(partial);
    let ran = place.go_on(&server);
    assert!(figure(&ran, "again") >= 20, "{ran}");
}

#[test]
fn another_version_and_another_volume_are_refused() {
    let place = Place::new(24 * MIB);
    let server = serve(&ARGS, &place.source);
    place.pull_and_kill(&server, &[]);
    drop(server);
    // The same name and size, but another content.
    Image::full(24 * MIB).seed(2).write(&place.source);
    let server = serve(&ARGS, &place.source);
    let ran = run(&mut server.pull(&["--resume"], &place.target));
    ran.expect_failure(4, &["cannot go on with the transfer", "from version \"", "without --resume all of it"]);
    let image = Image::full(24 * MIB).seed(2);
    run(&mut server.pull(&["-q"], &place.target)).expect_ok();
    image.assert_is(&place.target);
}

#[test]
fn nothing_to_go_on_with_is_said() {
    let place = Place::new(MIB);
    let server = serve(&ARGS, &place.source);
    let ran = run(&mut server.pull(&["--resume"], &place.target)).expect_ok();
    assert!(ran.stderr.contains("nothing to go on with: it begins anew"), "{ran}");
    place.image.assert_is(&place.target);
}
