//! In mbuffer's place: `lvpipe` without a subcommand, `lvpipe buffer`, or any name that ends in `mbuffer`.
//!
//! - [`options`]: the options as data; parser, help, manual and completion come from there.
//! - [`number`], [`grammar`]: what an argument means, without effect.
//! - [`config_file`]: the defaults of `mbuffer.rc`.
//! - [`setup`]: from choices to a plan with everything opened.
//! - [`help`], [`man`]: what is printed of the options.
//!
//! Messages and exit statuses are mbuffer's: 0 if no error was raised, else 1. The work is done in `crate::buffer`.

pub mod config_file;
pub mod grammar;
pub mod help;
mod inherited;
pub mod man;
pub mod number;
pub mod options;
pub mod setup;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use crate::buffer::Fatal;
use crate::buffer::log::{Level, Log};
use crate::buffer::run::{self, Plan};
use grammar::{Choice, Grammar};
use inherited::Streams;
use number::Refusal;
use setup::{Next, Setup};

/// Does what mbuffer would do, and returns its exit status.
///
/// `program_name` is `argv[0]`; `args` are the arguments after it, and after `buffer` if that was given. The caller
/// ends the process with the status returned: threads may still sit in system calls.
pub fn run(program_name: &OsStr, args: impl Iterator<Item = OsString>) -> u8 {
    let shown = program_name.to_string_lossy().into_owned();
    let base = Path::new(program_name).file_name().unwrap_or(program_name).to_string_lossy();
    let log = Arc::new(Log::new(&base));
    match carry_out(shown, args.collect(), &log) {
        Ok(status) => status,
        Err(fatal) => {
            log.fatal(&fatal.to_string());
            1
        }
    }
}

/// What the arguments come to.
enum Wish {
    /// Nothing is to be copied; the exit status.
    Over(u8),
    /// A copy, with everything opened.
    Copy(Box<Plan>),
}

fn carry_out(program: String, args: Vec<OsString>, log: &Arc<Log>) -> Result<u8, Fatal> {
    match understand(program, args, inherited::streams(), log)? {
        Wish::Over(status) => Ok(status),
        Wish::Copy(plan) => run::run(*plan, log),
    }
}

fn understand(program: String, args: Vec<OsString>, streams: Streams, log: &Arc<Log>) -> Result<Wish, Fatal> {
    let mut setup = Setup::new(log.clone(), program);
    let level = asked_level(&args, log);
    if let Some(level) = level {
        log.set_level(level);
    }
    for path in config_file::paths() {
        config_file::read(&path, log, |setting| setup.configure(setting));
    }
    if let Some(level) = level {
        log.set_level(level);
    }
    for step in Grammar::new(args.into_iter()) {
        match step {
            Ok(choice) => {
                if setup.choose(choice)? == Next::Done {
                    return Ok(Wish::Over(u8::from(log.failed())));
                }
            }
            Err(Refusal::Fatal(message)) => return Err(Fatal::new(message)),
            Err(Refusal::Error(message) | Refusal::Level(message)) => log.error(&message),
            Err(Refusal::Warning(message)) => log.warning(&message),
        }
        if log.must_end() {
            return Ok(Wish::Over(1));
        }
    }
    let plan = setup.plan(streams)?;
    Ok(if log.must_end() { Wish::Over(1) } else { Wish::Copy(Box::new(plan)) })
}

