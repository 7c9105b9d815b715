//! Reading a stream's structure without its content: what `inspect` tells of a backup in no time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::tally::{Covered, Received, Tally};
use crate::error::Result;
use crate::stop::{Interruptible, Stop};
use crate::wire::{End, FrameHeader, FrameKind, Prelude, SegmentKind};
use crate::wire::{frame, segments};

/// What the frames of a stream say of themselves. Contents are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// The totals, which fit what was counted.
    pub received: Received,
    /// Of a delta, the bytes that are as in the base; the totals count them among the holes.
    pub kept: u64,
    /// Bytes of the stream after its prelude.
    pub bytes: u64,
    /// Whether bytes follow the end frame.
    pub trailing: bool,
}

/// Walks what follows the prelude; `name` is for messages.
///
/// # Errors
/// Where the stream is truncated, or a header damaged; or what the run's [`Stop`] was set to.
pub fn walk(stream: File, prelude: &Prelude, name: &str, stop: &Stop) -> Result<Walked> {
    let mut tally = Tally::new(prelude);
    let skip = Skip::new(&stream);
    let mut reader = Interruptible::new(&stream, stop);
    let (mut bytes, mut kept) = (0, 0);
    loop {
        stop.check()?;
        let at = format!("at offset {} of the volume", tally.position());
        let header = FrameHeader::read(&mut reader, prelude).map_err(|e| e.at(name, &at))?;
        bytes += frame::HEADER as u64 + u64::from(header.payload);
        if header.kind == FrameKind::End {
            let end = End::read(&header, &mut reader);
            let received = end.and_then(|end| tally.finish(&header, end)).map_err(|e| e.at(name, &at))?;
            let trailing = reader.read(&mut [0]).is_ok_and(|length| length > 0);
            return Ok(Walked { received, kept, bytes, trailing });
        }
        kept += if header.kind == FrameKind::Kept { header.length } else { 0 };
        tally.count(&Covered::by(&header)).map_err(|e| e.at(name, &at))?;
        if header.kind.is_part() {
            let segments = header.read_segments(&mut reader, prelude).map_err(|e| e.at(name, &at))?;
            let of_base = (&segments).into_iter().filter(|segment| segment.kind == SegmentKind::Kept);
            kept += of_base.map(|segment| u64::from(segment.length)).sum::<u64>();
            skip.skip(&stream, &mut reader, header.payload.into()).map_err(|e| e.at(name, &at))?;
            bytes += u64::from(header.segments) * segments::ENTRY as u64;
        }
    }
}

/// Passes over bytes: by seeking in a file, by reading elsewhere.
struct Skip {
    /// The length of a file that can be sought in.
    file: Option<u64>,
}

impl Skip {
    fn new(stream: &File) -> Self {
        let file = stream.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
        Skip { file }
    }

    fn skip(&self, mut stream: &File, reader: &mut impl Read, length: u64) -> Result<(), crate::wire::WireError> {
        let skipped = match self.file {
            // Seeking goes beyond the end without an error.
            Some(file) => {
                let position = stream.stream_position()?;
                stream.seek(SeekFrom::Current(length as i64))?;
                length.min(file.saturating_sub(position))
            }
            None => io::copy(&mut reader.take(length), &mut io::sink())?,
        };
        if skipped == length {
            Ok(())
        } else {
            Err(crate::wire::WireError::Truncated { missing: length - skipped })
        }
    }
}
