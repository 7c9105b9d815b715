//! What the options say, put together.
//!
//! In: the settings of the configuration files, then one choice after the other. Out: a plan with everything opened,
//! which `plan` makes of it at the end. Runs on the main thread. `-I`, `-O`, `-W`, `-l`, `--pid` act where they stand
//! on the command line, all else waits for the plan.

mod plan;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::config_file::Setting;
use super::grammar::Choice;
use super::help;
use super::number::Size;
use super::options::Key;
use crate::buffer::geometry::{Geometry, Machine, Wanted};
use crate::buffer::hash::Algorithm;
use crate::buffer::input::Input;
use crate::buffer::log::Log;
use crate::buffer::media::Autoload;
use crate::buffer::memory::Place;
use crate::buffer::network::{self, Family, Tuning};
use crate::buffer::output::{OpenMode, Output};
use crate::buffer::view::Show;
use crate::buffer::watchdog::Watchdog;
use crate::buffer::{Fatal, reason};

/// Whether to go on after a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With the next option.
    Go,
    /// The run ends here with status 0: help, version, a list.
    Done,
}

/// An output as it was asked for; connections exist already.
enum Target {
    Stdout,
    File(PathBuf, OpenMode),
    Connected(Output),
    // Nobody was there; the message is said.
    Refused,
}

/// What the options have said so far.
pub struct Setup {
    log: Arc<Log>,
    program: String,
    machine: Machine,
    wanted: Wanted,
    // What configuration files say: a `-m` sets it aside.
    configured: Wanted,
    place: Place,
    lock: bool,
    input: Option<Input>,
    input_file: Option<PathBuf>,
    targets: Vec<Target>,
    mode: OpenMode,
    direct: bool,
    tuning: Tuning,
    hashes: Vec<Algorithm>,
    start_writing: Option<f64>,
    start_reading: Option<f64>,
    read_rate: Option<u64>,
    write_rate: Option<u64>,
    least_rate: Option<u64>,
    pause: Duration,
    device_blocks: bool,
    volumes: u64,
    volume_size: Option<u64>,
    tape_aware: bool,
    autoload: Autoload,
    watchdog: Option<(u64, Option<Watchdog>)>,
    show: Show,
}

impl Setup {
    /// Nothing said yet; `program` is `argv[0]`.
    pub fn new(log: Arc<Log>, program: String) -> Self {
        Setup {
            log,
            program,
            machine: Machine::this(),
            wanted: Wanted::default(),
            configured: Wanted::default(),
            place: Place::default(),
            lock: false,
            input: None,
            input_file: None,
            targets: Vec::new(),
            mode: OpenMode::default(),
            direct: true,
            tuning: Tuning::default(),
            hashes: Vec::new(),
            start_writing: None,
            start_reading: None,
            read_rate: None,
            write_rate: None,
            least_rate: None,
            pause: Duration::ZERO,
            device_blocks: false,
            volumes: 1,
            volume_size: None,
            tape_aware: false,
            autoload: Autoload::default(),
            watchdog: None,
            show: Show { on_terminal: true, in_log: true, interval: Duration::from_millis(500), bar: false },
        }
    }

    /// A line of a configuration file.
    pub fn configure(&mut self, setting: Setting) {
        match setting {
            Setting::BlockSize(bytes) => self.configured.block = Some(bytes),
            Setting::Blocks(blocks) => self.configured.blocks = Some(blocks),
            Setting::Total(size) => self.configured.total = size.map(|size| self.bytes(size)),
            Setting::ReadRate(rate) => self.read_rate = rate,
            Setting::WriteRate(rate) => self.write_rate = rate,
            Setting::StartReading(percent) => self.start_reading = percent,
            Setting::StartWriting(percent) => self.start_writing = Some(percent),
            Setting::Pause(microseconds) => self.pause = Duration::from_micros(microseconds),
            Setting::Watchdog(seconds) => self.watchdog = (seconds > 0).then_some((seconds, None)),
            Setting::ShowStatus(show) => self.show.on_terminal = show,
            Setting::LogStatus(show) => self.show.in_log = show,
            Setting::TapeAware(aware) => self.tape_aware = aware,
            Setting::Lock(lock) => self.lock = lock,
            Setting::PrintPid(true) => self.log.always(&format!("PID is {}", std::process::id())),
            Setting::PrintPid(false) => {}
            Setting::Direct(direct) => self.direct = direct,
            Setting::StatusInterval(seconds) => self.show.interval = Duration::from_secs_f64(seconds),
            Setting::Verbose(level) => self.log.set_level(level),
            Setting::TcpBuffer(bytes) => self.tuning.buffer = bytes.map(socket_buffer),
            Setting::TcpTimeout(milliseconds) => self.tuning.timeout = Duration::from_millis(milliseconds),
            Setting::AutoloadTime(seconds) => self.autoload.seconds = seconds,
        }
    }

