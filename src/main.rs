//! Start, dispatch, exit status. Everything else is in the library.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match lvpipe::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the status still tells.
            let _ = writeln!(std::io::stderr(), "lvpipe: {error}");
            ExitCode::from(error.status().code())
        }
    }
}
