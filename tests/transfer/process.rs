//! lvpipe as a process: run, or started and left to run; what it said and how it ended, to be asserted. Whatever
//! fails prints the command lines, the statuses and what was said.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// The program under test.
pub const LVPIPE: &str = env!("CARGO_BIN_EXE_lvpipe");

/// Nothing in these tests takes that long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(40);

/// An lvpipe with these arguments and nothing on its standard input.
pub fn lvpipe<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(LVPIPE);
    command.args(args).stdin(Stdio::null());
    command
}

/// `lvpipe send ARGS SOURCE`.
pub fn send(args: &[&str], source: &Path) -> Command {
    let mut command = lvpipe(["send"]);
    command.args(args).arg(source);
    command
}

/// `lvpipe recv ARGS TARGET`.
pub fn recv(args: &[&str], target: &Path) -> Command {
    let mut command = lvpipe(["recv"]);
    command.args(args).arg(target);
    command
}

/// A process that ended.
pub struct Ran {
    line: String,
    pub status: ExitStatus,
    /// The most memory it had at a time, in bytes.
    pub peak_memory: u64,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs it to its end; what it writes is collected.
pub fn run(command: &mut Command) -> Ran {
    let mut running = start(command.stdout(Stdio::piped()));
    let mut stdout = Vec::new();
    let mut pipe = running.stdout();
    pipe.read_to_end(&mut stdout).expect("its output");
    Ran { stdout, ..running.end() }
}

/// Runs it with these bytes on its standard input. That it does not read all of them is no failure.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (mut stdin, mut pipe) = (running.stdin(), running.stdout());
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut stdin, &input);
    });
    let mut stdout = Vec::new();
    pipe.read_to_end(&mut stdout).expect("its output");
    writer.join().expect("no panic");
    Ran { stdout, ..running.end() }
}

impl Ran {
    /// It ended well.
    #[track_caller]
    pub fn expect_ok(self) -> Ran {
        assert!(self.status.success(), "{self}");
        self
    }

    /// It ended with this exit status, and said all of this.
    #[track_caller]
    pub fn expect_failure(self, status: i32, said: &[&str]) -> Ran {
        assert_eq!(self.status.code(), Some(status), "expected status {status}:\n{self}");
        for words in said {
            assert!(self.stderr.contains(words), "expected {words:?}:\n{self}");
        }
        let form = self.stderr.starts_with("lvpipe: ") || self.stderr.starts_with("error: ");
        assert!(form || said.is_empty(), "no message in the usual form:\n{self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}\n{}\n{}", self.line, self.status, self.stderr)
    }
}

/// A process that runs. Killed when dropped, so that a failing test leaves nothing behind.
pub struct Running {
    line: String,
    // Until it is waited for: then its pid may be another's.
    child: Option<Child>,
    said: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

/// Starts it; stderr is collected meanwhile, the rest is as the command says.
#[track_caller]
pub fn start(command: &mut Command) -> Running {
    let line = format!("{command:?}");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{line}: {e}"));
    let mut pipe = child.stderr.take().expect("piped");
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let listener = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut bytes) {
            heard.lock().expect("no panic").extend_from_slice(&bytes[..length]);
        }
    });
    Running { line, child: Some(child), said, listener: Some(listener) }
}

impl Running {
    /// The end of the pipe to its standard input.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child().stdin.take().expect("stdin is piped, and nobody has taken it")
    }

    /// The end of the pipe from its standard output.
    pub fn stdout(&mut self) -> ChildStdout {
        self.child().stdout.take().expect("stdout is piped, and nobody has taken it")
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it has not been waited for")
    }

    pub fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("it has not been waited for");
        Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
    }

    /// What it has written to stderr so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no panic")).into_owned()
    }

    /// Whether it has ended; it is still to be waited for.
    #[allow(dead_code, reason = "shared by two test programs, of which one has no need of it")]
    pub fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.pid()), flags).expect("it has not been waited for") != WaitStatus::StillAlive
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it has not been waited for");
    }

    /// Waits for its end; panics where it does not come.
    #[track_caller]
    pub fn end(self) -> Ran {
        self.end_within(PATIENCE)
    }

    /// Waits for its end, this long.
    #[track_caller]
    pub fn end_within(mut self, time: Duration) -> Ran {
        let deadline = Instant::now() + time;
        let (status, peak_memory) = loop {
            if let Some(ended) = try_wait(self.pid()) {
                self.child = None;
                break ended;
            }
            assert!(Instant::now() < deadline, "$ {}\nstill runs after {time:?}\n{}", self.line, self.said());
            std::thread::sleep(Duration::from_millis(2));
        };
        self.listener.take().expect("it ends once").join().expect("no panic");
        let stderr = self.said();
        Ran { line: std::mem::take(&mut self.line), status, peak_memory, stdout: Vec::new(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How a child of ours ended, if it has, and its peak memory in bytes: wait4(2), as the standard library does not
/// tell the latter.
fn try_wait(pid: Pid) -> Option<(ExitStatus, u64)> {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid rusage, a struct of integers.
    let mut usage: nix::libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to variables that live through the call.
    let waited = unsafe { nix::libc::wait4(pid.as_raw(), &raw mut status, nix::libc::WNOHANG, &raw mut usage) };
    assert!(waited >= 0, "wait4: {}", std::io::Error::last_os_error());
    // getrusage(2): the unit of ru_maxrss is KiB.
    (waited > 0).then(|| (ExitStatus::from_raw(status), usage.ru_maxrss as u64 * 1024))
}

/// Waits until this is so; panics where it never is.
#[track_caller]
pub fn wait_until(what: &str, mut until: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !until() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two lvpipes with a pipe between them.
pub struct Pair {
    pub send: Ran,
    pub recv: Ran,
}

/// Starts `send | recv`.
pub fn start_pair(send: &mut Command, recv: &mut Command) -> (Running, Running) {
    let mut sending = start(send.stdout(Stdio::piped()));
    let receiving = start(recv.stdin(sending.stdout()));
    // The command holds the pipe's reading end: without it the sender sees when the receiver has gone.
    recv.stdin(Stdio::null());
    (sending, receiving)
}

/// Runs `send | recv` to the end of both.
#[track_caller]
pub fn run_pair(send: &mut Command, recv: &mut Command) -> Pair {
    let (sending, receiving) = start_pair(send, recv.stdout(Stdio::null()));
    Pair { send: sending.end(), recv: receiving.end() }
}

impl Pair {
    /// Both ended well.
    #[track_caller]
    pub fn expect_ok(self) -> Pair {
        assert!(self.send.status.success() && self.recv.status.success(), "{self}");
        self
    }

    /// The receiver refused or failed; the sender may have got all of it into the pipe, or not.
    #[track_caller]
    pub fn expect_recv_failure(self, status: i32, said: &[&str]) -> Pair {
        assert_eq!(self.recv.status.code(), Some(status), "expected status {status} of recv:\n{self}");
        for words in said {
            assert!(self.recv.stderr.contains(words), "expected {words:?}:\n{self}");
        }
        assert!(matches!(self.send.status.code(), Some(0 | 1)), "{self}");
        self
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.send, self.recv)
    }
}