    /// An option of the command line, carried out as far as it acts at its place.
    pub fn choose(&mut self, choice: Choice) -> Result<Next, Fatal> {
        match choice {
            Choice::Blocks(blocks) => self.wanted.blocks = Some(blocks),
            Choice::BlockSize(bytes) => self.wanted.block = Some(bytes),
            Choice::Total(size) => self.wanted.total = Some(self.bytes(size)),
            Choice::VolumeSize(bytes) => self.volume_size = Some(bytes),
            Choice::StartWriting(percent) => self.start_writing = Some(percent),
            Choice::StartReading(percent) => self.start_reading = Some(percent),
            Choice::Input(path) => self.set_input(path)?,
            Choice::Output(path) => self.add_output(path)?,
            Choice::Listen(address) => self.listen(&address)?,
            Choice::Connect(address) => self.connect(address)?,
            Choice::Volumes(volumes) => self.volumes = volumes,
            Choice::BufferFile(path) => self.place = Place::File(path),
            Choice::LogFile(path) => self.open_log(&path),
            Choice::Pause(microseconds) => self.pause = Duration::from_micros(microseconds),
            Choice::ReadRate(rate) => self.read_rate = Some(rate),
            Choice::WriteRate(rate) => self.write_rate = Some(rate),
            Choice::LeastRate(rate) => self.least_rate = Some(rate),
            Choice::AutoloadTime(seconds) => self.set_autoload_time(seconds)?,
            Choice::AutoloadCommand(command) => self.autoload.command = Some(command),
            // It counted from the start.
            Choice::Verbose(_) => {}
            Choice::Watchdog(seconds) => self.set_watchdog(seconds)?,
            Choice::TcpBuffer(bytes) => self.tuning.buffer = Some(socket_buffer(bytes)),
            Choice::TcpTimeout(milliseconds) => self.tuning.timeout = Duration::from_millis(milliseconds),
            Choice::Hash(name) => self.hashes.extend(Algorithm::by_name(name)),
            Choice::HashList => {
                list_hashes(&self.log);
                return Ok(Next::Done);
            }
            Choice::Progress(bar) => self.show.bar = bar,
            Choice::Switch(key) => return self.switch(key),
        }
        Ok(Next::Go)
    }

    fn switch(&mut self, key: Key) -> Result<Next, Fatal> {
        match key {
            Key::Lock => self.lock = true,
            Key::DeviceBlocks => self.device_blocks = true,
            Key::Append => self.mode.append = true,
            Key::Truncate => self.mode.truncate = true,
            Key::Overwrite => self.mode.overwrite = true,
            Key::Sync => self.mode.sync = true,
            Key::TempFile => self.place = Place::TempFile,
            Key::Quiet => self.show.on_terminal = false,
            Key::QuietLog => self.show.in_log = false,
            Key::EndOnError => self.log.end_on_error(),
            Key::Pid => {
                let pid = std::process::id();
                self.log.always(&format!("PID is {pid}"));
                self.log.set_prefix(format!("{} ({pid}): ", self.program));
            }
            Key::Ipv4 => self.tuning.family = Family::V4,
            Key::Ipv6 => self.tuning.family = Family::V6,
            Key::AnyIp => self.tuning.family = Family::Any,
            Key::NoDirect => self.direct = false,
            Key::TapeAware => self.tape_aware = true,
            Key::Md5 => self.hashes.push(Algorithm::md5()),
            Key::Version => {
                self.log.terminal(help::version().as_bytes());
                return Ok(Next::Done);
            }
            Key::Help => {
                let default = Geometry::choose(Wanted::default(), &self.machine)?;
                self.log.terminal(help::help(self.geometry().unwrap_or(default)).as_bytes());
                return Ok(Next::Done);
            }
            // `--direct` has no effect on a mapped file; options with a value are choices of their own.
            _ => {}
        }
        Ok(Next::Go)
    }

