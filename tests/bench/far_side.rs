use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal::SIGINT;

use crate::image::{Image, names, scratch_in_memory};
use crate::process::{LVPIPE, run, start, wait_until};
use crate::report::{Report, bench_for, report};

const MIB: u64 = 1 << 20;

/// A volume, and what stands for ssh.
struct Here {
    scratch: tempfile::TempDir,
    source: PathBuf,
    rsh: String,
}

impl Here {
    /// `remote`: what runs in place of the command that the far side is to run, which is `$command`.
    fn with(remote: &str) -> Here {
        let scratch = scratch_in_memory();
        let (source, script) = (scratch.path().join("image"), scratch.path().join("rsh"));
        Image::full(4 * MIB).write(&source);
        let text = format!(
            "[ \"$1\" = -G ] && {{ echo 'hostname 127.0.0.1'; exit 0; }}\n\
             for command; do :; done\necho $$ >> '{}/pids'\n{remote}\n",
            scratch.path().display()
        );
        fs::write(&script, text).expect("written");
        let rsh = format!("sh {}", script.display());
        Here { scratch, source, rsh }
    }

    fn working() -> Here {
        Here::with("eval \"exec $command\"")
    }

    fn bench(&self, args: &[&str], url: &str) -> Command {
        self.bench_for(2, args, url)
    }

    fn bench_for(&self, seconds: u32, args: &[&str], url: &str) -> Command {
        let mut command = bench_for(seconds, ["--rsh", &self.rsh, "--remote-lvpipe", LVPIPE]);
        command.args(args).arg(&self.source).arg(url);
        command
    }

    fn url(&self, name: &str) -> String {
        format!("ssh://somewhere/{}", self.scratch.path().join(name).display())
    }

    #[track_caller]
    fn assert_all_has_ended(&self, others: &[&str]) {
        let pids = fs::read_to_string(self.scratch.path().join("pids")).expect("it was started");
        let lives = |pid: &str| Path::new(&format!("/proc/{pid}")).exists();
        wait_until("what was started has ended", || !pids.lines().any(lives));
        let all: Vec<&str> = others.iter().copied().chain(["image", "pids", "rsh"]).collect();
        assert_eq!(names(self.scratch.path()), all);
    }
}

fn links(report: &Report) -> Vec<u64> {
    report.list("/far/links").iter().map(|links| links["links"].as_u64().expect("a number")).collect()
}

fn stages(report: &Report) -> Vec<&str> {
    report.list("/estimates/0/stages").iter().filter_map(|stage| stage["name"].as_str()).collect()
}

#[test]
fn links_and_the_machine_there_are_measured() {
    let here = Here::working();
    let report = report(&mut here.bench(&[], "ssh://somewhere"));
    report.assert_consistent();
    // A machine with much else to do may not get to all of them in that time.
    let numbers = links(&report);
    assert!(!numbers.is_empty() && [1, 2, 4, 8].starts_with(&numbers), "{numbers:?}");
    assert!(report.list("/far/links").iter().all(|links| links["rate"].as_f64() > Some(0.0)), "{:#}", report.0);
    assert_eq!(report.text("/far/host"), "somewhere");
    let round_trip = report.number("/far/round_trip");
    assert!(round_trip > 0.0 && round_trip < 60.0, "{round_trip}");
    assert!(report.number("/far/machine/workers") >= 1.0);
    assert_eq!(stages(&report), ["source", "processors", "link", "far-processors"]);
    assert!(report.0["target"].is_null());
    let command = report.text("/command");
    assert!(command.ends_with(" ssh://somewhere/TARGET"), "{command}");
    // Whichever stage is the slowest one here.
    let waits_for_link = report.text("/estimates/0/bottleneck") == "link";
    assert_eq!(command.contains(" -n "), waits_for_link, "{command}");
    here.assert_all_has_ended(&[]);
}

