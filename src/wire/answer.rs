//! What a receiver answers on a link that goes both ways. The table is in the [room's documentation](super).

use std::io::Read;

use super::error::check_crc;
use super::frame::{END, LONGEST_REASON};
use super::reason::plain;
use super::{End, WireError, field, put, read_exact};
use crate::error::Status;

/// Bytes of an answer's header.
pub const HEADER: usize = 16;
/// The most bytes of an answer's payload.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// The most offsets in one [`Answer::Written`].
pub const MOST_OFFSETS: usize = MAX_PAYLOAD / 8;
/// The most extents in one [`Answer::Have`].
pub const MOST_EXTENTS: usize = MAX_PAYLOAD / 16;

const WELCOME: usize = 40;
const DONE: usize = END + 8;

/// Receiver to sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The link is taken into the transfer: the first answer on it.
    Welcome(Welcome),
    /// Ranges of the volume (offset, length) that the target holds from an earlier transfer, in order; as many
    /// answers as it takes for all that the welcome announced.
    Have(Vec<(u64, u64)>),
    /// The frames (parts, holes, held parts) at these offsets are written, or were compared, and need not be kept.
    Written(Vec<u64>),
    /// The part at this offset arrived damaged, or is not held as it should be: send it again.
    Again(u64),
    /// All is written, verified and on stable storage: the last answer.
    Done {
        /// The totals, as counted here.
        end: End,
        /// Bytes of the volume.
        size: u64,
    },
    /// The receiver refuses, or has failed: the last answer.
    Failed {
        /// What the receiver's own exit status will be.
        status: Status,
        /// Its message.
        reason: String,
    },
    /// A sign of life, every few seconds.
    Alive {
        /// Bytes that have come over this link.
        received: u64,
        /// Whether the receiver waits for more of them, rather than for its target.
        hungry: bool,
    },
}

/// What a sender is told first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Random, of this run of the receiver. Another one means that it was started again and knows only what its
    /// journal says.
    pub incarnation: [u8; 16],
    /// How many frames, from the first unwritten one on in order of offset, may be on their way: what lies behind
    /// would not find room. 1 or more.
    pub window: u32,
    /// How many links the receiver takes at once. 1 or more.
    pub most_links: u16,
    /// How many extents follow in [`Answer::Have`].
    pub have: u64,
}

impl Answer {
    fn kind(&self) -> u8 {
        match self {
            Answer::Welcome(_) => 1,
            Answer::Have(_) => 2,
            Answer::Written(_) => 3,
            Answer::Again(_) => 4,
            Answer::Done { .. } => 5,
            Answer::Failed { .. } => 6,
            Answer::Alive { .. } => 7,
        }
    }

    /// As bytes, header and payload. Lists longer than [`MOST_OFFSETS`] and [`MOST_EXTENTS`] are the caller's to
    /// divide; a reason is cut.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[0] = self.kind();
        match self {
            Answer::Welcome(welcome) => bytes.extend_from_slice(&welcome.encode()),
            Answer::Have(extents) => extents.iter().for_each(|(offset, length)| {
                bytes.extend_from_slice(&offset.to_le_bytes());
                bytes.extend_from_slice(&length.to_le_bytes());
            }),
            Answer::Written(offsets) => {
                offsets.iter().for_each(|offset| bytes.extend_from_slice(&offset.to_le_bytes()));
            }
            Answer::Again(offset) => bytes.extend_from_slice(&offset.to_le_bytes()),
            Answer::Done { end, size } => {
                bytes.extend_from_slice(&end.encode());
                bytes.extend_from_slice(&size.to_le_bytes());
            }
            Answer::Failed { status, reason } => {
                bytes.push(status.code());
                bytes.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(LONGEST_REASON)]);
            }
            Answer::Alive { received, hungry } => {
                bytes.extend_from_slice(&received.to_le_bytes());
                bytes.push(u8::from(*hungry));
            }
        }
        let (header, payload) = bytes.split_at_mut(HEADER);
        // Bounded by what is said above: some 64 KiB.
        put!(header, 4, payload.len() as u32);
        put!(header, 8, crc32c::crc32c(payload));
        let crc = crc32c::crc32c(&header[..12]);
        put!(header, 12, crc);
        bytes
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// What is missing, damaged or out of range. A link that is closed between two answers is
    /// [`WireError::Truncated`] by a whole header.
    pub fn read(from: &mut impl Read) -> Result<Self, WireError> {
        let mut header = [0; HEADER];
        read_exact(from, &mut header)?;
        check_crc("header of an answer", field!(header, 12, u32), crc32c::crc32c(&header[..12]))?;
        let length = field!(header, 4, u32) as usize;
        let fits = match header[0] {
            1 => length == WELCOME,
            2 => length.is_multiple_of(16) && length <= MAX_PAYLOAD,
            3 => length.is_multiple_of(8) && length <= MAX_PAYLOAD,
            4 => length == 8,
            5 => length == DONE,
            6 => (1..=LONGEST_REASON + 1).contains(&length),
            7 => length == 9,
            unknown => return Err(WireError::Field { what: "kind of an answer", value: unknown.into() }),
        };
        if !fits {
            return Err(WireError::Field { what: "length of an answer", value: length as u64 });
        }
        let mut payload = vec![0; length];
        read_exact(from, &mut payload)?;
        check_crc("answer", field!(header, 8, u32), crc32c::crc32c(&payload))?;
        Self::decode(header[0], &payload)
    }

    /// From a payload whose length fits its kind.
    fn decode(kind: u8, payload: &[u8]) -> Result<Self, WireError> {
        Ok(match kind {
            1 => Answer::Welcome(Welcome::decode(payload)?),
            2 => Answer::Have(payload.chunks_exact(16).map(|e| (field!(e, 0, u64), field!(e, 8, u64))).collect()),
            3 => Answer::Written(payload.chunks_exact(8).map(|offset| field!(offset, 0, u64)).collect()),
            4 => Answer::Again(field!(payload, 0, u64)),
            5 => {
                let mut end = [0; END];
                end.copy_from_slice(&payload[..END]);
                Answer::Done { end: End::decode(&end), size: field!(payload, END, u64) }
            }
            6 => Answer::Failed { status: Status::from_code(payload[0]), reason: plain(&payload[1..]) },
            _ => Answer::Alive { received: field!(payload, 0, u64), hungry: payload[8] != 0 },
        })
    }
}

