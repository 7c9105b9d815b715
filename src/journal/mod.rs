//! The journal: which parts of a transfer the target has on stable storage, so that a later run goes on from there.
//!
//! In: what was written, from the threads that write ([`Journal::written`]). Out: an append-only file, and from that
//! file, in a later run, [`Held`]: what the target has. A thread of the journal's own takes what was queued, every
//! second or so, has the target synced, appends the records and syncs the file: the journal is never ahead of the
//! data, and no writer waits for a disk's cache to be flushed. What a crash loses is what was written in the last
//! second or so; it is sent again.
//!
//! Memory: at most [`MOST_WAITING`](writer::MOST_WAITING) records wait, some 4 MiB, and as many are being appended; a
//! writer that finds the queue full waits. What a journal holds is read into extents, see [`Held`] for its limits.
//!
//! A failing sync of the target ends the run: what of the data is there, nobody knows. A failing write of the journal
//! does not: the transfer goes on and is recorded no further, see [`Journal::trouble`].
//!
//! # What is believed
//!
//! Records up to the first that is torn, damaged or not plausible; that one and all that follow are cut off. A journal
//! is believed only for the target it was begun for ([`crate::volume::JournalPlace::identity`]). Whether somebody has
//! written to the target since, no journal can tell: so a run that goes on reads back what it counts on, and compares
//! it with the source's digests. The journal says where that is worth it, and what the source was like then.
//!
//! # The file: a header, then records of 64 bytes
//!
//! All integers are little-endian.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | magic | `89 4C 56 4A 0D 0A 1A 0A` |
//! | 8 | 2 | version | 1 |
//! | 10 | 2 | reserved | 0 |
//! | 12 | 4 | part size | a power of two, 64 KiB to 64 MiB |
//! | 16 | 16 | id | of the transfer that began it |
//! | 32 | 8 | volume size | 2^64 − 1: unknown |
//! | 40 | 1 | digest | as in the wire's prelude |
//! | 41 | 3 | reserved | 0 |
//! | 44 | 4 | lineage length | 0 to 65536 |
//! | 48 | 4 | target length | 0 to 8192 |
//! | 52 | 8 | reserved | 0 |
//! | 60 | 4 | CRC32C | of bytes 0 to 59, the lineage and the target |
//! | 64 | | lineage | the source's, as on the wire |
//! | | | target | the target's identity, in UTF-8 |
//! | | | padding | zeros up to a multiple of 64 |
//!
//! | offset | size | field of a record | meaning |
//! |---|---|---|---|
//! | 0 | 8 | offset | on the volume; of a part: a multiple of the part size |
//! | 8 | 8 | length | of a part: the part size, but at the volume's end |
//! | 16 | 1 | kind | 1 part, 2 hole |
//! | 17 | 11 | reserved | 0 |
//! | 28 | 32 | digest | of a part: as in its frame; of a hole: 0 |
//! | 60 | 4 | CRC32C | of the journal's id, the record's number from 0 (8 bytes), and bytes 0 to 59 |
//!
//! With id and number in its checksum, a record that stood in an earlier journal or elsewhere in this one is none.
//! Records may overlap: a part that was found damaged is written again, and then its last digest counts; a hole may be
//! cut otherwise when it is told again.

mod about;
mod base64url;
mod blocks;
mod file;
mod held;
mod record;
mod token;
mod writer;

#[cfg(test)]
mod tests;

pub use about::About;
pub use file::parse;
pub use held::Held;
pub use token::Token;
pub use writer::Journal;
