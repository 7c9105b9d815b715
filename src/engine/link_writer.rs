//! Writing frames to a link, whatever it is: all pieces in as few system calls as the link allows, at the rate that
//! the user allows, counted. A pipe takes the frames in order; one thread writes them, blocked for as long as the
//! other side makes it wait.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use super::rate::Rate;
use super::sequence::{Frame, FrameSink};
use crate::error::Error;
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::wire::{End, FrameHeader, Prelude};

/// Writes the pieces of frames.
pub(super) struct LinkWriter<W> {
    pub(super) link: W,
    /// Shared by all links of the run.
    pub(super) rate: Option<Arc<Rate>>,
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

impl<W: Write> LinkWriter<W> {
    /// Writes all pieces.
    pub(super) fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        {
            let _busy = self.figures.busy(Stage::Link);
            match &self.rate {
                None => write_all_vectored(&mut self.link, pieces)?,
                Some(rate) => {
                    for chunk in pieces.iter().flat_map(|piece| piece.chunks(rate.step())) {
                        // Once the run has ended, what is left of a frame goes out at once: behind half a frame
                        // the receiver could not be told why.
                        let _ = rate.wait(chunk.len(), &self.stop);
                        self.link.write_all(chunk)?;
                    }
                }
            }
        }
        self.figures.add_wire(length as u64);
        Ok(())
    }
}

/// Writes all pieces with as few system calls as the link allows.
fn write_all_vectored(to: &mut impl Write, pieces: &[&[u8]]) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); 3];
    let mut left = &mut slices[..pieces.len()];
    left.iter_mut().zip(pieces).for_each(|(slice, piece)| *slice = IoSlice::new(piece));
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match to.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => IoSlice::advance_slices(&mut left, length),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A pipe: frames in order of offset, and nobody answers.
pub(super) struct PipeSink<W> {
    pub(super) writer: LinkWriter<W>,
    pub(super) name: String,
}

impl<W: Write> PipeSink<W> {
    /// The stream's first bytes.
    pub(super) fn prelude(&mut self, prelude: &Prelude) -> Result<(), Stopped> {
        self.write(&[&prelude.encode()])
    }

    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), Stopped> {
        self.writer.write(pieces).map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &io::Error) -> Stopped {
        let failed = Error::io("cannot write stream", &self.name, error);
        self.writer.stop.fail(match error.kind() {
            io::ErrorKind::BrokenPipe => failed.way_out("the process that read it has ended: see its message"),
            _ => failed,
        });
        Stopped
    }
}

impl<W: Write> FrameSink for PipeSink<W> {
    fn frame(&mut self, frame: Frame) -> Result<(), Stopped> {
        self.write(&[&frame.header.encode(), frame.segments.as_bytes(), frame.payload()])?;
        frame.count(&self.writer.figures);
        Ok(())
    }

    fn end(&mut self, end: End, size: u64) -> Result<(), Stopped> {
        let payload = end.encode();
        let header = FrameHeader::end(size, &payload);
        self.write(&[&header.encode(), &payload])?;
        self.writer.link.flush().map_err(|e| self.failed(&e))
    }
}