    fn bytes(&self, size: Size) -> u64 {
        match size {
            Size::Bytes(bytes) => bytes,
            Size::Percent(percent) => self.machine.percent(percent),
        }
    }

    fn set_input(&mut self, path: PathBuf) -> Result<(), Fatal> {
        let named = |path: &PathBuf| path.as_os_str() != "-";
        if self.input_file.as_ref().is_some_and(named) {
            return Err(Fatal::new("cannot set input file: file already set"));
        }
        if self.input_file.is_some() || self.input.is_some() {
            return Err(Fatal::new("cannot initialize input - input already set"));
        }
        self.input_file = Some(path);
        Ok(())
    }

    fn add_output(&mut self, path: PathBuf) -> Result<(), Fatal> {
        if path.as_os_str() == "-" {
            if self.targets.iter().any(|target| matches!(target, Target::Stdout)) {
                return Err(Fatal::new("cannot output multiple times to stdout"));
            }
            self.targets.push(Target::Stdout);
        } else {
            self.targets.push(Target::File(path, self.mode));
        }
        self.mode = OpenMode { sync: self.mode.sync, ..OpenMode::default() };
        Ok(())
    }

    fn listen(&mut self, address: &str) -> Result<(), Fatal> {
        match &self.input_file {
            Some(path) if path.as_os_str() == "-" => {
                return Err(Fatal::new("cannot initialize input from network - input already set"));
            }
            Some(_) => {
                return Err(Fatal::new("cannot initialize input from network - input from file already set"));
            }
            None => {}
        }
        if self.input.is_some() {
            return Err(Fatal::new("cannot initialize input - input already set"));
        }
        let socket = network::accept(address, self.tuning, &self.log)?;
        self.input = Some(Input::connection(address.to_owned(), socket));
        Ok(())
    }

    fn connect(&mut self, address: String) -> Result<(), Fatal> {
        let target = match network::connect(&address, self.tuning, &self.log)? {
            Some(socket) => Target::Connected(Output::connection(address, socket)),
            None => Target::Refused,
        };
        self.targets.push(target);
        Ok(())
    }

    fn open_log(&mut self, path: &std::path::Path) {
        match File::create(path) {
            Ok(file) => self.log.set_file(file),
            Err(error) => self.log.error(&format!("error opening log file: {}", reason(&error))),
        }
    }

    /// `-a` and `-W` are held against each other by whichever comes second, as mbuffer does: it counts `-a` one second
    /// short, and the two orders have different limits.
    fn set_autoload_time(&mut self, seconds: u64) -> Result<(), Fatal> {
        if self.watchdog.as_ref().is_some_and(|(timeout, _)| *timeout < seconds) {
            return Err(Fatal::new("autoload time must be smaller than watchdog timeout"));
        }
        self.autoload.seconds = seconds;
        self.autoload.by_time = true;
        Ok(())
    }

    fn set_watchdog(&mut self, seconds: u64) -> Result<(), Fatal> {
        if seconds / 2 < self.autoload.seconds.saturating_sub(1) {
            return Err(Fatal::new("timeout must be at least 2x autoload time"));
        }
        self.watchdog = Some((seconds, Some(self.start_watchdog(seconds)?)));
        Ok(())
    }

    fn start_watchdog(&self, seconds: u64) -> Result<Watchdog, Fatal> {
        let watchdog = Watchdog::start(seconds, self.log.clone())
            .map_err(|error| Fatal::new(format!("unable to create thread: {}", reason(&error))))?;
        self.log.info(&format!("started watchdog with Timeout = {seconds} sec."));
        Ok(watchdog)
    }
}

fn socket_buffer(bytes: u64) -> usize {
    // The kernel takes an int, and cuts it to its own limit.
    usize::try_from(bytes).unwrap_or(usize::MAX).min(i32::MAX as usize)
}

/// The names are data, for scripts; what is said about them is not.
fn list_hashes(log: &Log) {
    log.terminal(b"valid hash functions of libgcrypt are:\n");
    let names: String = Algorithm::names().map(|name| format!("\t{name}\n")).collect();
    if let Err(error) = io::Write::write_all(&mut io::stdout(), names.as_bytes()) {
        log.error(&format!("error writing to <stdout>: {}", reason(&error)));
    }
}
