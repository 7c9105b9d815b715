//! The grammar: which option an argument is, and what its value means.
//!
//! In: the arguments. Out: one [`Choice`] after the other, in the order of the command line, because mbuffer acts on
//! `-I` and `-O` where they stand. Nothing here has an effect; no bytes make it panic.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::number::{self, Refusal, Size};
use super::options::{Key, OPTIONS, Opt};
use crate::buffer::hash::Algorithm;
use crate::buffer::log::Level;

/// What an option asks for. Names are those of [`Key`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // Each is described by its row in `options::OPTIONS`.
pub enum Choice {
    Blocks(u64),
    BlockSize(u64),
    Total(Size),
    VolumeSize(u64),
    StartWriting(f64),
    StartReading(f64),
    Input(PathBuf),
    Output(PathBuf),
    Listen(String),
    Connect(String),
    Volumes(u64),
    BufferFile(PathBuf),
    LogFile(PathBuf),
    /// Microseconds.
    Pause(u64),
    ReadRate(u64),
    WriteRate(u64),
    LeastRate(u64),
    /// Seconds.
    AutoloadTime(u64),
    AutoloadCommand(OsString),
    Verbose(Level),
    /// Seconds.
    Watchdog(u64),
    TcpBuffer(u64),
    /// Milliseconds.
    TcpTimeout(u64),
    /// The name of an algorithm that exists.
    Hash(&'static str),
    HashList,
    Progress(bool),
    /// An option without a value.
    Switch(Key),
}

/// One step through the command line.
pub type Step = Result<Choice, Refusal>;

/// Walks through the arguments.
pub struct Grammar<Args> {
    args: Args,
}

impl<Args: Iterator<Item = OsString>> Grammar<Args> {
    /// `args` without the program's name.
    pub fn new(args: Args) -> Self {
        Grammar { args }
    }
}

impl<Args: Iterator<Item = OsString>> Iterator for Grammar<Args> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let arg = self.args.next()?;
        let Some((opt, attached)) = find(arg.as_bytes()) else {
            return Some(Err(Refusal::Fatal(format!("unknown option \"{}\"", arg.to_string_lossy()))));
        };
        if opt.value.is_none() {
            return Some(Ok(Choice::Switch(opt.key)));
        }
        let value = match attached {
            Some(value) => OsString::from_vec(value.to_vec()),
            None => match self.args.next() {
                Some(value) => value,
                None => {
                    let name = arg.to_string_lossy();
                    return Some(Err(Refusal::Fatal(format!("missing argument to option {name}"))));
                }
            },
        };
        Some(value_of(opt.key, &arg.to_string_lossy(), value))
    }
}

/// The option an argument is, and the value attached to it.
fn find(arg: &[u8]) -> Option<(&'static Opt, Option<&[u8]>)> {
    for opt in OPTIONS {
        for name in opt.names {
            match arg.strip_prefix(name.as_bytes()) {
                Some([]) => return Some((opt, None)),
                Some(value) if opt.value.is_some() && name.len() == 2 => return Some((opt, Some(value))),
                _ => {}
            }
        }
    }
    None
}

/// What `value` means to the option `key`, which was typed as `option`.
pub fn value_of(key: Key, option: &str, value: OsString) -> Step {
    let bytes = value.as_bytes();
    let size = || number::size(option, bytes);
    let path = || PathBuf::from(&value);
    let shown = || value.to_string_lossy().into_owned();
    match key {
        Key::Blocks => Ok(Choice::Blocks(u64::try_from(number::count(bytes)).unwrap_or(0))),
        Key::BlockSize => {
            plain(size()?, "cannot set blocksize as percentage of total physical memory").map(Choice::BlockSize)
        }
        Key::Total => Ok(Choice::Total(size()?)),
        Key::VolumeSize => plain(size()?, "cannot set volume size as percentage").map(Choice::VolumeSize),
        Key::ReadRate => plain(size()?, "cannot set read rate as percentage").map(Choice::ReadRate),
        Key::WriteRate => plain(size()?, "cannot set write rate as percentage").map(Choice::WriteRate),
        Key::LeastRate => plain(size()?, "cannot set minimum rate as percentage").map(Choice::LeastRate),
        Key::TcpBuffer => Ok(Choice::TcpBuffer(match size()? {
            // mbuffer takes the number for bytes: fewer than any buffer has, so nothing changes.
            Size::Percent(percent) => u64::from(percent),
            Size::Bytes(bytes) => bytes,
        })),
        Key::StartWriting => start_writing(bytes).map(Choice::StartWriting),
        Key::StartReading => start_reading(bytes).map(Choice::StartReading),
        Key::Input => Ok(Choice::Input(path())),
        Key::Output => Ok(Choice::Output(path())),
        Key::Listen => Ok(Choice::Listen(shown())),
        Key::Connect => Ok(Choice::Connect(shown())),
        Key::BufferFile => Ok(Choice::BufferFile(path())),
        Key::LogFile => Ok(Choice::LogFile(path())),
        Key::Volumes => match u64::try_from(number::count(bytes)) {
            Ok(volumes) => Ok(Choice::Volumes(volumes)),
            Err(_) => Err(Refusal::Fatal(format!("invalid argument to option -n: \"{}\"", shown()))),
        },
        Key::Pause => match u64::try_from(number::count(bytes)) {
            Ok(microseconds) => Ok(Choice::Pause(microseconds)),
            Err(_) => Err(Refusal::Fatal(format!("invalid argument to option -u: \"{}\"", shown()))),
        },
        Key::AutoloadTime => match u64::try_from(number::count(bytes)) {
            Ok(seconds) if seconds > 0 => Ok(Choice::AutoloadTime(seconds)),
            _ => Err(Refusal::Warning(format!("ignoring invalid value for autoload time: {}", shown()))),
        },
        Key::AutoloadCommand => Ok(Choice::AutoloadCommand(value)),
        Key::Verbose => {
            Level::from_word(bytes).map(Choice::Verbose).ok_or_else(|| Refusal::Level(bad_level(&value)))
        }
        Key::Watchdog => match u64::try_from(number::count(bytes)) {
            Ok(seconds) if seconds > 0 => Ok(Choice::Watchdog(seconds)),
            _ => Err(Refusal::Fatal("invalid argument to option -W".into())),
        },
        Key::TcpTimeout => number::milliseconds(bytes)
            .map(Choice::TcpTimeout)
            .map_err(|what| Refusal::Error(format!("invalid {what} \"{}\"", shown()))),
        Key::Hash if bytes.eq_ignore_ascii_case(b"list") => Ok(Choice::HashList),
        Key::Hash => Algorithm::by_name(&shown())
            .map(|algorithm| Choice::Hash(algorithm.name()))
            .ok_or_else(|| Refusal::Error(format!("invalid or unsupported hash function {}", shown()))),
        Key::Progress => match bytes {
            b"bar" => Ok(Choice::Progress(true)),
            b"plain" => Ok(Choice::Progress(false)),
            _ => Err(Refusal::Fatal(format!("invalid argument \"{}\" for option \"{option}\"", shown()))),
        },
        // Options without a value do not come here; what they mean is in their name.
        other => Ok(Choice::Switch(other)),
    }
}

