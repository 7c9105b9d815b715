//! Sizes and rates as people type and read them: `128k`, `1.5M`, `25%`; `1.5 GiB`.
//!
//! Suffixes are powers of 1024, in either case, as mbuffer, LVM and dd take them.

use std::fmt;
use std::str::FromStr;

/// What parses, for messages.
const FORM: &str = "a number with one of the suffixes b, k, M, G, T, P (powers of 1024), as in 128k or 1.5G";

/// A number of bytes, 1 to 2^63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let shift = match suffix.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(format!("expected {FORM}")),
        };
        let unit = 1u64 << shift;
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(unit).ok_or("too large: the most is 8192P")?,
            Err(_) => {
                let number: f64 = number.parse().map_err(|_| format!("expected {FORM}"))?;
                // Within f64's exact range for every size that fits a disk; fractions are rounded down to bytes.
                (number * unit as f64) as u64
            }
        };
        match bytes {
            0 => Err(format!("must be more than 0: expected {FORM}")),
            bytes if bytes > 1 << 63 => Err("too large: the most is 8192P".into()),
            bytes => Ok(ByteSize(bytes)),
        }
    }
}

impl fmt::Display for ByteSize {
    /// Three significant figures and a unit: `512 B`, `1.50 KiB`, `38.2 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let decimals = if value < 9.995 {
            2
        } else if value < 99.95 {
            1
        } else {
            0
        };
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

/// The memory budget as typed: bytes, or a share of the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// So many bytes.
    Bytes(u64),
    /// So many per cent of physical memory, 1 to 90.
    Percent(u8),
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().strip_suffix('%') {
            None => text
                .parse()
                .map(|ByteSize(bytes)| Memory::Bytes(bytes))
                .map_err(|why| format!("{why}, or a percentage of memory as in 25%")),
            Some(number) => match number.trim().parse() {
                Ok(percent @ 1..=90) => Ok(Memory::Percent(percent)),
                _ => Err("a percentage of memory is a whole number from 1% to 90%".into()),
            },
        }
    }
}

impl Memory {
    /// In bytes, on this machine.
    pub fn bytes(self) -> u64 {
        match self {
            Memory::Bytes(bytes) => bytes,
            Memory::Percent(percent) => physical_memory() / 100 * u64::from(percent),
        }
    }
}

/// Physical memory in bytes, sysconf(3); 4 GiB where the system does not tell.
fn physical_memory() -> u64 {
    use nix::unistd::{SysconfVar, sysconf};
    let ask = |var| sysconf(var).ok().flatten().and_then(|n| u64::try_from(n).ok());
    match (ask(SysconfVar::_PHYS_PAGES), ask(SysconfVar::PAGE_SIZE)) {
        (Some(pages), Some(page)) => pages * page,
        _ => 4 << 30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_parse_as_in_mbuffer_and_lvm() {
        let rows = [
            ("128k", 128 << 10),
            ("1.5M", 3 << 19),
            ("1G", 1 << 30),
            ("4096", 4096),
            ("2 TiB", 2 << 40),
            (".5m", 1 << 19),
        ];
        for (text, bytes) in rows {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_what_would_be() {
        for text in ["", "k", "abc", "12x", "-5", "1,5M", "0", "1..2", "9999999P", "nan", "1e6"] {
            let error = text.parse::<ByteSize>().expect_err(text);
            assert!(error.contains("128k") || error.contains("8192P"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_print_with_three_figures() {
        let rows = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10 << 20, "10.0 MiB"),
            (1000 << 20, "0.98 GiB"),
            (38 << 30, "38.0 GiB"),
        ];
        for (bytes, text) in rows {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn memory_takes_a_percentage() {
        assert_eq!("25%".parse(), Ok(Memory::Percent(25)));
        assert_eq!("1G".parse(), Ok(Memory::Bytes(1 << 30)));
        for text in ["0%", "91%", "x%", "%"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<Memory>();
        }
    }
}
