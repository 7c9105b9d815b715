//! The configuration files: defaults for the options, `key = value` a line.
//!
//! In: `/etc/mbuffer.rc`, `/usr/etc/mbuffer.rc`, `~/.mbuffer.rc`, `$MBUFFERRC`, each overriding the one before.
//! Out: [`Setting`]s. What cannot be understood is a warning, a level or time-out also status 1; never the end. Where mbuffer misreads its own manual
//! (`totalmem` without effect, `tapeaware` turned round, no blanks before a key), the manual is right here.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::grammar::bad_level;
use super::number::{self, Refusal, Size};
use crate::buffer::log::{Level, Log};
use crate::buffer::reason;

/// One line's meaning.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // Each is a key of the files, described in the manual page.
pub enum Setting {
    BlockSize(u64),
    Blocks(u64),
    Total(Option<Size>),
    ReadRate(Option<u64>),
    WriteRate(Option<u64>),
    StartReading(Option<f64>),
    StartWriting(f64),
    /// Microseconds.
    Pause(u64),
    /// Seconds.
    Watchdog(u64),
    ShowStatus(bool),
    LogStatus(bool),
    TapeAware(bool),
    Lock(bool),
    PrintPid(bool),
    Direct(bool),
    /// Seconds.
    StatusInterval(f64),
    Verbose(Level),
    TcpBuffer(Option<u64>),
    /// Milliseconds.
    TcpTimeout(u64),
    /// Seconds.
    AutoloadTime(u64),
}

/// The key's name, its value as shown in the manual, what it is.
pub const KEYS: &[(&str, &str, &str)] = &[
    ("blocksize", "size", "as -s, and small numbers are bytes"),
    ("numblocks", "number", "as -b"),
    ("totalmem", "size", "as -m"),
    ("maxreadspeed", "rate", "as -r"),
    ("maxwritespeed", "rate", "as -R"),
    ("startread", "percent", "as -p; 100 is the default"),
    ("startwrite", "percent", "as -P"),
    ("pause", "microseconds", "as -u"),
    ("timeout", "seconds", "as -W; 0 is off"),
    ("showstatus", "boolean", "no is -q"),
    ("logstatus", "boolean", "no is -Q"),
    ("statusinterval", "seconds", "time between two status lines, 0.5 if it is not set; fractions are allowed"),
    ("tapeaware", "boolean", "as --tapeaware"),
    ("memlock", "boolean", "as -L"),
    ("printpid", "boolean", "prints the process id at the start"),
    ("directio", "boolean", "no is --no-direct"),
    ("verbose", "level", "as -v"),
    ("tcpbufsize", "size", "as --tcpbuffer; tcpbuffer is the same"),
    ("tcptimeout", "time", "as --tcptimeo"),
    ("autoloadtime", "seconds", "as -a"),
];

/// Where the files are.
pub fn paths() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("/etc/mbuffer.rc"), PathBuf::from("/usr/etc/mbuffer.rc")];
    if let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        paths.push(Path::new(&home).join(".mbuffer.rc"));
    }
    if let Some(own) = std::env::var_os("MBUFFERRC").filter(|own| !own.is_empty()) {
        paths.push(own.into());
    }
    paths
}

/// Reads one file; one that is not there has no settings. Each is given to `configure` where it stands: `verbose` holds
/// for what is said of the lines after it.
pub fn read(path: &Path, log: &Log, mut configure: impl FnMut(Setting)) {
    let shown = path.display();
    let text = match owned_text(path) {
        Ok(Some(text)) => text,
        Ok(None) => {
            log.warning(&format!("ignoring config file '{shown}' from different user"));
            return;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            log.info(&format!("no config file {shown}"));
            return;
        }
        Err(error) => {
            log.warning(&format!("error opening config file {shown}: {}", reason(&error)));
            return;
        }
    };
    log.info(&format!("reading config file {shown}"));
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        match parse_line(line) {
            Ok(setting) => setting.into_iter().for_each(&mut configure),
            Err(Trouble::NoPair) => {
                let line = String::from_utf8_lossy(line);
                log.warning(&format!("config file {shown}, line {}: error parsing '{line}'", number + 1));
            }
            Err(Trouble::Warning(message)) => log.warning(&message),
            Err(Trouble::Error(message)) => log.error(&message),
        }
    }
}

