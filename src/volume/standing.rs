//! What a target holds, by the last transfer to it, as a line of text that is kept with it.
//!
//! `STATE/MARK` of a target that holds a state; `BASE#STATE` of one to which a delta has been applied in part;
//! `BASE#STATE/MARK/MARK/DEVICE` of a thin volume that holds either, as the delta was applied to a snapshot of it: the
//! one's mark and the other's, and the id of the snapshot's device, which is the volume's own once LVM has given it the
//! snapshot's place. The mark is what would be different if somebody had written to the target since:
//!
//! - `tTIME.CHUNKS.DEVICE` of a thin volume: it had so many chunks mapped, all before this time of its pool, and this
//!   device in the pool. It has another one once it was put back to a snapshot of it: that may have been taken before;
//! - `fBYTES.SECONDS.NANOSECONDS` of a file: its length, and when it was last written;
//! - `-` where nothing tells.

use std::fmt;
use std::str::FromStr;

use super::State;
use super::lvm::LogicalVolume;
use crate::usedmap::Stamp;

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
    /// A delta broke off: some of it is as the state, the rest as the base; or all of it as one of them.
    Between {
        /// What it held before.
        base: State,
        /// What it was to hold.
        state: State,
        /// By what it is seen which of them it holds, if it is one of them.
        apart: Option<Apart>,
    },
}

/// What tells of a thin target whether it has what was applied to a snapshot of it. LVM gives it the snapshot's device in
/// one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart {
    /// Its mark as it was.
    pub was: Mark,
    /// Its mark from then on.
    pub becomes: Mark,
    /// The snapshot's device in the pool.
    pub device: u32,
}

impl Standing {
    /// Of an LV, of which LVM has just told this; `None` where nothing is kept that is understood.
    pub fn of_lv(volume: &LogicalVolume) -> Option<Self> {
        Some(volume.holds()?.parse::<Standing>().ok()?.settled(volume.thin_id))
    }

    /// What a target with this device in its pool holds, as far as that is told: of the two states that it may be in, the
    /// one that it is in.
    #[must_use]
    pub(super) fn settled(self, device: Option<u32>) -> Self {
        match self {
            Standing::Between { state, apart: Some(apart), .. } if device == Some(apart.device) => {
                Standing::At { state, mark: apart.becomes }
            }
            Standing::Between { base, apart: Some(apart), .. } => Standing::At { state: base, mark: apart.was },
            told => told,
        }
    }
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
        /// The device in the pool whose mappings they are. Not kept by early versions.
        device: Option<u32>,
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
    /// Of a thin volume of which a snapshot has just been taken.
    pub(super) fn of_thin(now: &Stamp) -> Self {
        Mark::Thin { time: now.snapshot_time, chunks: now.mapped.chunks, device: Some(now.device) }
    }

    /// Of a thin volume: whether what it has mapped now is what it had then.
    pub(super) fn fits(self, now: &Stamp) -> bool {
        let Mark::Thin { time, chunks, device } = self else { return false };
        // A snapshot of it that was taken since has no more than what was there, and what was written since.
        let is_later = |device| device == now.device || now.creation_time > time;
        device.is_none_or(is_later)
            && chunks == now.mapped.chunks
            && now.mapped.newest.is_none_or(|newest| newest < time)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Unknown => f.write_str("-"),
            Mark::Thin { time, chunks, device: None } => write!(f, "t{time}.{chunks}"),
            Mark::Thin { time, chunks, device: Some(device) } => write!(f, "t{time}.{chunks}.{device}"),
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
            [b't', ..] => Ok(Mark::Thin {
                time: number()?.parse().map_err(drop)?,
                chunks: number()?.parse().map_err(drop)?,
                device: number().ok().map(str::parse).transpose().map_err(drop)?,
            }),
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
            Standing::Between { base, state, apart: None } => write!(f, "{base}#{state}"),
            Standing::Between { base, state, apart: Some(Apart { was, becomes, device }) } => {
                write!(f, "{base}#{state}/{was}/{becomes}/{device}")
            }
        }
    }
}