#[test]
fn the_link_counts_as_what_the_best_number_of_links_carries() {
    let here = Here::working();
    let report = report(&mut here.bench(&["-n", "3"], "ssh://somewhere/-"));
    report.assert_consistent();
    assert_eq!(links(&report), [3]);
    let stage = report.list("/estimates/0/stages").iter().find(|stage| stage["name"] == "link").expect("measured");
    let carried = report.number("/far/links/0/rate") / report.number("/estimates/0/remains");
    assert!((stage["rate"].as_f64().expect("a rate") - carried).abs() <= carried * 1e-9);
}

#[test]
fn the_target_there_is_measured_beside() {
    let here = Here::working();
    let precious = Image::full(2 * MIB).seed(9);
    precious.write(&here.scratch.path().join("copy"));
    for name in ["copy", "new"] {
        let report = report(&mut here.bench(&[], &here.url(name)));
        report.assert_consistent();
        assert_eq!(stages(&report), ["source", "processors", "link", "far-processors", "target"]);
        assert!(report.text("/command").ends_with(&here.url(name)), "{}", report.text("/command"));
    }
    precious.assert_is(&here.scratch.path().join("copy"));
    here.assert_all_has_ended(&["copy"]);
}

#[test]
fn where_the_port_cannot_be_reached_ssh_itself_is_measured() {
    // The only port that is allowed is another's.
    let taken = TcpListener::bind("[::]:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let here = Here::working();
    for args in [&["--port-range", &format!("{port}-{port}")][..], &["--via", "ssh"]] {
        let report = report(&mut here.bench(args, "ssh://somewhere"));
        report.assert_consistent();
        assert_eq!(links(&report), [0]);
        assert!(report.0["far"]["round_trip"].is_null());
        assert!(report.text("/command").contains("--via ssh"), "{}", report.text("/command"));
    }
    here.assert_all_has_ended(&[]);
}

#[test]
fn a_far_side_without_a_volume_here() {
    let here = Here::working();
    let mut command = bench_for(2, ["--rsh", &here.rsh, "--remote-lvpipe", LVPIPE, "ssh://somewhere"]);
    let report = report(&mut command);
    report.assert_consistent();
    assert_eq!((report.text("/data"), links(&report).is_empty()), ("generated", false));
    assert_eq!(stages(&report), ["processors", "link", "far-processors"]);
}

#[test]
fn what_goes_wrong_there_is_told_here() {
    let here = Here::working();
    let refused = run(&mut here.bench(&[], &here.url("no/such/place")));
    refused.expect_failure(1, &["No such file or directory"]);
    here.assert_all_has_ended(&[]);
    let nobody = Here::with("exit 255");
    run(&mut nobody.bench(&[], "ssh://somewhere")).expect_failure(1, &["ssh failed: see its message"]);
    let old = Here::with("echo \"error: unrecognized subcommand 'attend'\" >&2; exit 2");
    run(&mut old.bench(&[], "ssh://somewhere")).expect_failure(5, &["lvpipe there refused"]);
    let dies = Here::with("eval \"$command\" & sleep 1; kill -9 $!; wait");
    run(&mut dies.bench_for(8, &[], "ssh://somewhere")).expect_failure(1, &[]);
}

#[test]
fn a_signal_ends_both_sides() {
    let here = Here::working();
    // Amid each of the stages: the far side's own, which would take minutes, and the links'.
    for (seconds, patience) in [(600, 1500), (4, 3300)] {
        let patience = Duration::from_millis(patience);
        let running = start(here.bench_for(seconds, &[], &here.url("copy")).stdout(Stdio::null()));
        wait_until("it is started", || here.scratch.path().join("pids").exists());
        std::thread::sleep(patience);
        running.signal(SIGINT);
        running.end_within(Duration::from_secs(8)).expect_failure(130, &["ended: SIGINT"]);
        here.assert_all_has_ended(&[]);
    }
}
