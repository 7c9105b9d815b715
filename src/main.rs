//! Start, dispatch, exit status. Everything else is in the library.

use std::io::Write;
use std::process::ExitCode;

use lvpipe::cli::{self, Grammar, mbuffer};

fn main() -> ExitCode {
    let mut args = std::env::args_os().peekable();
    let program = args.next().unwrap_or_else(|| "lvpipe".into());
    if let Grammar::Mbuffer { named } = cli::grammar(&program, args.peek()) {
        return ExitCode::from(mbuffer::run(&program, args.skip(usize::from(named))));
    }
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_told() {
                // Standard error may be closed; the status still tells.
                let _ = std::io::stderr().write_all(format!("lvpipe: {error}\n").as_bytes());
            }
            ExitCode::from(error.status().code())
        }
    }
}
