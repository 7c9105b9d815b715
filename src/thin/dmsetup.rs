//! `dmsetup`, the tool that speaks to the kernel's device-mapper, and the numbers by which it names devices.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use crate::command;
use crate::error::Result;

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
        command::run(&self.program, "dmsetup", arguments)
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
}
