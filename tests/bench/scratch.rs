use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};

use crate::image::{Image, names, scratch_in_memory, scratch_on_disk};
use crate::process::{run, start, wait_until};
use crate::report::{bench, bench_for, report};

const MIB: u64 = 1 << 20;

#[test]
fn a_new_file_is_measured_beside_and_not_made() {
    for scratch in [scratch_in_memory(), scratch_on_disk()] {
        let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
        Image::full(4 * MIB).write(&source);
        let report = report(&mut bench([&source, &target]));
        report.assert_consistent();
        assert!(report.number("/target/written/bytes") > 0.0);
        assert!(report.text("/target/what").starts_with("a scratch file in "), "{}", report.text("/target/what"));
        assert_eq!(names(scratch.path()), ["image"]);
        let command = report.text("/command");
        assert!(command.contains(&format!(" | lvpipe recv {}", target.display())), "{command}");
        let names: Vec<_> =
            report.list("/estimates/0/stages").iter().filter_map(|stage| stage["name"].as_str()).collect();
        assert_eq!(names, ["source", "processors", "target"], "one machine does both sides");
    }
}

#[test]
fn what_exists_is_not_written_to() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    let precious = Image::full(2 * MIB).seed(7);
    Image::full(MIB).write(&source);
    precious.write(&target);
    let stamp =
        |path: &Path| fs::metadata(path).map(|found| (found.mtime(), found.mtime_nsec(), found.ctime_nsec()));
    let before = stamp(&target).expect("there");
    report(&mut bench([&source, &target])).assert_consistent();
    precious.assert_is(&target);
    assert_eq!(stamp(&target).expect("there"), before);
    assert_eq!(names(scratch.path()), ["copy", "image"]);
}

/// A minute is given to each, of which nothing is used.
#[test]
fn a_target_that_is_not_fit_is_refused_before_anything_is_measured() {
    let scratch = scratch_in_memory();
    let (source, other) = (scratch.path().join("image"), scratch.path().join("link"));
    Image::full(MIB).write(&source);
    fs::hard_link(&source, &other).expect("linked");
    let refused = |source: &Path, target: &str, status, words: &[&str]| {
        let mut command = bench_for::<&str>(60, []);
        start(command.arg(source).arg(target).stdout(Stdio::null()))
            .end_within(Duration::from_secs(20))
            .expect_failure(status, words);
    };
    for target in [&source, &other] {
        let target = target.to_str().expect("ASCII");
        refused(&source, target, 4, &["target refused", "it is the source that is being sent"]);
    }
    Image::full(MIB).assert_is(&source);
    for url in ["http://host/vm1", "tcp://host:7777"] {
        refused(&source, url, 2, &["the way there is not ssh's", "name ssh://"]);
    }
    // All of it counts as used, and no file system of a machine has so much room: but zeros take none.
    let huge = scratch.path().join("huge");
    fs::File::create(&huge).and_then(|file| file.set_len(1 << 50)).expect("a file of holes");
    let mut command = bench_for(1, ["--map", "none"]);
    let ran = run(command.args([&huge, &scratch.path().join("copy")])).expect_ok();
    assert!(ran.stderr.contains("free, the source uses 1.00 PiB: it may run full"), "{ran}");
    assert_eq!(names(scratch.path()), ["huge", "image", "link"]);
}

#[test]
fn what_is_no_volume_is_no_source() {
    let scratch = scratch_in_memory();
    let fifo = scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
    for (source, why) in [
        ("/dev/zero", "it is a character device"),
        (fifo.to_str().expect("ASCII"), "it is a pipe"),
        ("http://host/vm1", "the source has to be on this machine"),
    ] {
        let mut command = bench_for(60, [source]);
        let ended = start(command.stdout(Stdio::null())).end_within(Duration::from_secs(20));
        ended.expect_failure(2, &[why, "name an image, a device or vg/lv"]);
    }
}

#[test]
fn what_is_no_place_for_a_scratch_file_is_told() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::full(MIB).write(&source);
    run(&mut bench([&source, &scratch.path().join("no/such/place")])).expect_failure(1, &["No such file"]);
    run(&mut bench([&source, &scratch.path().to_path_buf()])).expect_failure(2, &["it is a directory"]);
    run(&mut bench([source.as_path(), Path::new("/dev/no-such-device")]))
        .expect_failure(4, &["there is no such device"]);
    for (name, why) in [("-", "a pipe"), ("/dev/null", "neither a file nor a volume")] {
        let report = report(&mut bench([source.as_path(), Path::new(name)]));
        report.assert_consistent();
        assert!(report.text("/target/what").contains(why) && report.0["target"]["written"].is_null());
    }
}

#[test]
fn however_it_ends_nothing_is_left() {
    let scratch = scratch_on_disk();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(2 * MIB).write(&source);
    for signal in [SIGINT, SIGTERM, SIGKILL] {
        // Long enough to be ended amid its writing: the first of its minute goes to the processors.
        let mut command = bench_for::<&str>(4, []);
        let running = start(command.args([&source, &target]).stdout(Stdio::null()));
        let fds = format!("/proc/{}/fd", running.pid());
        // Without a name, and with something in it.
        let is_written = |descriptor: &fs::DirEntry| {
            let name = fs::read_link(descriptor.path()).unwrap_or_default();
            name.starts_with(scratch.path())
                && name.to_string_lossy().ends_with(" (deleted)")
                && fs::metadata(descriptor.path()).is_ok_and(|found| found.len() > 0)
        };
        let has_scratch_file =
            || fs::read_dir(&fds).into_iter().flatten().flatten().any(|found| is_written(&found));
        wait_until("it writes", has_scratch_file);
        running.signal(signal);
        let ended = running.end_within(Duration::from_secs(10));
        if signal != SIGKILL {
            ended.expect_failure(128 + signal as i32, &["ended: SIG"]);
        }
        assert_eq!(names(scratch.path()), ["image"], "{signal}");
    }
}
