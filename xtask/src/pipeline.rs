//! Commands joined by pipes, timed as a whole, with the peak memory of each.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal;
use nix::unistd::Pid;

/// `a | b > file`, as a shell would run it.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    commands: Vec<Vec<OsString>>,
    input: Option<PathBuf>,
    output: Option<PathBuf>,
    widest: bool,
    complaints: Option<PathBuf>,
    started_by: Vec<OsString>,
}

/// What one run took.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// From the start of the first command to the end of the last one.
    pub time: Duration,
    /// Peak resident memory of each command, in bytes, in their order: getrusage(2)'s ru_maxrss.
    pub peaks: Vec<u64>,
    /// Processor time of each command, user and system.
    pub processor: Vec<Duration>,
}

impl Pipeline {
    /// A pipeline of one command.
    pub fn new(command: &[&dyn AsRef<OsStr>]) -> Self {
        Pipeline::default().pipe(command)
    }

    /// Appends a command that reads what the one before writes.
    pub fn pipe(mut self, command: &[&dyn AsRef<OsStr>]) -> Self {
        self.commands.push(command.iter().map(|word| word.as_ref().to_os_string()).collect());
        self
    }

    /// The first command reads this file; without it, /dev/null.
    pub fn input(mut self, path: &Path) -> Self {
        self.input = Some(path.to_path_buf());
        self
    }

    /// The last command writes to this file; without it, to /dev/null.
    pub fn output(mut self, path: &Path) -> Self {
        self.output = Some(path.to_path_buf());
        self
    }

    /// The pipes between the commands are as large as the system allows.
    pub fn widest_pipes(mut self) -> Self {
        self.widest = true;
        self
    }

    /// What the commands say on standard error goes to the end of this file, and from there into the message when one
    /// fails; without it, to ours.
    pub fn complaints(mut self, path: &Path) -> Self {
        self.complaints = Some(path.to_path_buf());
        self
    }

    /// Each command is started by this one, as by `nsenter --net=FILE --`, which must become it.
    pub fn started_by(mut self, words: &[String]) -> Self {
        self.started_by = words.iter().map(OsString::from).collect();
        self
    }

    /// Runs it, all commands at once. An error if one cannot be started or fails.
    pub fn run(&self) -> Result<Measured> {
        self.start()?.finish()
    }

    /// Starts it, all commands at once. An error if one cannot be started.
    pub fn start(&self) -> Result<Started> {
        let mut all = Started { since: Instant::now(), children: Vec::new(), complaints: self.complaints.clone() };
        let mut upstream: Option<PipeReader> = None;
        for (index, words) in self.commands.iter().enumerate() {
            let name = words.first().context("a command has a name")?.to_string_lossy().into_owned();
            let mut words = self.started_by.iter().chain(words);
            let mut command = Command::new(words.next().context("a command has a name")?);
            command.args(words);
            command.stdin(match (upstream.take(), &self.input) {
                (Some(pipe), _) => Stdio::from(OwnedFd::from(pipe)),
                (None, Some(path)) => File::open(path).with_context(|| path.display().to_string())?.into(),
                (None, None) => Stdio::null(),
            });
            if index + 1 < self.commands.len() {
                let (reader, writer) = io::pipe()?;
                if self.widest {
                    let largest = std::fs::read_to_string("/proc/sys/fs/pipe-max-size")?.trim().parse()?;
                    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(largest))?;
                }
                upstream = Some(reader);
                command.stdout(OwnedFd::from(writer));
            } else {
                command.stdout(match &self.output {
                    Some(path) => File::create(path).with_context(|| path.display().to_string())?.into(),
                    None => Stdio::null(),
                });
            }
            if let Some(path) = &self.complaints {
                let file = File::options().create(true).append(true).open(path);
                command.stderr(file.with_context(|| path.display().to_string())?);
            }
            let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
            all.children.push((name, child));
            // `command` goes out of scope here and with it our copies of the pipe's ends: else no reader ever sees
            // the end of its input.
        }
        Ok(all)
    }
}

