//! A moment as a name holds it: UTC, to the second, so that names sort as time goes.
//!
//! `20261123T022506Z`, the basic form of ISO 8601: letters and digits only, as names of LVs want it.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

const FORM: &str = "%Y%m%dT%H%M%SZ";

/// Bytes of a moment as text.
pub const TEXT_LENGTH: usize = 16;

/// A second, of the years 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

impl Moment {
    /// The first and the last that there are, in seconds since 1970.
    const ENDS: (i64, i64) = (0, 253_402_207_200);

    /// This second, by the system's clock.
    pub fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since_1970.as_secs()).unwrap_or(Self::ENDS.1).min(Self::ENDS.1))
    }

    /// The next second.
    #[must_use]
    pub fn next(self) -> Self {
        Moment((self.0 + 1).min(Self::ENDS.1))
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        moment.to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_second(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{}", moment.strftime(FORM))
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("\"{}\" is no moment", text.escape_default());
        // What is read otherwise than it is written would not sort.
        let moment = DateTime::strptime(FORM, text).ok().and_then(|moment| moment.to_zoned(TimeZone::UTC).ok());
        let moment = Moment(moment.ok_or_else(odd)?.timestamp().as_second());
        let is_within = (Self::ENDS.0..=Self::ENDS.1).contains(&moment.0);
        if is_within && moment.to_string() == text { Ok(moment) } else { Err(odd()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_795_400_706, "20261123T022506Z"),
            (Moment::ENDS.1, "99991230T220000Z"),
        ] {
            assert_eq!(Moment(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Moment(seconds)));
        }
        for text in [
            "",
            "20261123T022506",
            "20261123T022506Zx",
            "20260230T000000Z",
            "2026112 T022506Z",
            "19691231T235959Z",
            "+0261123T022506Z",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        assert_eq!(Moment(Moment::ENDS.1).next(), Moment(Moment::ENDS.1));
    }

    proptest! {
        #[test]
        fn names_sort_as_time_goes(one in Moment::ENDS.0..=Moment::ENDS.1, other in Moment::ENDS.0..=Moment::ENDS.1) {
            let (one, other) = (Moment(one), Moment(other));
            prop_assert_eq!(one.to_string().cmp(&other.to_string()), one.cmp(&other));
            prop_assert_eq!(one.to_string().len(), TEXT_LENGTH);
            prop_assert_eq!(one.to_string().parse(), Ok(one));
        }
    }
}
