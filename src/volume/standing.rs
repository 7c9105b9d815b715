//! What a target holds, by the last transfer to it, as a line of text that is kept with it.
//!
//! `STATE/MARK` of a target that holds a state; `BASE#STATE` of one to which a delta has been applied in part. The mark
//! is what would be different if somebody had written to the target since:
//!
//! - `tTIME.CHUNKS` of a thin volume: it had so many chunks mapped, all before this time of its pool;
//! - `fBYTES.SECONDS.NANOSECONDS` of a file: its length, and when it was last written;
//! - `-` where nothing tells.

use std::fmt;
use std::str::FromStr;

use super::State;
use crate::thin::Mapped;

/// What a target holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It held this state when the transfer ended.
    At {
        /// The state.
        state: State,
        /// How to see whether somebody has written to it since.
        mark: Mark,
    },
    /// A delta broke off: some of it is as the state, the rest as the base.
    Between {
        /// What it held before.
        base: State,
        /// What it was to hold.
        state: State,
    },
}

/// What tells whether somebody has written to the target since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    Unknown,
    /// A thin volume's mappings.
    Thin {
        /// All of them are older than this, in the pool's time.
        time: u32,
        /// How many they are.
        chunks: u64,
    },
    /// A file's length and the time of its last change.
    File {
        /// In bytes.
        size: u64,
        /// Since 1970, in seconds.
        seconds: i64,
        /// And nanoseconds.
        nanoseconds: i64,
    },
}

impl Mark {
    /// Of a thin volume: whether what it has mapped now is what it had then.
    pub(super) fn fits(self, now: &Mapped) -> bool {
        matches!(self, Mark::Thin { time, chunks } if now.chunks == chunks && now.newest.is_none_or(|newest| newest < time))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Unknown => f.write_str("-"),
            Mark::Thin { time, chunks } => write!(f, "t{time}.{chunks}"),
            Mark::File { size, seconds, nanoseconds } => write!(f, "f{size}.{seconds}.{nanoseconds}"),
        }
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text.get(1..).unwrap_or_default().split('.');
        let mut number = || numbers.next().ok_or(());
        match text.as_bytes() {
            b"-" => Ok(Mark::Unknown),
            [b't', ..] => {
                Ok(Mark::Thin { time: number()?.parse().map_err(drop)?, chunks: number()?.parse().map_err(drop)? })
            }
            [b'f', ..] => Ok(Mark::File {
                size: number()?.parse().map_err(drop)?,
                seconds: number()?.parse().map_err(drop)?,
                nanoseconds: number()?.parse().map_err(drop)?,
            }),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::At { state, mark } => write!(f, "{state}/{mark}"),
            Standing::Between { base, state } => write!(f, "{base}#{state}"),
        }
    }
}

impl FromStr for Standing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("\"{}\" does not say what the target holds", text.escape_default());
        if let Some((base, state)) = text.split_once('#') {
            return Ok(Standing::Between { base: base.parse()?, state: state.parse()? });
        }
        let (state, mark) = text.split_once('/').ok_or_else(odd)?;
        Ok(Standing::At { state: state.parse()?, mark: mark.parse().map_err(|()| odd())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_holds_is_read_as_it_was_written() {
        let (base, state): (State, State) = ("a-1:5".parse().expect("a state"), "b-2:7".parse().expect("a state"));
        let at = |mark| Standing::At { state: state.clone(), mark };
        let rows = [
            (at(Mark::Unknown), "b-2:7/-"),
            (at(Mark::Thin { time: 9, chunks: 12 }), "b-2:7/t9.12"),
            (at(Mark::File { size: 4096, seconds: -1, nanoseconds: 5 }), "b-2:7/f4096.-1.5"),
            (Standing::Between { base, state: state.clone() }, "a-1:5#b-2:7"),
        ];
        for (standing, text) in rows {
            assert_eq!(standing.to_string(), text);
            assert_eq!(text.parse(), Ok(standing));
        }
        for text in ["", "b-2:7", "b-2:7/", "b-2:7/t9", "b-2:7/x", "/t1.2", "a#", "\u{e4}/-"] {
            assert!(text.parse::<Standing>().is_err(), "{text}");
        }
    }
}