/// `-v` counts from the start of the run, wherever it stands. One that cannot be understood is said twice, as mbuffer
/// says it: here and at its place.
fn asked_level(args: &[OsString], log: &Log) -> Option<Level> {
    let mut asked = None;
    for step in Grammar::new(args.iter().cloned()) {
        match step {
            Ok(Choice::Verbose(level)) => asked = Some(level),
            Err(Refusal::Level(message)) => log.error(&message),
            _ => {}
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use options::{Key, OPTIONS, Opt};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::os::unix::ffi::OsStringExt;

    fn joined(start: impl AsRef<OsStr>, end: impl AsRef<OsStr>) -> OsString {
        let mut whole = start.as_ref().to_owned();
        whole.push(end);
        whole
    }

    fn any_bytes(most: usize) -> impl Strategy<Value = OsString> {
        vec(0u8.., 0..most).prop_map(OsString::from_vec)
    }

    fn one_of(values: &[&str]) -> BoxedStrategy<OsString> {
        prop::sample::select(values.iter().map(OsString::from).collect::<Vec<_>>()).boxed()
    }

    /// A name in `directory`; or, of any bytes, in one that is not there.
    fn path(directory: &Path) -> BoxedStrategy<OsString> {
        let there = ["a", "b", "file", "."].map(|name| directory.join(name).into_os_string());
        let nowhere = directory.join("nowhere/");
        let odd = any_bytes(8).prop_map(move |bytes| joined(&nowhere, bytes));
        prop_oneof![
            prop::sample::select(there.to_vec()),
            odd,
            one_of(&["-", "", "/dev/null", "/dev/full", "/nope/x"])
        ]
        .boxed()
    }

    /// The values of an option that do no harm: no file outside `directory`, none of the buffer's size, nobody waited
    /// for, no clock that ends the test. `None`: it has none.
    fn values(opt: &Opt, directory: &Path) -> Option<BoxedStrategy<OsString>> {
        opt.value?;
        Some(match opt.key {
            Key::Listen => one_of(&["", ":", "@", "[", "abc", "-1", "65536", "[::1]:0", ":-70000", "+0"]),
            Key::Connect => {
                one_of(&["", ":", "h", "[]:", "::", "127.0.0.1:1", "127.0.0.1:-1", "[::1]:1", "x:65536"])
            }
            Key::Watchdog => one_of(&["0", "x", "", "86400", "9223372036854775807", "0x", "-1"]),
            Key::BufferFile => one_of(&["", "/nope/x", "/dev/null", "."]),
            Key::Input | Key::Output => path(directory),
            // To this option - is a name as any other.
            Key::LogFile => path(directory).prop_filter("no file here", |path| path != "-").boxed(),
            _ => {
                let number = "[-+]?[0-9.]{0,6}[eExX]?[0-9+-]{0,3}[bkmgtBKMGT%a-z ]{0,3}";
                prop_oneof![any_bytes(12), number.prop_map(OsString::from)].boxed()
            }
        })
    }

    /// One option as it may be typed.
    fn option(directory: &Path) -> BoxedStrategy<Vec<OsString>> {
        let directory = directory.to_owned();
        // These would take the memory or the disk for the whole buffer.
        let harmless = |opt: &&Opt| !matches!(opt.key, Key::Lock | Key::TempFile);
        let options: Vec<&Opt> = OPTIONS.iter().filter(harmless).collect();
        let typed = move |opt: &Opt| {
            let name = prop::sample::select(opt.names.to_vec());
            let Some(values) = values(opt, &directory) else {
                return name.prop_map(|name| vec![name.into()]).boxed();
            };
            let typed = (name, values, any::<bool>()).prop_map(|(name, value, attached)| {
                let attached = attached && name.len() == 2 && !value.is_empty();
                if attached { vec![joined(name, value)] } else { vec![name.into(), value] }
            });
            typed.boxed()
        };
        prop::sample::select(options).prop_flat_map(typed).boxed()
    }

    #[test]
    fn no_arguments_make_it_panic_on_the_way_to_a_plan() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = vec(option(directory.path()), 0..6);
        // What is no option ends it, so it stands last. It is not to be one of those whose values are chosen above.
        let last = any_bytes(5).prop_filter("harmless", |arg| {
            let bytes = arg.as_encoded_bytes();
            bytes.first() != Some(&b'-') || !bytes.get(1).is_some_and(|name| b"iolTIOWLt".contains(name))
        });
        let copies = std::cell::Cell::new(0);
        let mut runner =
            TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) });
        let result = runner.run(&(options, prop::option::weighted(0.2, last)), |(options, last)| {
            std::fs::write(directory.path().join("file"), "there").expect("a file");
            let args = options.into_iter().flatten().chain(last).collect();
            let log = Arc::new(Log::new("mbuffer"));
            log.set_file(tempfile::tempfile().expect("a file"));
            let streams = Streams { stdin: None, stdout: None };
            if let Ok(Wish::Copy(_)) = understand("mbuffer".into(), args, streams, &log) {
                copies.set(copies.get() + 1);
            }
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert!(copies.get() > 0, "none got as far as a plan");
    }
}
