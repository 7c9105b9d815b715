//! Start, dispatch, exit status. Everything else is in the library.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use lvpipe::cli::mbuffer;

fn main() -> ExitCode {
    let mut args = std::env::args_os().peekable();
    let program = args.next().unwrap_or_else(|| "lvpipe".into());
    match place(&program, args.peek().map(OsString::as_os_str)) {
        Place::Mbuffer { named: false } => ExitCode::from(mbuffer::run(&program, args)),
        Place::Mbuffer { named: true } => ExitCode::from(mbuffer::run(&program, args.skip(1))),
        Place::Own => own(args.peek().map(OsString::as_os_str)),
    }
}

/// Whose command line it is.
enum Place {
    /// mbuffer's; `named` by the subcommand `buffer`, which is no argument of it.
    Mbuffer { named: bool },
    /// lvpipe's own.
    Own,
}

/// `lvpipe` without a subcommand stands in mbuffer's place, and so does any name that ends in `mbuffer`.
fn place(program: &OsStr, first: Option<&OsStr>) -> Place {
    if program.as_bytes().ends_with(b"mbuffer") {
        return Place::Mbuffer { named: false };
    }
    match first.map(OsStr::as_bytes) {
        Some(b"-h" | b"--help" | b"-V" | b"--version") => Place::Own,
        None => Place::Mbuffer { named: false },
        Some(first) if first.starts_with(b"-") => Place::Mbuffer { named: false },
        Some(b"buffer") => Place::Mbuffer { named: true },
        Some(_) => Place::Own,
    }
}

fn own(first: Option<&OsStr>) -> ExitCode {
    match first.map(OsStr::as_bytes) {
        Some(b"-V" | b"--version") => println!("lvpipe {}", env!("CARGO_PKG_VERSION")),
        Some(b"-h" | b"--help") => {
            println!(
                "usage: lvpipe [buffer] [Options]    in mbuffer's place: see lvpipe buffer -h, lvpipe-buffer(1)"
            );
        }
        other => {
            let named = other.map_or_else(String::new, |name| String::from_utf8_lossy(name).into_owned());
            eprintln!("lvpipe: no such subcommand: {named}\n  lvpipe --help lists them");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
