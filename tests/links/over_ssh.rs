//! Receivers started over ssh: a stand-in, which runs the command here, and a real sshd on loopback.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal::{SIGINT, SIGKILL};
use nix::unistd::Pid;

use crate::image::{Image, names, scratch_in_memory};
use crate::process::{LVPIPE, Ran, Running, lvpipe, start, wait_until};

const MIB: u64 = 1 << 20;
const PROMPTLY: Duration = Duration::from_secs(10);

/// Where a transfer over ssh happens, and what stands for ssh.
struct Here {
    scratch: tempfile::TempDir,
    image: Image,
    source: PathBuf,
    rsh: String,
}

impl Here {
    /// `remote`: what runs in place of the command that the far side is to run, which is `$command`.
    fn with(remote: &str) -> Here {
        let scratch = scratch_in_memory();
        let (image, source) = (Image::full(2 * MIB), scratch.path().join("image"));
        image.write(&source);
        let script = scratch.path().join("rsh");
        let text = format!(
            "[ \"$1\" = -G ] && {{ echo 'hostname 127.0.0.1'; exit 0; }}\n\
             for command; do :; done\necho $$ >> '{}/pids'\n{remote}\n",
            scratch.path().display()
        );
        fs::write(&script, text).expect("written");
        let rsh = format!("sh {}", script.display());
        Here { scratch, image, source, rsh }
    }

    fn working() -> Here {
        Here::with("eval \"exec $command\"")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn send_to(&self, url: &str, args: &[&str]) -> Command {
        let mut command = lvpipe(["send", "--rsh", &self.rsh, "--remote-lvpipe", LVPIPE, "-s", "64k"]);
        command.args(args).arg(&self.source).arg(url);
        command
    }

    fn url(&self, name: &str) -> String {
        format!("ssh://somewhere/{}", self.path(name).display())
    }

    fn run(&self, name: &str, args: &[&str]) -> Ran {
        start(&mut self.send_to(&self.url(name), args)).end()
    }

    /// How many parts the journal says are there: a record has 64 bytes, the header of so short a lineage less than 512.
    fn recorded(&self) -> u64 {
        let journal = fs::metadata(self.path("copy.lvpipe-journal"));
        journal.map_or(0, |journal| journal.len().saturating_sub(512) / 64)
    }

    /// The processes that were started as ssh.
    fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path("pids")).unwrap_or_default();
        text.lines().map(|line| line.parse().expect("a number")).collect()
    }

    #[track_caller]
    fn assert_all_have_ended(&self) {
        let lives = |pid: &i32| Path::new(&format!("/proc/{pid}")).exists();
        wait_until("all that was started has ended", || !self.pids().iter().any(lives));
    }
}

#[test]
fn a_receiver_is_started_and_links_are_made_beside_ssh() {
    for args in [&["-n", "3"][..], &[], &["--via", "ssh"], &["-n", "2", "--port-range", "20000-29999"]] {
        let here = Here::working();
        let ran = here.run("copy", args).expect_ok();
        assert!(!ran.stderr.contains("all goes through ssh"), "{ran}");
        here.image.assert_is(&here.path("copy"));
        assert_eq!(names(here.scratch.path()), ["copy", "image", "pids", "rsh"]);
        here.assert_all_have_ended();
    }
}

