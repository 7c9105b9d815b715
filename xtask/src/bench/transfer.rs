//! One transfer over connections: a receiver that listens, a sender that dials it, timed from the sender's start to
//! the end of both. That the receiver is there before is not part of it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::two_hosts::Host;

/// What is transferred, and how.
pub struct Transfer<'a> {
    /// The program.
    pub lvpipe: &'a Path,
    /// Where each side runs, and the address at which the receiver listens.
    pub sender: Host,
    /// See `sender`.
    pub receiver: Host,
    /// See `sender`.
    pub address: &'a str,
    /// The key's file; without one, plain TCP.
    pub key: Option<PathBuf>,
    /// The sender's other options.
    pub options: Vec<String>,
    /// From this volume.
    pub source: &'a Path,
    /// Into that one.
    pub target: &'a Path,
}

impl Transfer<'_> {
    /// Runs it; the time from the sender's start to the end of both.
    pub fn run(&self) -> Result<Duration> {
        let security: Vec<OsString> = match &self.key {
            Some(key) => vec!["--key-file".into(), key.into()],
            None => vec!["--insecure".into()],
        };
        let mut receiver = Running::start(
            self.receiver
                .command(self.lvpipe)
                .args(["recv", "-I", &format!("{}:0", self.address)])
                .args(&security)
                .arg(self.target),
        )?;
        let listening = receiver.line_with("listening on ")?;
        let port = listening.split_once(';').map_or(&*listening, |(address, _)| address).rsplit(':').next();
        let port = port.context("a port")?.trim().to_string();

        let started = Instant::now();
        let mut sender = Running::start(
            self.sender
                .command(self.lvpipe)
                .args(["send", "-q", "-O", &format!("{}:{port}", self.address)])
                .args(&security)
                .args(&self.options)
                .arg(self.source),
        )?;
        sender.end()?;
        receiver.end()?;
        Ok(started.elapsed())
    }
}

/// A program whose stderr is read. Killed if the bench gives up before it ends.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let named = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| named)?;
        let stderr = BufReader::new(child.stderr.take().context("it is a pipe")?);
        Ok(Running { child, stderr })
    }

    /// Its peak resident memory until now, in bytes: VmHWM of proc_pid_status(5).
    pub fn peak(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// Waits for a line that has this text in it; what follows the text.
    pub fn line_with(&mut self, text: &str) -> Result<String> {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            ensure!(self.stderr.read_line(&mut line)? > 0, "it never said '{text}', but: {all}");
            if let Some((_, rest)) = line.split_once(text) {
                return Ok(rest.into());
            }
            all += &line;
        }
    }

    /// Asks it to end (SIGTERM), and waits until it has: killed, it would leave its own children behind.
    pub fn terminate(&mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end, which must be a good one; all that it said since.
    pub fn end(&mut self) -> Result<String> {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {said}");
        Ok(said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Has ended already, unless something went wrong.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
