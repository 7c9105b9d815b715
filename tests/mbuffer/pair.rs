//! Runs lvpipe in mbuffer's place, and the real mbuffer, under the same name and in the same surroundings.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing here takes so long unless it hangs.
const HANGS: Duration = Duration::from_secs(30);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Lvpipe,
    Mbuffer,
}

pub const BOTH: [Program; 2] = [Program::Mbuffer, Program::Lvpipe];

/// A directory of its own, with lvpipe in it under the name `mbuffer`.
pub struct Place {
    directory: TempDir,
}

/// How a program ended and what it said.
pub struct Outcome {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: String,
    pub took: Duration,
    command: String,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let ours = directory.path().join("mbuffer");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lvpipe"), ours).expect("a link");
        Place { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file in the scratch directory");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program, to be run here without a controlling terminal and without anybody's configuration.
    pub fn command<S: AsRef<OsStr>>(&self, program: Program, args: &[S]) -> Command {
        let mut command = match program {
            Program::Lvpipe => Command::new(self.path("mbuffer")),
            Program::Mbuffer => {
                let real = Path::new("/usr/bin/mbuffer");
                assert!(real.exists(), "{} is missing: apt-get install mbuffer", real.display());
                Command::new(real)
            }
        };
        command.args(args);
        self.at_home(&mut command);
        command
    }

    fn at_home(&self, command: &mut Command) {
        command.current_dir(self.directory.path());
        command.env("HOME", self.directory.path()).env_remove("MBUFFERRC").env_remove("LD_PRELOAD");
        // SAFETY: setsid(2) may be called between fork and exec.
        unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into)) };
    }

    /// Runs it to its end with this input.
    pub fn run<S: AsRef<OsStr>>(&self, program: Program, args: &[S], input: &[u8]) -> Outcome {
        finish(self.command(program, args), input)
    }

    /// Splits the words of `line` at blanks.
    pub fn line(&self, program: Program, line: &str, input: &[u8]) -> Outcome {
        let args: Vec<&str> = line.split_whitespace().collect();
        self.run(program, &args, input)
    }
}

impl Place {
    /// As [`Place::line`], where the real one may hang: with `-P` it loses a wake-up now and then. Then it is run again.
    pub fn line_until_done(&self, program: Program, line: &str, input: &[u8]) -> Outcome {
        if program == Program::Lvpipe {
            return self.line(program, line, input);
        }
        for _ in 0..5 {
            let args: Vec<&str> = line.split_whitespace().collect();
            let real = self.command(program, &args);
            let mut command = Command::new("timeout");
            command.args(["-s", "KILL", "4"]).arg(real.get_program()).args(real.get_args());
            self.at_home(&mut command);
            let outcome = finish(command, input);
            if outcome.code() != 137 {
                return outcome;
            }
        }
        panic!("the real one hangs each time: {line}");
    }
}

/// Runs a command to its end with this input.
pub fn finish(mut command: Command, input: &[u8]) -> Outcome {
    let shown = format!("{command:?}");
    let start = Instant::now();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{shown}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // Who does not read all of it closes the pipe: that is for the test to judge.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let out = collect(child.stdout.take().expect("a pipe"));
    let err = collect(child.stderr.take().expect("a pipe"));
    let status = wait(&mut child, &shown);
    let outcome = Outcome {
        status,
        out: out.join().expect("no panic"),
        err: String::from_utf8_lossy(&err.join().expect("no panic")).into_owned(),
        took: start.elapsed(),
        command: shown,
    };
    feeder.join().expect("no panic");
    outcome
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// Does this with each item, with up to `at_once` of them at a time; what came of it, in the items' order. For what
/// takes time and not the processors.
pub fn side_by_side<I: Sync, T: Send>(at_once: usize, items: &[I], run: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let done = Mutex::new(Vec::new());
    let next = Mutex::new(items.iter().enumerate());
    thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            scope.spawn(|| {
                // One that panics leaves the others to their end, and then the scope panics.
                let take = || next.lock().expect("no panic while it is held").next();
                while let Some((number, item)) = take() {
                    let outcome = run(item);
                    done.lock().expect("no panic while it is held").push((number, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic while it was held");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Waits for a child; one that hangs is killed, and fails the test.
pub fn wait(child: &mut Child, shown: &str) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if start.elapsed() > HANGS {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{shown} hangs");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

impl Outcome {
    /// The exit status, or 128 + the signal, as a shell has it.
    pub fn code(&self) -> i32 {
        code(self.status)
    }

    /// Fails unless it ended with this status; says everything.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self}");
        self
    }

    /// Lines of stderr with everything taken out that differs from run to run.
    pub fn shape(&self) -> Vec<String> {
        self.err.split(['\r', '\n']).filter(|line| !line.is_empty()).map(shape).collect()
    }
}

impl Outcome {
    /// As [`Outcome::shape`], without the status lines: how many there are is a matter of time.
    pub fn told(&self) -> Vec<String> {
        let lines = self.err.split(['\r', '\n']).map(after_status);
        lines.filter(|line| !line.is_empty()).map(shape).collect()
    }
}

/// What comes after a status line, which has no end of its own; other lines whole.
fn after_status(line: &str) -> &str {
    let Some((_, rest)) = line.strip_prefix("in @ ").and_then(|status| status.split_once("% full")) else {
        return line;
    };
    match rest.strip_prefix(", ").and_then(|rest| rest.split_once("% done")) {
        Some((_, rest)) => rest,
        None => rest,
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ended with {}, {} bytes out, and said:\n{}",
            self.command,
            self.status,
            self.out.len(),
            self.err
        )
    }
}

pub fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).expect("ended by exit or signal")
}

/// A line with each number of a rate, total or time replaced by `#`, and its unit's prefix by `?`.
fn shape(line: &str) -> String {
    if !line.contains("in @ ") && !line.starts_with("summary: ") {
        return line.to_owned();
    }
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|byte: char| byte.is_ascii_digit()) {
        let number = rest[at..].find(|byte: char| !byte.is_ascii_digit() && byte != '.').unwrap_or(rest.len() - at);
        text += rest[..at].trim_end();
        text += " #";
        rest = &rest[at + number..];
        for prefix in [" k", " M", " G"] {
            if let Some(tail) = rest.strip_prefix(prefix).filter(|tail| tail.starts_with("iB")) {
                text += " ?";
                rest = tail;
            }
        }
    }
    text += rest;
    // How often a mark was met is a matter of time.
    let end = [", #x empty", ", #x full"].iter().filter_map(|count| text.find(count)).min();
    text.truncate(end.unwrap_or(text.len()));
    text
}

/// Bytes that do not compress and do not repeat: each place's byte is known from the place.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let words = (0..len.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(len).collect()
}

/// A TCP port that nobody listens at now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