#[test]
fn where_the_port_cannot_be_reached_all_goes_through_ssh() {
    // The only port that is allowed is another's.
    let taken = TcpListener::bind("[::]:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let range = format!("{port}-{port}");
    let here = Here::working();
    let ran = here.run("copy", &["--port-range", &range]).expect_ok();
    assert!(ran.stderr.contains("all goes through ssh"), "{ran}");
    here.image.assert_is(&here.path("copy"));
}

#[test]
fn a_target_with_blanks_and_quotes_is_the_one() {
    let here = Here::working();
    let name = "it's a \"copy\" $(date) *";
    here.run(name, &[]).expect_ok();
    here.image.assert_is(&here.path(name));
}

#[test]
fn what_a_login_shell_prints_is_passed_over() {
    let here = Here::with("echo 'Welcome!'; echo '{\"not\": \"it\"}'; eval \"exec $command\"");
    here.run("copy", &["-n", "2"]).expect_ok();
    here.image.assert_is(&here.path("copy"));
    let endless = Here::with("exec yes");
    endless.run("copy", &[]).expect_failure(3, &["what answers there is not lvpipe"]);
    endless.assert_all_have_ended();
}

#[test]
fn a_stream_goes_into_a_command_there_and_its_status_counts_here() {
    let here = Here::working();
    let copy = here.path("copy");
    let send = |exec: &str| {
        let mut sender = here.send_to("ssh://somewhere/-", &["-n", "2", "--exec", exec]);
        start(sender.stdin(Stdio::null())).end()
    };
    send(&format!("cat > {}", copy.display())).expect_ok();
    here.image.assert_is(&copy);
    send("cat > /dev/null; exit 9").expect_failure(1, &["receiver failed", "9"]);

    let mut sender = lvpipe(["send", "--rsh", &here.rsh, "--remote-lvpipe", LVPIPE, "-", "ssh://somewhere/-"]);
    let mut sending = start(sender.args(["--exec", &format!("cat > {}", copy.display())]).stdin(Stdio::piped()));
    sending.stdin().write_all(b"some stream").expect("it reads");
    sending.end().expect_ok();
    assert_eq!(fs::read(&copy).expect("written"), b"some stream");
}

#[test]
fn what_goes_wrong_at_the_start_is_told() {
    let cases = [
        ("exit 255", 1, "ssh failed: see its message"),
        ("exit 127", 5, "there is no lvpipe there"),
        ("exit 2", 5, "older than this one"),
        ("exit 0", 0, "it has ended"),
        ("kill -9 $$", 1, "it was killed"),
        ("echo '{\"lvpipe\":\"0.0.9\",\"wire\":0,\"port\":null}'; cat > /dev/null", 5, "the one there is older"),
        ("echo '{\"lvpipe\":\"9.0.0\",\"wire\":999,\"port\":null}'; cat > /dev/null", 5, "this lvpipe is older"),
    ];
    for (remote, status, why) in cases {
        let here = Here::with(remote);
        let ran = here.run("copy", &["-n", "2"]);
        // Nothing was received: that the other side is content does not make this side so.
        let status = if status == 0 { 1 } else { status };
        ran.expect_failure(status, &[why]);
        here.assert_all_have_ended();
    }
    let here = Here::working();
    let mut missing = lvpipe(["send", "--rsh", &here.rsh, "--remote-lvpipe", "/no/such/lvpipe"]);
    let ran = start(missing.arg(&here.source).arg(here.url("copy"))).end();
    assert!(ran.status.code() == Some(5) && ran.stderr.contains("there is no lvpipe there"), "{ran}");
    let no_ssh =
        start(lvpipe(["send", "--rsh", "/no/such/ssh"]).arg(&here.source).arg("ssh://somewhere/copy")).end();
    no_ssh.expect_failure(1, &["cannot start ssh", "No such file"]);
}

#[test]
fn an_ssh_that_does_not_end_by_itself_is_ended() {
    let greeting = "echo '{\"lvpipe\":\"9.0.0\",\"wire\":999,\"port\":null}'";
    let cases = [
        ("exec sleep 60 >&-".to_string(), 1, "ssh says no more, and does not end"),
        (format!("{greeting}; exec sleep 60"), 5, "this lvpipe is older"),
    ];
    for (remote, status, why) in cases {
        let here = Here::with(&remote);
        start(&mut here.send_to(&here.url("copy"), &["-n", "2"])).end().expect_failure(status, &[why]);
        here.assert_all_have_ended();
    }
}

#[test]
fn a_signal_ends_whoever_waits_for_a_greeting() {
    for remote in ["exec sleep 60", "exec sleep 60 >&-"] {
        let here = Here::with(remote);
        let sending = start(&mut here.send_to(&here.url("copy"), &[]));
        wait_until("it is started", || !here.pids().is_empty());
        sending.signal(SIGINT);
        sending.end_within(PROMPTLY).expect_failure(130, &["ended: SIGINT"]);
        here.assert_all_have_ended();
    }
}

#[test]
fn ssh_does_not_get_the_key_that_is_in_the_environment() {
    let here = Here::with("env > \"$(dirname \"$0\")/environment\"; eval \"exec $command\"");
    start(here.send_to(&here.url("copy"), &["-n", "2"]).env("LVPIPE_KEY", "lvk1-secret")).end().expect_ok();
    let environment = fs::read_to_string(here.path("environment")).expect("written");
    assert!(environment.contains("PATH=") && !environment.contains("LVPIPE_KEY"), "{environment}");
}

#[test]
fn what_the_receiver_refuses_is_told_once_and_here() {
    let here = Here::working();
    fs::create_dir(here.path("directory")).expect("made");
    let ran = here.run("directory", &["-n", "2"]).expect_failure(5, &["receiver refused", "it is a directory"]);
    assert_eq!(ran.stderr.matches("it is a directory").count(), 1, "{ran}");
    here.assert_all_have_ended();
}

fn slowly(here: &Here, args: &[&str]) -> Running {
    Image::full(12 * MIB).write(&here.source);
    let all = [&["-r", "4M", "--compress", "none"], args].concat();
    let sending = start(&mut here.send_to(&here.url("copy"), &all));
    wait_until("it is under way", || here.recorded() > 8);
    sending
}

/// The children of a process: proc(5).
fn children(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists
        .iter()
        .flat_map(|list| list.split_whitespace())
        .map(|pid| Pid::from_raw(pid.parse().expect("a number")))
        .collect()
}

#[test]
fn a_receiver_that_is_killed_behind_ssh_is_started_again_and_goes_on() {
    for args in [&["--via", "ssh"][..], &["-n", "2"]] {
        let here = Here::working();
        let sending = slowly(&here, args);
        nix::sys::signal::kill(Pid::from_raw(here.pids()[0]), SIGKILL).expect("it runs");
        let ran = sending.end().expect_ok();
        assert!(ran.stderr.contains("was started again"), "{ran}");
        assert_eq!(here.pids().len(), 2, "it was started once more, and no more often");
        Image::full(12 * MIB).assert_is(&here.path("copy"));
        assert_eq!(names(here.scratch.path()), ["copy", "image", "pids", "rsh"]);
        here.assert_all_have_ended();
    }
}

#[test]
fn a_signal_ends_both_sides() {
    for args in [&["--via", "ssh"][..], &["-n", "2"]] {
        let here = Here::working();
        let sending = slowly(&here, args);
        sending.signal(SIGINT);
        sending.end_within(PROMPTLY).expect_failure(130, &["ended: SIGINT"]);
        here.assert_all_have_ended();
        let left = names(here.scratch.path());
        assert_eq!(left, ["copy.lvpipe-journal", "copy.partial", "image", "pids", "rsh"]);
        // What has arrived is gone on with.
        here.run("copy", &["--resume", "-n", "2"]).expect_ok();
        Image::full(12 * MIB).assert_is(&here.path("copy"));
    }
}

/// An sshd of the test's own, for root, with keys that are made for it.
struct Sshd {
    scratch: tempfile::TempDir,
    port: u16,
    /// Ends with this.
    _running: Running,
}

impl Sshd {
    fn start() -> Sshd {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = |name: &str| scratch.path().join(name);
        for key in ["host", "user"] {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key)).status();
            assert!(made.expect("ssh-keygen, from the package openssh-server").success());
        }
        fs::copy(path("user.pub"), path("authorized_keys")).expect("copied");
        fs::set_permissions(path("authorized_keys"), PermissionsExt::from_mode(0o600)).expect("changed");
        fs::create_dir_all("/run/sshd").expect("made, as sshd wants it");
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let directory = scratch.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {directory}/authorized_keys\nStrictModes no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        );
        fs::write(path("sshd_config"), config).expect("written");
        // It starts itself again for each connection, so its full path is needed.
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(path("sshd_config")).stdin(Stdio::null());
        let running = start(&mut command);
        wait_until("sshd listens", || running.said().contains("Server listening"));
        Sshd { scratch, port, _running: running }
    }

    fn rsh(&self) -> String {
        let directory = self.scratch.path().display();
        format!(
            "ssh -F none -i {directory}/user -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile={directory}/known_hosts -o LogLevel=ERROR"
        )
    }
}

