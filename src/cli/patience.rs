//! Times as typed: `30`, `1.5s`, `5m`, `2h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time that something may take, more than 0. A bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

/// Longer than anybody waits, and short enough to be added to any moment.
const LONGEST: f64 = 366.0 * 86_400.0;

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
        let unit = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        let seconds = unit.and_then(|(number, seconds)| Some(number.parse::<f64>().ok()? * seconds));
        match seconds {
            Some(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Patience(Duration::from_secs_f64(seconds))),
            _ => Err("expected a time of more than 0, as in 30, 1.5s, 5m or 2h".into()),
        }
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_time() {
        for (text, milliseconds) in [("30", 30_000), ("1.5s", 1_500), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(text.parse(), Ok(Patience(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in ["", "s", "0", "-1", "nan", "inf", "1d", "1e30"] {
            assert!(text.parse::<Patience>().is_err(), "{text}");
        }
    }
}
