//! What a worker does to a part that was received: check, decompress, compare the digest.

use std::sync::Arc;

use super::memory::{Buffer, Pool};
use crate::error::Result;
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::wire::codec::with_decoder;
use crate::wire::{Codec, DigestKind, FrameHeader, Segments, WireError};

/// How parts are decoded; shared by the workers.
pub(super) struct Decoding {
    pub(super) digest: DigestKind,
    /// One for each worker.
    pub(super) scratch: Pool,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

impl Decoding {
    /// The data of a part whose payload is in `buffer`: it is what its digest says.
    pub(super) fn decode(
        &self,
        header: &FrameHeader,
        segments: &Segments,
        mut buffer: Buffer,
    ) -> Result<Buffer, Halt> {
        let _busy = self.figures.busy(Stage::Cpu);
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
        Ok(buffer)
    }
}

/// Why a stage on the receiving side cannot go on: the stream is wrong, or the run has been ended elsewhere.
#[derive(Debug)]
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
