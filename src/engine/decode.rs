//! What a worker does to a part that was received: check, decompress, compare the digest.

use std::sync::Arc;

use super::memory::{Buffer, Pool};
use crate::error::Result;
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::wire::codec::with_decoder;
use crate::wire::{Codec, DigestKind, FrameHeader, Segments, WireError};

/// A part as it came from the link.
pub(super) struct ReceivedPart {
    pub(super) header: FrameHeader,
    pub(super) segments: Segments,
    pub(super) payload: Buffer,
}

/// What goes to the target.
pub(super) enum Incoming {
    /// A range that reads as zeros.
    Hole { offset: u64, length: u64, used: u64 },
    /// A part whose content is what its digest says.
    Part { offset: u64, segments: Segments, used: u64, data: Buffer },
}

/// How parts are decoded; shared by the workers.
pub(super) struct Decoding {
    pub(super) digest: DigestKind,
    /// The stream's name, for messages.
    pub(super) stream: String,
    /// One for each worker.
    pub(super) scratch: Pool,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

impl Decoding {
    /// Decodes a part; what is wrong with it ends the run.
    pub(super) fn decode(&self, part: ReceivedPart) -> Result<Incoming, Stopped> {
        let _busy = self.figures.busy(Stage::Cpu);
        let offset = part.header.offset;
        self.check_and_decode(part).map_err(|halt| match halt {
            Halt::Stopped => Stopped,
            Halt::Wire(error) => {
                self.stop.fail(error.at(&self.stream, format_args!("in the part at offset {offset}")));
                Stopped
            }
        })
    }

    fn check_and_decode(&self, part: ReceivedPart) -> Result<Incoming, Halt> {
        let ReceivedPart { header, segments, payload: mut buffer } = part;
        let (wire, raw) = (header.payload as usize, header.raw as usize);
        header.check_payload(&buffer[..wire])?;
        match header.codec {
            Codec::None if wire != raw => {
                return Err(WireError::Field { what: "payload length of a part", value: wire as u64 }.into());
            }
            Codec::None => {}
            Codec::Zstd => {
                let mut scratch = self.scratch.take(&self.stop)?;
                with_decoder(|decoder| decoder.decode(&buffer[..wire], &mut scratch[..raw]))
                    .map_err(WireError::Io)??;
                buffer.swap_contents(&mut scratch);
            }
        }
        if self.digest.of(&[segments.as_bytes(), &buffer[..raw]]) != header.digest {
            return Err(WireError::Digest.into());
        }
        self.figures.add_read(raw as u64);
        Ok(Incoming::Part { offset: header.offset, segments, used: header.used, data: buffer })
    }
}

/// Why a stage on the receiving side cannot go on: the stream is wrong, or the run has been ended elsewhere.
pub(super) enum Halt {
    Wire(WireError),
    Stopped,
}

impl From<WireError> for Halt {
    fn from(error: WireError) -> Self {
        Halt::Wire(error)
    }
}

impl From<Stopped> for Halt {
    fn from(Stopped: Stopped) -> Self {
        Halt::Stopped
    }
}