impl Sshd {
    fn url(&self, path: &Path) -> String {
        format!("ssh://127.0.0.1:{}/{}", self.port, path.display())
    }
}

#[test]
fn a_real_ssh_starts_the_receiver() {
    let sshd = Sshd::start();
    let here = Here { rsh: sshd.rsh(), ..Here::working() };
    for (name, args) in [("one", &["-n", "3"][..]), ("it's two", &[]), ("three", &["--via", "ssh"])] {
        let url = sshd.url(&here.path(name));
        start(&mut here.send_to(&url, args)).end().expect_ok();
        here.image.assert_is(&here.path(name));
    }
    let mut missing = lvpipe(["send", "--rsh", &here.rsh, "--remote-lvpipe", "/no/such/lvpipe"]);
    let ran = start(missing.arg(&here.source).arg(sshd.url(&here.path("copy")))).end();
    assert!(ran.status.code() == Some(5) && ran.stderr.contains("there is no lvpipe there"), "{ran}");
    let nobody = Here { rsh: sshd.rsh().replace("/user", "/host"), ..Here::working() };
    let ran = start(&mut nobody.send_to(&sshd.url(&nobody.path("copy")), &[])).end();
    assert!(ran.status.code() == Some(1) && ran.stderr.contains("ssh failed: see its message"), "{ran}");
}

#[test]
fn a_real_ssh_that_is_killed_is_missed_only_where_all_goes_through_it() {
    let sshd = Sshd::start();
    for (args, is_missed) in [(&["-n", "2"][..], false), (&["--via", "ssh"], true)] {
        let here = Here { rsh: sshd.rsh(), ..Here::working() };
        Image::full(12 * MIB).write(&here.source);
        let all = [&["-r", "4M", "--compress", "none"], args].concat();
        let sending = start(&mut here.send_to(&sshd.url(&here.path("copy")), &all));
        wait_until("it is under way", || here.recorded() > 8);
        let ssh = children(sending.pid());
        assert_eq!(ssh.len(), 1);
        nix::sys::signal::kill(ssh[0], SIGKILL).expect("it runs");
        let ran = sending.end().expect_ok();
        assert_eq!(ran.stderr.contains("was started again"), is_missed, "{ran}");
        Image::full(12 * MIB).assert_is(&here.path("copy"));
    }
}
