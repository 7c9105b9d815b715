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
use crate::buffer::run;
use grammar::{Choice, Grammar};
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

fn carry_out(program: String, args: Vec<OsString>, log: &Arc<Log>) -> Result<u8, Fatal> {
    let mut setup = Setup::new(log.clone(), program);
    let level = asked_level(&args, log);
    if let Some(level) = level {
        log.set_level(level);
    }
    for path in config_file::paths() {
        for setting in config_file::read(&path, log) {
            setup.configure(setting);
        }
    }
    if let Some(level) = level {
        log.set_level(level);
    }
    for step in Grammar::new(args.into_iter()) {
        match step {
            Ok(choice) => {
                if setup.choose(choice)? == Next::Done {
                    return Ok(u8::from(log.failed()));
                }
            }
            Err(Refusal::Fatal(message)) => return Err(Fatal::new(message)),
            Err(Refusal::Error(message) | Refusal::Level(message)) => log.error(&message),
            Err(Refusal::Warning(message)) => log.warning(&message),
        }
        if log.must_end() {
            return Ok(1);
        }
    }
    let plan = setup.plan(inherited::streams())?;
    if log.must_end() {
        return Ok(1);
    }
    run::run(plan, log)
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
