//! Running `dmsetup`, the tool that speaks to the kernel's device-mapper.
//!
//! In: arguments. Out: what it prints, or an error with what it complained about. The caller's thread waits for it.
//! It runs in a process group of its own, so that Ctrl-C at the terminal, which goes to the whole foreground group,
//! cannot end it between asking the kernel for something and saying so.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::str::FromStr;

use crate::error::{Error, Result, Status};

/// The program, by name in `PATH` or by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dmsetup {
    program: OsString,
}

impl Default for Dmsetup {
    /// `dmsetup` as `PATH` finds it.
    fn default() -> Self {
        Dmsetup::at("dmsetup")
    }
}

impl Dmsetup {
    /// Another program that takes the same arguments.
    pub fn at(program: impl Into<OsString>) -> Self {
        Dmsetup { program: program.into() }
    }

    /// Runs it with these arguments; what it prints, without the last line's end.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(0)
            .output()
            .map_err(|why| self.did_not_start(&why))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let complaint = complaint.trim().lines().collect::<Vec<_>>().join("; ");
            let why = if complaint.is_empty() { output.status.to_string() } else { complaint };
            return Err(Error::new(Status::Io, format!("dmsetup {} failed", arguments.join(" ")), "", why));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_string())
    }

    fn did_not_start(&self, why: &io::Error) -> Error {
        let error = Error::io("cannot run", self.program.display(), why);
        if why.kind() == io::ErrorKind::NotFound { error.way_out("apt install dmsetup") } else { error }
    }
}

/// A block device by number, as device-mapper's tables name it: `254:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// From the `st_rdev` of stat(2).
    pub fn from_rdev(rdev: u64) -> Self {
        // Both fit: the kernel's are 12 and 20 bits.
        DeviceNumber { major: nix::sys::stat::major(rdev) as u32, minor: nix::sys::stat::minor(rdev) as u32 }
    }

    /// The arguments that make dmsetup take the device with this number.
    pub(super) fn arguments(self) -> [String; 2] {
        [format!("--major={}", self.major), format!("--minor={}", self.minor)]
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DeviceNumber {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(major, minor)| {
            Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? })
        });
        numbers.ok_or_else(|| format!("\"{text}\" is no device number such as 254:3"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_read_and_written_as_in_tables() {
        let number = DeviceNumber { major: 254, minor: 3 };
        assert_eq!("254:3".parse(), Ok(number));
        assert_eq!(number.to_string(), "254:3");
        for text in ["", "254", "254:", "a:b", "254:3:1", "-1:0"] {
            assert!(text.parse::<DeviceNumber>().is_err(), "{text}");
        }
        assert_eq!(DeviceNumber::from_rdev(nix::sys::stat::makedev(254, 3)), number);
    }

    #[test]
    fn what_the_program_complains_about_is_in_the_error() {
        let dir = tempfile::tempdir().expect("scratch directory");
        let missing = Dmsetup::at(dir.path().join("dmsetup")).run(&["table"]).expect_err("not there");
        assert!(missing.to_string().ends_with("No such file or directory\n  apt install dmsetup"), "{missing}");

        let failing = Dmsetup::at("ls").run(&["/nowhere"]).expect_err("no such directory");
        assert!(failing.to_string().starts_with("dmsetup /nowhere failed: "), "{failing}");
        assert!(failing.to_string().contains("No such file"), "{failing}");

        assert_eq!(Dmsetup::at("echo").run(&["a", "b"]).expect("prints"), "a b");
    }
}
