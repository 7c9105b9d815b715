//! Running other programs: `dmsetup`, `lvs` and their like.
//!
//! In: a program and its arguments. Out: what it prints, or an error with what it complained about. The caller's
//! thread waits for it. It runs in a process group of its own, so that Ctrl-C at the terminal, which goes to the
//! whole foreground group, cannot end it between changing something and saying so.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result, Status};

/// The environment variable that may hold the key of the links. No program that is run gets it: its environment can be
/// read by others, and ssh(1) may send it on.
pub const KEY_VARIABLE: &str = "LVPIPE_KEY";

/// The environment variable that may hold the token of what is served over HTTP. No program gets that either.
pub const TOKEN_VARIABLE: &str = "LVPIPE_TOKEN";

/// Runs a program, found in `PATH` or given by path; what it prints, without the last line's end.
///
/// # Errors
/// When it does not start, and then `package`, which has it on Debian, is the way out; when it fails, with its
/// stderr as the reason.
pub fn run(program: &OsStr, package: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(locate(program).as_deref().unwrap_or(Path::new(program)))
        .args(arguments)
        .env("LC_ALL", "C")
        .env_remove(KEY_VARIABLE)
        .env_remove(TOKEN_VARIABLE)
        // LVM warns about each descriptor that it inherits but did not ask for.
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .map_err(|why| did_not_start(program, package, &why))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_string());
    }
    let complaint = complaint(&String::from_utf8_lossy(&output.stderr));
    let why = if complaint.is_empty() { output.status.to_string() } else { complaint };
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    Err(Error::new(Status::Io, format!("{name} failed"), arguments.join(" "), why))
}

/// Whether a program can be found at all: by path, or where programs are.
pub fn is_installed(program: &OsStr) -> bool {
    locate(program).is_some()
}

/// Where a program is: by path, in `PATH`, or where Debian has the administrator's programs, for cron's `PATH` and an
/// ordinary user's lack those directories.
fn locate(program: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() > 1 {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut directories = std::env::split_paths(&path).chain(administrators);
    directories.find_map(|directory| Some(directory.join(program)).filter(|path| path.is_file()))
}

/// The lines that say why, joined; a warning says something else.
fn complaint(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let (warnings, reasons): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("WARNING:"));
    if reasons.is_empty() { warnings.join("; ") } else { reasons.join("; ") }
}

fn did_not_start(program: &OsStr, package: &str, why: &io::Error) -> Error {
    let error = Error::io("cannot run", program.display(), why);
    if why.kind() == io::ErrorKind::NotFound { error.way_out(format!("apt install {package}")) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_complains_about_is_in_the_error() {
        let missing = run(OsStr::new("/nowhere/lvs"), "lvm2", &[]).expect_err("not there");
        assert_eq!(missing.to_string(), "cannot run: /nowhere/lvs: No such file or directory\n  apt install lvm2");

        let script = "echo '  WARNING: no backup.' >&2; echo '  Pool x not found.' >&2; exit 5";
        let failing = run(OsStr::new("/bin/sh"), "dash", &["-c", script]).expect_err("exits with 5");
        assert!(failing.to_string().ends_with(": Pool x not found."), "{failing}");

        let silent = run(OsStr::new("sh"), "dash", &["-c", "exit 3"]).expect_err("exits with 3");
        assert_eq!(silent.to_string(), "sh failed: -c exit 3: exit status: 3");
    }

    #[test]
    fn it_reads_nothing_speaks_english_and_is_in_a_group_of_its_own() {
        let script = "cat; echo $LC_ALL; test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo leader";
        assert_eq!(run(OsStr::new("sh"), "dash", &["-c", script]).expect("prints"), "C\nleader");
    }

    #[test]
    fn a_program_is_looked_for_where_it_would_be_run() {
        assert!(is_installed(OsStr::new("sh")));
        assert!(is_installed(OsStr::new("/bin/sh")));
        assert!(!is_installed(OsStr::new("no-such-program-anywhere")));
        assert!(!is_installed(OsStr::new("/bin/no-such-program")));
    }
}