/// The file's text; `None` if it belongs to neither this user nor root.
fn owned_text(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = std::fs::File::open(path)?;
    let owner = file.metadata()?.uid();
    if owner != 0 && owner != nix::unistd::getuid().as_raw() {
        return Ok(None);
    }
    let mut text = Vec::new();
    // No configuration is longer; a device in its place must not fill the memory.
    io::Read::read_to_end(&mut io::Read::take(&mut file, 1 << 20), &mut text)?;
    Ok(Some(text))
}

/// Why a line is not taken.
#[derive(Debug, PartialEq)]
enum Trouble {
    NoPair,
    Warning(String),
    // As the option's: it makes the status 1.
    Error(String),
}

fn parse_line(line: &[u8]) -> Result<Option<Setting>, Trouble> {
    let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let is_separator = |byte: u8| byte == b'=' || byte == b':' || byte.is_ascii_whitespace();
    let end = line.iter().position(|byte| is_separator(*byte)).ok_or(Trouble::NoPair)?;
    let rest = line[end..].trim_ascii();
    let value = rest.strip_prefix(b"=").or(rest.strip_prefix(b":")).unwrap_or(rest).trim_ascii();
    // No setting is negative.
    if end == 0 || !line[..end].iter().all(u8::is_ascii_alphanumeric) || value.is_empty() || value[0] == b'-' {
        return Err(Trouble::NoPair);
    }
    let key = String::from_utf8_lossy(&line[..end]).to_ascii_lowercase();
    setting(&key, value).map(Some).map_err(|bad| bad.trouble(&key, value))
}

/// What is wrong with a pair.
enum Bad {
    Key,
    /// What does not fit a size or count.
    Value,
    Unit,
    /// What is no boolean, nor whatever else the key takes.
    Argument,
    Percent,
    AutoloadTime,
    Level,
    Time(&'static str),
}

impl From<Refusal> for Bad {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fatal(message) if message.starts_with("unrecognized size character") => Bad::Unit,
            _ => Bad::Value,
        }
    }
}

impl Bad {
    /// mbuffer's words for it: it has different ones for nearly every kind of key.
    fn trouble(self, key: &str, value: &[u8]) -> Trouble {
        let word = value.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let shown = OsStr::from_bytes(word).to_string_lossy();
        Trouble::Warning(match self {
            Bad::Key if number::float(word).is_some() => format!("unknown parameter: {key}"),
            Bad::Key | Bad::Value => {
                format!("ignoring invalid key/value pair ({key} = {shown}): unrecognized argument")
            }
            Bad::Unit => format!("ignoring invalid key/value pair ({key} = {shown}): invalid dimension"),
            Bad::Argument => format!("invalid argument for {key}: \"{shown}\""),
            Bad::Percent => format!("ignoring invalid value '{shown}' for {key}"),
            Bad::AutoloadTime => format!("ignoring invalid value for {key}: \"{shown}\""),
            Bad::Level => return Trouble::Error(bad_level(&OsString::from_vec(word.to_vec()))),
            Bad::Time(what) => return Trouble::Error(format!("invalid {what} \"{shown}\"")),
        })
    }
}

/// What a pair means.
fn setting(key: &str, value: &[u8]) -> Result<Setting, Bad> {
    let count = || u64::try_from(number::count(value)).map_err(|_| Bad::Value);
    let digits = value.first().is_some_and(u8::is_ascii_digit);
    let is_zero = number::float(value) == Some(0.0);
    // Zero takes back what an earlier file has set.
    let limit = || if is_zero { Ok(None) } else { bytes(key, value).map(Some) };
    let set = match key {
        "blocksize" => Setting::BlockSize(bytes(key, value)?),
        "numblocks" => Setting::Blocks(count()?),
        "totalmem" if is_zero => Setting::Total(None),
        "totalmem" => Setting::Total(Some(number::parse_size(key, value)?)),
        "maxreadspeed" => Setting::ReadRate(limit()?),
        "maxwritespeed" => Setting::WriteRate(limit()?),
        "startread" => match number::float(value).filter(|percent| (0.0..=100.0).contains(percent)) {
            Some(percent) => Setting::StartReading((percent < 100.0).then_some(percent)),
            None => return Err(Bad::Percent),
        },
        "startwrite" => match number::float(value).filter(|percent| *percent > 0.0 && *percent <= 100.0) {
            Some(percent) => Setting::StartWriting(percent),
            None => return Err(Bad::Percent),
        },
        "pause" if !digits => return Err(Bad::Argument),
        "pause" => Setting::Pause(count()?),
        "timeout" => Setting::Watchdog(count()?),
        "showstatus" => Setting::ShowStatus(boolean(value)?),
        "logstatus" => Setting::LogStatus(boolean(value)?),
        "tapeaware" => Setting::TapeAware(boolean(value)?),
        "memlock" => Setting::Lock(boolean(value)?),
        "printpid" => Setting::PrintPid(boolean(value)?),
        "directio" => Setting::Direct(boolean(value)?),
        "statusinterval" => {
            // Below a hundredth of a second it would be all the program does.
            let seconds = number::float(value).filter(|seconds| (0.01..=1e6).contains(seconds));
            Setting::StatusInterval(seconds.ok_or(Bad::Argument)?)
        }
        "verbose" => Setting::Verbose(Level::from_word(value).ok_or(Bad::Level)?),
        "tcpbufsize" | "tcpbuffer" => Setting::TcpBuffer(limit()?),
        "tcptimeout" => Setting::TcpTimeout(number::milliseconds(value).map_err(Bad::Time)?),
        "autoloadtime" if !digits => return Err(Bad::AutoloadTime),
        "autoloadtime" => Setting::AutoloadTime(count()?),
        _ => return Err(Bad::Key),
    };
    Ok(set)
}

