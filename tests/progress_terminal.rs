//! What is seen on a terminal: two lvpipes of one pipeline share it and one bar is drawn, nothing is torn, and at the
//! end both summaries stand there. The terminal is a real pty; what is on its screen, a terminal emulator tells.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

const ROWS: NonZero<u16> = NonZero::new(24).expect("not zero");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("not zero");
const LVPIPE: &str = env!("CARGO_BIN_EXE_lvpipe");

/// A terminal, and what is written to it.
struct Terminal {
    slave: OwnedFd,
    written: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    fn new() -> Terminal {
        let size = Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pty");
        let (send, written) = channel();
        let mut master = File::from(pty.master);
        // Ends with EIO when the last process has closed the slave.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                if send.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { slave: pty.slave, written, screen: vt100::Parser::new(ROWS, COLUMNS, 0) }
    }

    fn stderr(&self) -> Stdio {
        self.slave.try_clone().expect("a descriptor").into()
    }

    /// Takes what is written until `until` says so of the screen. Panics with the screen after half a minute.
    fn watch(&mut self, what: &str, mut until: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !until(&self.screen.screen().contents()) {
            match self.written.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {what} on the screen:\n{}", self.screen.screen().contents())
                }
            }
        }
    }
}

/// A file of 4 MiB that does not compress, and some hole behind it.
fn image(path: &Path) {
    let mut state = 1u64;
    let mut noise = Vec::with_capacity(4 << 20);
    while noise.len() < 4 << 20 {
        // xorshift64: noise enough for zstd.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    std::fs::write(path, noise).expect("written");
    File::options().write(true).open(path).and_then(|file| file.set_len(8 << 20)).expect("a hole");
}

/// `lvpipe send -r 1M IMAGE | lvpipe recv COPY` on this terminal: some four seconds.
fn pipeline(terminal: &Terminal, directory: &Path) -> [Child; 2] {
    image(&directory.join("image"));
    let mut send = lvpipe(&["send", "-s", "64k", "-r", "1M"])
        .arg(directory.join("image"))
        .stdout(Stdio::piped())
        .stderr(terminal.stderr())
        .spawn()
        .expect("send");
    let pipe = send.stdout.take().expect("piped");
    let recv = lvpipe(&["recv"]).arg(directory.join("copy")).stdin(pipe).stderr(terminal.stderr()).spawn();
    [send, recv.expect("recv")]
}

fn lvpipe(args: &[&str]) -> Command {
    let mut command = Command::new(LVPIPE);
    command.args(args).stdin(Stdio::null()).env("TERM", "xterm").env_remove("NO_COLOR");
    command
}

fn bars(screen: &str) -> usize {
    screen.lines().filter(|line| line.contains('━') || line.contains('─')).count()
}

#[test]
fn two_lvpipes_of_one_pipeline_draw_one_bar() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut terminal = Terminal::new();
    let children = pipeline(&terminal, directory.path());
    terminal.watch("bar of the sender", |screen| {
        assert!(bars(screen) <= 1, "two bars:\n{screen}");
        screen.contains("send  ") && screen.contains(" MiB of 4.00 MiB used, volume 8.00 MiB, ")
    });
    terminal.watch("summaries", |screen| {
        screen.contains("lvpipe send: 4.00 MiB used of 8.00 MiB sent as 4.0")
            && screen.contains("lvpipe recv: 4.00 MiB used of 8.00 MiB written from 4.0")
    });
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    // Every line is one of those that are meant: a torn bar leaves pieces.
    let screen = terminal.screen.screen().contents();
    for line in screen.lines().filter(|line| !line.is_empty()) {
        let is_meant = ["send ", "recv ", "read ", "received ", "lvpipe send: ", "lvpipe recv: "]
            .iter()
            .any(|start| line.starts_with(start))
            || line.ends_with("verified");
        assert!(is_meant, "{line:?} in\n{screen}");
    }
    assert!(screen.contains("send 100% ━"), "the sender's last state stays:\n{screen}");
}

#[test]
fn a_failure_takes_the_bar_away() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut terminal = Terminal::new();
    let [mut send, mut recv] = pipeline(&terminal, directory.path());
    terminal.watch("bar", |screen| bars(screen) == 1);
    recv.kill().expect("killed");
    recv.wait().expect("it ends");
    terminal.watch("message alone", |screen| screen.contains("lvpipe: ") && bars(screen) == 0);
    assert_eq!(send.wait().expect("it ends").code(), Some(1));
}

#[test]
fn sigusr1_prints_a_line_even_when_silent() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    image(&directory.path().join("image"));
    let mut send = lvpipe(&["send", "-q", "-s", "64k", "-r", "1M"])
        .arg(directory.path().join("image"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("send");
    // The handler is there once bytes flow; until then the signal would end the process.
    std::thread::sleep(Duration::from_millis(500));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(send.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).expect("signalled");
    let mut said = String::new();
    match send.stderr.take().expect("piped").read_to_string(&mut said) {
        Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
        _ => {}
    }
    assert!(send.wait().expect("it ends").success());
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("lvpipe send: ") && said.contains(" of 4.00 MiB used, "), "{said}");
}

#[test]
fn json_lines_end_with_the_final_one() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    image(&directory.path().join("image"));
    let sent = lvpipe(&["send", "--progress", "json", "-s", "64k", "-r", "2M"])
        .arg(directory.path().join("image"))
        .stdout(Stdio::null())
        .output()
        .expect("send");
    assert!(sent.status.success());
    let lines: Vec<serde_json::Value> = String::from_utf8(sent.stderr)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(lines.len() >= 2, "{lines:?}");
    let (last, before) = lines.split_last().expect("lines");
    assert!(before.iter().all(|line| line["final"] == false && line["ok"].is_null()), "{before:?}");
    assert_eq!((&last["final"], &last["ok"]), (&true.into(), &true.into()));
    assert_eq!((&last["done_bytes"], &last["used_bytes"]), (&(4u64 << 20).into(), &(4u64 << 20).into()));
    assert_eq!(last["volume_bytes"], 8u64 << 20);
}