/// A pipeline that runs. Dropped before its end, it is killed.
pub struct Started {
    since: Instant,
    children: Vec<(String, Child)>,
    complaints: Option<PathBuf>,
}

impl Started {
    /// Waits until all have ended; an error if one has failed.
    pub fn finish(mut self) -> Result<Measured> {
        let (mut peaks, mut processor) = (Vec::new(), Vec::new());
        let mut failed = Vec::new();
        while !self.children.is_empty() {
            let (status, peak, used) = wait(&self.children[0].1)?;
            let (name, _) = self.children.remove(0);
            if !status.success() {
                failed.push(format!("{name} ({status})"));
            }
            peaks.push(peak);
            processor.push(used);
        }
        if !failed.is_empty() {
            let said = self.complaints.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
            let said = said.map(|text| format!("\n{}", text.trim_end())).unwrap_or_default();
            bail!("failed: {}{said}", failed.join(", "));
        }
        Ok(Measured { time: self.since.elapsed(), peaks, processor })
    }

    /// Asks all to end (SIGTERM), which a server takes for a good end, and waits for that.
    pub fn terminate(self) -> Result<Measured> {
        for (_, child) in &self.children {
            signal::kill(Pid::from_raw(i32::try_from(child.id())?), signal::Signal::SIGTERM)?;
        }
        self.finish()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a child, and says how it ended, its peak memory in bytes, and its processor time.
fn wait(child: &Child) -> Result<(ExitStatus, u64, Duration)> {
    let pid = libc::pid_t::try_from(child.id()).context("a process id")?;
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which all bits zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to locals of the right type that outlive the call. The child is ours and nobody
        // else waits for it: who owns `child` forgets it when this has returned.
        let waited = unsafe { libc::wait4(pid, &mut status, 0, &mut usage) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("wait4");
        }
    }
    let time = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    // Kilobytes on Linux.
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok((ExitStatus::from_raw(status), peak, time(usage.ru_utime) + time(usage.ru_stime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_from_file_to_file() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (input, output) = (directory.path().join("in"), directory.path().join("out"));
        std::fs::write(&input, "b\na\n").expect("written");
        let measured = Pipeline::new(&[&"cat"]).pipe(&[&"sort"]).input(&input).output(&output).run().expect("runs");
        assert_eq!(std::fs::read_to_string(&output).expect("read"), "a\nb\n");
        assert_eq!(measured.peaks.len(), 2);
        assert!(measured.peaks.iter().all(|peak| *peak > 100 << 10), "{:?}", measured.peaks);
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let error = Pipeline::new(&[&"false"]).pipe(&[&"cat"]).run().expect_err("false fails");
        assert_eq!(error.to_string(), "failed: false (exit status: 1)");
        assert!(Pipeline::new(&[&"/nonexistent"]).run().is_err());
    }

    #[test]
    fn what_a_command_complained_of_is_in_the_message() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let complaints = directory.path().join("complaints");
        let error = Pipeline::new(&[&"sh", &"-c", &"echo no such luck >&2; exit 3"]).complaints(&complaints).run();
        let error = error.expect_err("it fails").to_string();
        assert_eq!(error, "failed: sh (exit status: 3)\nno such luck");
    }

    #[test]
    fn a_server_is_asked_to_end_and_by_another_command_it_is_started() {
        let server = "trap 'exit 0' TERM; echo ready >&2; while :; do sleep 0.01; done";
        let directory = tempfile::tempdir().expect("a scratch directory");
        let said = directory.path().join("said");
        let by = ["env", "-u", "HOME"].map(String::from);
        let started = Pipeline::new(&[&"sh", &"-c", &server]).complaints(&said).started_by(&by).start();
        let started = started.expect("it starts");
        while std::fs::read_to_string(&said).map_or(0, |text| text.len()) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(started.terminate().expect("status 0").peaks.len(), 1);
    }
}