fn plain(size: Size, refusal: &str) -> Result<u64, Refusal> {
    match size {
        Size::Bytes(bytes) => Ok(bytes),
        Size::Percent(_) => Err(Refusal::Fatal(refusal.into())),
    }
}

fn start_writing(text: &[u8]) -> Result<f64, Refusal> {
    number::float(text)
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| Refusal::Fatal("error in argument -P: must be bigger than 0 and less or equal 100".into()))
}

fn start_reading(text: &[u8]) -> Result<f64, Refusal> {
    number::float(text).filter(|percent| *percent >= 0.0 && *percent < 100.0).ok_or_else(|| {
        Refusal::Fatal("error in argument -p: must be bigger or equal to 0 and less than 100".into())
    })
}

/// The message for a level that is none.
pub fn bad_level(value: &OsStr) -> String {
    format!(
        "Invalid argument '{}' for setting verbosity level.\nValid values are: none, silent, fatal, error, warning, \
         info, io, debug, and 0-6",
        value.to_string_lossy()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(args: &[&str]) -> Vec<Step> {
        Grammar::new(args.iter().map(OsString::from)).collect()
    }

    fn fatal(message: &str) -> Step {
        Err(Refusal::Fatal(message.into()))
    }

    #[test]
    fn short_values_are_attached_or_apart() {
        for args in [&["-s128k"][..], &["-s", "128k"]] {
            assert_eq!(steps(args), [Ok(Choice::BlockSize(128 << 10))]);
        }
        assert_eq!(steps(&["-O-h", "-v4"]), [Ok(Choice::Connect("-h".into())), Ok(Choice::Verbose(Level::Info))]);
    }

    #[test]
    fn nothing_is_bundled_and_nothing_unknown_is_taken() {
        for arg in ["-qf", "-", "--", "", "-Z", "file", "--hash=md5", "-t1"] {
            assert_eq!(steps(&[arg]), [fatal(&format!("unknown option \"{arg}\""))]);
        }
    }

    #[test]
    fn a_missing_value_is_named() {
        for arg in ["-s", "-W", "--tcpbuffer", "--tcptimeo", "--hash"] {
            assert_eq!(steps(&[arg]), [fatal(&format!("missing argument to option {arg}"))]);
        }
    }

    #[test]
    fn values_are_judged_as_mbuffer_does() {
        assert_eq!(steps(&["-P", "80%"]), [Ok(Choice::StartWriting(80.0))]);
        assert_eq!(steps(&["-p0"]), [Ok(Choice::StartReading(0.0))]);
        assert_eq!(steps(&["-W", "1s"]), [Ok(Choice::Watchdog(1))]);
        assert_eq!(steps(&["-W", "0.5"]), [fatal("invalid argument to option -W")]);
        assert_eq!(steps(&["-n", "-1"]), [fatal("invalid argument to option -n: \"-1\"")]);
        assert_eq!(steps(&["--hash", "gcrypt:sha1"]), [Ok(Choice::Hash("SHA1"))]);
        assert_eq!(steps(&["-b", "x"]), [Ok(Choice::Blocks(0))]);
        let message = "ignoring invalid value for autoload time: -1";
        assert_eq!(steps(&["-a", "-1"]), [Err(Refusal::Warning(message.into()))]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(args in proptest::collection::vec(proptest::collection::vec(0u8.., 0..12), 0..8)) {
            Grammar::new(args.into_iter().map(OsString::from_vec)).for_each(drop);
        }

        #[test]
        fn no_value_makes_an_option_panic(
            index in 0..OPTIONS.len(), value in "[-+]?[0-9.]{0,9}[eExX]?[0-9+-]{0,6}[bkmgtBKMGT%a-z ]{0,3}"
        ) {
            let opt = &OPTIONS[index];
            drop(value_of(opt.key, opt.names[0], value.into()));
        }
    }
}