impl FromStr for Standing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("\"{}\" does not say what the target holds", text.escape_default());
        if let Some((base, rest)) = text.split_once('#') {
            let (state, apart) = rest.split_once('/').map_or((rest, None), |(state, apart)| (state, Some(apart)));
            let apart = apart.map(str::parse).transpose().map_err(|()| odd())?;
            return Ok(Standing::Between { base: base.parse()?, state: state.parse()?, apart });
        }
        let (state, mark) = text.split_once('/').ok_or_else(odd)?;
        Ok(Standing::At { state: state.parse()?, mark: mark.parse().map_err(|()| odd())? })
    }
}

impl FromStr for Apart {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut fields = text.split('/');
        let mut field = || fields.next().ok_or(());
        let (was, becomes) = (field()?.parse()?, field()?.parse()?);
        Ok(Apart { was, becomes, device: field()?.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thin::Mapped;

    #[test]
    fn what_a_target_holds_is_read_as_it_was_written() {
        let (base, state): (State, State) = ("a-1:5".parse().expect("a state"), "b-2:7".parse().expect("a state"));
        let at = |mark| Standing::At { state: state.clone(), mark };
        let between = |apart| Standing::Between { base: base.clone(), state: state.clone(), apart };
        let thin = |device| Mark::Thin { time: 9, chunks: 12, device };
        let rows = [
            (at(Mark::Unknown), "b-2:7/-"),
            (at(thin(None)), "b-2:7/t9.12"),
            (at(thin(Some(4))), "b-2:7/t9.12.4"),
            (at(Mark::File { size: 4096, seconds: -1, nanoseconds: 5 }), "b-2:7/f4096.-1.5"),
            (between(None), "a-1:5#b-2:7"),
            (
                between(Some(Apart { was: thin(Some(4)), becomes: Mark::Unknown, device: 6 })),
                "a-1:5#b-2:7/t9.12.4/-/6",
            ),
        ];
        for (standing, text) in rows {
            assert_eq!(standing.to_string(), text);
            assert_eq!(text.parse(), Ok(standing));
        }
        for text in [
            "",
            "b-2:7",
            "b-2:7/",
            "b-2:7/t9",
            "b-2:7/t9.1.x",
            "b-2:7/x",
            "/t1.2",
            "a#",
            "a#b/",
            "a#b/-/-",
            "a#b/-/x/6",
            "\u{e4}/-",
        ] {
            assert!(text.parse::<Standing>().is_err(), "{text}");
        }
    }

    fn stamp(device: u32, chunks: u64, newest: u32) -> Stamp {
        Stamp { device, creation_time: 7, mapped: Mapped { chunks, newest: Some(newest) }, snapshot_time: 9 }
    }

    #[test]
    fn what_somebody_writes_or_discards_or_puts_back_is_seen_by_the_mark() {
        let mark = Mark::of_thin(&stamp(4, 12, 8));
        assert!(mark.fits(&stamp(4, 12, 8)));
        assert!(!mark.fits(&stamp(4, 12, 9)), "written over");
        assert!(!mark.fits(&stamp(4, 11, 8)), "discarded");
        let since = Stamp { creation_time: 10, ..stamp(5, 12, 8) };
        assert!(mark.fits(&since), "put back to a snapshot that was taken since");
        assert!(!mark.fits(&Stamp { creation_time: 10, ..stamp(5, 12, 9) }), "which was written before");
        assert!(!mark.fits(&stamp(5, 12, 8)), "put back to an earlier one, of which all is mapped as well");
        assert!(Mark::Thin { time: 9, chunks: 12, device: None }.fits(&stamp(5, 12, 8)));
        assert!(!Mark::Unknown.fits(&stamp(4, 12, 8)));
    }

    #[test]
    fn of_two_states_a_target_is_in_the_one_whose_device_it_has() {
        let (base, state): (State, State) = ("a:1".parse().expect("a state"), "b:2".parse().expect("a state"));
        let mark = |device| Mark::Thin { time: 9, chunks: 12, device: Some(device) };
        let apart = Some(Apart { was: mark(4), becomes: mark(6), device: 6 });
        let between = |apart| Standing::Between { base: base.clone(), state: state.clone(), apart };
        let at = |state: &State, mark| Standing::At { state: state.clone(), mark };
        assert_eq!(between(apart).settled(Some(4)), at(&base, mark(4)));
        assert_eq!(between(apart).settled(Some(6)), at(&state, mark(6)));
        // A part of both.
        assert_eq!(between(None).settled(Some(6)), between(None));
        assert_eq!(at(&base, mark(4)).settled(Some(6)), at(&base, mark(4)));
    }
}