impl Welcome {
    fn encode(&self) -> [u8; WELCOME] {
        let mut bytes = [0; WELCOME];
        bytes[..16].copy_from_slice(&self.incarnation);
        put!(bytes, 16, self.window);
        put!(bytes, 20, self.most_links);
        put!(bytes, 24, self.have);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut incarnation = [0; 16];
        incarnation.copy_from_slice(&bytes[..16]);
        let (window, most_links) = (field!(bytes, 16, u32), field!(bytes, 20, u16));
        if window == 0 || most_links == 0 {
            return Err(WireError::Field { what: "window or number of links in a welcome", value: 0 });
        }
        Ok(Welcome { incarnation, window, most_links, have: field!(bytes, 24, u64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Digest;
    use proptest::prelude::*;

    fn one_of_each() -> Vec<Answer> {
        let end = End { parts: 3, data: 4, holes: 5, root: Digest([6; 32]) };
        vec![
            Answer::Welcome(Welcome { incarnation: [1; 16], window: 2, most_links: 3, have: 4 }),
            Answer::Have(vec![(0, 1 << 20), (5 << 20, 1)]),
            Answer::Written(vec![0, 1 << 40]),
            Answer::Again(7 << 20),
            Answer::Done { end, size: 9 },
            Answer::Failed { status: Status::Guard, reason: "target refused: vg/a: it is mounted".into() },
            Answer::Alive { received: 1 << 50, hungry: true },
        ]
    }

    #[test]
    fn answers_survive_the_wire() {
        let answers = one_of_each();
        let bytes: Vec<u8> = answers.iter().flat_map(Answer::encode).collect();
        let mut from = bytes.as_slice();
        for answer in answers {
            assert_eq!(Answer::read(&mut from).expect("own encoding"), answer);
        }
        assert!(
            matches!(Answer::read(&mut from), Err(WireError::Truncated { missing }) if missing == HEADER as u64)
        );
    }

    #[test]
    fn the_longest_lists_and_reasons_fit() {
        let long = Answer::Failed { status: Status::Io, reason: "\u{e9}".repeat(5000) };
        let lists = [Answer::Written(vec![1; MOST_OFFSETS]), Answer::Have(vec![(1, 2); MOST_EXTENTS])];
        for answer in lists {
            assert_eq!(Answer::read(&mut answer.encode().as_slice()).expect("it fits"), answer);
        }
        let read = Answer::read(&mut long.encode().as_slice()).expect("it is cut");
        assert!(matches!(read, Answer::Failed { reason, .. } if reason.len() == LONGEST_REASON));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_seen(which in 0usize..7, bit: prop::sample::Index) {
            let mut bytes = one_of_each()[which].encode();
            // Bytes 1 to 3 are reserved, and under the checksum as well.
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Answer::read(&mut bytes.as_slice()).is_err());
        }

        #[test]
        fn no_bytes_panic(kind in 0u8..9, payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut header = [0; HEADER];
            header[0] = kind;
            put!(header, 4, payload.len() as u32);
            put!(header, 8, crc32c::crc32c(&payload));
            let crc = crc32c::crc32c(&header[..12]);
            put!(header, 12, crc);
            let _ = Answer::read(&mut [&header[..], &payload].concat().as_slice());
        }
    }
}