fn bytes(key: &str, value: &[u8]) -> Result<u64, Bad> {
    match number::parse_size(key, value)? {
        Size::Bytes(bytes) => Ok(bytes),
        Size::Percent(_) => Err(Bad::Value),
    }
}

fn boolean(value: &[u8]) -> Result<bool, Bad> {
    match value.to_ascii_lowercase().as_slice() {
        b"yes" | b"on" | b"1" | b"true" => Ok(true),
        b"no" | b"off" | b"0" | b"false" => Ok(false),
        _ => Err(Bad::Argument),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(line: &str) -> String {
        match parse_line(line.as_bytes()) {
            Err(Trouble::Warning(message)) => message,
            other => panic!("{line:?} is {other:?}"),
        }
    }

    #[test]
    fn pairs_have_any_separator_any_case_and_a_comment() {
        for line in ["blocksize = 64", "BlockSize:64", "  blocksize 64 # small", "blocksize=64\r"] {
            assert_eq!(parse_line(line.as_bytes()), Ok(Some(Setting::BlockSize(64))), "{line}");
        }
        for line in ["", "   ", "# blocksize = 64"] {
            assert_eq!(parse_line(line.as_bytes()), Ok(None), "{line}");
        }
        assert_eq!(parse_line(b"tapeaware = yes"), Ok(Some(Setting::TapeAware(true))));
        assert_eq!(parse_line(b"statusinterval = .25"), Ok(Some(Setting::StatusInterval(0.25))));
    }

    #[test]
    fn defaults_take_back_what_an_earlier_file_has_set() {
        for (line, setting) in [
            ("startread = 100", Setting::StartReading(None)),
            ("totalmem = 0", Setting::Total(None)),
            ("maxreadspeed=0", Setting::ReadRate(None)),
            ("maxwritespeed=0", Setting::WriteRate(None)),
            ("tcpbufsize=0", Setting::TcpBuffer(None)),
        ] {
            assert_eq!(parse_line(line.as_bytes()), Ok(Some(setting)), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert_eq!(warned("foo = 1"), "unknown parameter: foo");
        assert_eq!(warned("startwrite = 0"), "ignoring invalid value '0' for startwrite");
        assert_eq!(warned("memlock = maybe not"), "invalid argument for memlock: \"maybe\"");
        assert!(warned("blocksize = abc").contains("(blocksize = abc)"));
        for line in ["blocksize", "= 5", "blocksize =", "timeout = -1", "a.b = 3"] {
            assert_eq!(parse_line(line.as_bytes()), Err(Trouble::NoPair), "{line}");
        }
        for line in ["verbose = 7", "tcptimeout = 3days"] {
            assert!(matches!(parse_line(line.as_bytes()), Err(Trouble::Error(_))), "{line}");
        }
    }

    #[test]
    fn every_key_of_the_manual_is_known() {
        for (key, kind, _) in KEYS {
            let value: &[u8] = if *kind == "boolean" { b"yes" } else { b"3" };
            assert!(setting(key, value).is_ok(), "{key}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(0u8.., 0..40)) {
            drop(parse_line(&line));
        }
    }
}
