//! A volume that is served: its bytes, its map, its entity tag.
//!
//! It is read by the workers of all responses at once. Holes cost no read: where the map says so, zeros are put in
//! from memory. A file that is written to while it is served is not the one any more that its tag promised: from then
//! on nothing of it is served.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::MmapMut;

use super::buffers::Buffers;
use crate::error::{Error, Result, Status};
use crate::http::volume_map::VolumeMap;
use crate::usedmap::Extent;
use crate::volume::{ALIGN, Piece, Source};
use crate::wire::{DigestKind, PartSize};

/// The unit in which raw bytes are read and handed on: small enough that what was read is in the processor's cache
/// when it is written to the socket, large enough that handing it on costs little.
pub const CHUNK: u64 = 256 << 10;

/// Pieces of data that are closer than this are sent as one: the zeros between them cost less than a piece does.
const JOIN: u64 = 64 << 10;

/// Unused buffers of a kind that are kept, in bytes: what is given back to the system has to be faulted in again.
const KEEP: usize = 64 << 20;

/// A volume with its name on this server.
pub struct Volume {
    /// All that a puller is told of it; the name and the entity tag among that.
    pub about: Arc<VolumeMap>,
    /// Buffers of a [`CHUNK`].
    pub chunks: Arc<Buffers>,
    /// Buffers of a part.
    pub parts: Arc<Buffers>,
    /// Bytes read from the source.
    pub read: AtomicU64,
    /// Bytes sent, as they are on the wire.
    pub sent: AtomicU64,
    source: Arc<dyn Source>,
    may_change: bool,
    has_changed: AtomicBool,
    zeros: Bytes,
}

impl Volume {
    /// A volume to be served. With `may_change`, it is served even if it is written to.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(about: VolumeMap, source: Arc<dyn Source>, may_change: bool) -> Result<Self> {
        // Never written to: the kernel has one page of zeros for all of it.
        let zeros = MmapMut::map_anon(CHUNK as usize);
        let zeros = zeros.map_err(|e| Error::io("cannot get memory", "a page of zeros", &e))?;
        Ok(Volume {
            chunks: Buffers::new(CHUNK as usize, KEEP / CHUNK as usize),
            parts: Buffers::new(about.part_size.bytes(), KEEP / about.part_size.bytes()),
            about: Arc::new(about),
            read: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            source,
            may_change,
            has_changed: AtomicBool::new(false),
            zeros: Bytes::from_owner(zeros),
        })
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.about.map.size()
    }

    /// All of it.
    pub fn whole(&self) -> Extent {
        Extent { offset: 0, length: self.size() }
    }

    /// The unit of transfer, in bytes.
    pub fn part_size(&self) -> u64 {
        self.about.part_size.bytes() as u64
    }

    /// How many parts it has.
    pub fn parts(&self) -> u64 {
        self.size().div_ceil(self.part_size())
    }

    /// Where a part lies; empty beyond the volume's end.
    pub fn part(&self, number: u64) -> Extent {
        let offset = number.saturating_mul(self.part_size());
        Extent::between(offset, offset.saturating_add(self.part_size()).min(self.size()))
    }

    /// What is sent of a part in a batch: its data, aligned to what can be read, with what lies between pieces that
    /// are close to each other.
    pub fn pieces(&self, part: Extent) -> Vec<Extent> {
        let mut pieces: Vec<Extent> = Vec::new();
        for extent in self.about.map.overlapping(part) {
            let begin = extent.offset - extent.offset % ALIGN;
            let end = extent.end().next_multiple_of(ALIGN).min(part.end());
            match pieces.last_mut() {
                Some(last) if begin < last.end() + JOIN => *last = Extent::between(last.offset, end),
                _ => pieces.push(Extent::between(begin, end)),
            }
        }
        pieces
    }

    /// Whether there is no data in a range.
    pub fn is_hole(&self, range: Extent) -> bool {
        self.about.map.overlapping(range).next().is_none()
    }

    /// So many zeros, at most a [`CHUNK`] of them, that take no memory.
    pub fn zeros(&self, length: u64) -> Bytes {
        self.zeros.slice(..(length.min(CHUNK)) as usize)
    }

    /// Reads a range into a buffer that is exactly as long. It begins at a multiple of [`ALIGN`], and ends at one or
    /// at the volume's end.
    ///
    /// # Errors
    /// When it cannot be read, or when the volume is not the same any more.
    pub fn read(&self, range: Extent, into: &mut [u8]) -> Result<()> {
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        let (mut filled, mut rest) = (0, into);
        for extent in self.about.map.overlapping(range) {
            // What an extent is widened by are bytes of holes, or what is read with the one before.
            let begin = ((extent.offset - extent.offset % ALIGN - range.offset) as usize).max(filled);
            let end = (extent.end().next_multiple_of(ALIGN).min(range.end()) - range.offset) as usize;
            // Extents that share a block are read with the first of them.
            if begin >= end {
                continue;
            }
            let (hole, after) = rest.split_at_mut(begin - filled);
            let (piece, after) = after.split_at_mut(end - begin);
            hole.fill(0);
            pieces.push((range.offset + begin as u64, piece));
            (filled, rest) = (end, after);
        }
        rest.fill(0);
        self.source.read_pieces(&mut pieces)?;
        let read: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        self.check()
    }

    /// Whether it is still the one that its tag promised.
    ///
    /// # Errors
    /// When it is not: it has been written to.
    pub fn check(&self) -> Result<()> {
        if !self.may_change && self.source.unchanged().is_err() {
            self.has_changed.store(true, Ordering::Relaxed);
        }
        if self.has_changed.load(Ordering::Relaxed) {
            return Err(Error::new(
                Status::Io,
                "cannot serve",
                &self.about.volume,
                "it changed while it was served",
            )
            .way_out("end what writes it and start again, or serve a copy or a snapshot of it"));
        }
        Ok(())
    }
}

/// The entity tag of a regular file: the same for a server that is started again, as long as the file is.
pub fn tag_of_file(file: &Metadata, part_size: PartSize) -> String {
    let fields = [
        file.dev(),
        file.ino(),
        file.len(),
        file.mtime() as u64,
        file.mtime_nsec() as u64,
        file.ctime() as u64,
        file.ctime_nsec() as u64,
        part_size.bytes() as u64,
    ];
    let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    let digest = DigestKind::Sha256.of(&[b"lvpipe entity tag 1\n", &bytes]).to_string();
    format!("\"{}\"", &digest[..32])
}

/// The entity tag of anything else: of this run alone.
pub fn tag_of_run(id: [u8; 16]) -> String {
    format!("\"{}\"", data_encoding::HEXLOWER.encode(&id))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::usedmap::{MapBuilder, MapSource};
    use crate::wire::Lineage;
    use proptest::prelude::*;

    /// Byte n is n's lowest byte plus one; holes must not be read, and reads must be aligned.
    struct Counting {
        size: u64,
        data: Vec<(u64, u64)>,
        changed: AtomicBool,
    }

    impl Source for Counting {
        fn size(&self) -> u64 {
            self.size
        }

        fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
            let end = offset + into.len() as u64;
            let fits = |at: u64| at.is_multiple_of(ALIGN);
            assert!(fits(offset) && (fits(end) || end == self.size), "{offset} to {end}");
            for (at, byte) in (offset..).zip(into) {
                let is_data = self.data.iter().any(|(begin, length)| at >= *begin && at < begin + length);
                *byte = if is_data { at as u8 | 1 } else { 0 };
            }
            Ok(())
        }

        fn unchanged(&self) -> Result<()> {
            let changed = self.changed.load(Ordering::Relaxed);
            if changed { Err(Error::io("changed", "", &std::io::Error::other("x"))) } else { Ok(()) }
        }
    }

    pub fn volume(size: u64, data: &[(u64, u64)]) -> Volume {
        let mut map = MapBuilder::new(MapSource::SparseFile);
        data.iter().for_each(|(offset, length)| map.push(*offset, *length).expect("in order"));
        let about = VolumeMap {
            volume: "v".into(),
            etag: "\"e\"".into(),
            part_size: PartSize::new(64 << 10).expect("a power of two"),
            lineage: Lineage::default(),
            map: Arc::new(map.finish(size)),
        };
        let source = Counting { size, data: data.to_vec(), changed: AtomicBool::new(false) };
        Volume::new(about, Arc::new(source), false).expect("memory")
    }

    #[test]
    fn pieces_that_are_close_are_one() {
        let volume = volume(10 << 20, &[(5000, 100), (40_000, 1), (65_536, 10), (200_000, 30_000)]);
        let told = |part: u64| -> Vec<_> {
            let place = volume.part(part);
            volume.pieces(place).iter().map(|piece| (piece.offset, piece.end())).collect()
        };
        assert_eq!(told(0), [(4096, 40_960)]);
        assert_eq!(told(1), [(65_536, 69_632)]);
        assert_eq!(told(2), []);
        assert_eq!(told(3), [(196_608, 233_472)]);
        assert_eq!(volume.part(160), Extent { offset: 10 << 20, length: 0 });
        assert!(volume.part(u64::MAX).is_empty());
        assert_eq!(volume.parts(), 160);
    }

    #[test]
    fn extents_that_share_the_last_block_are_read_once() {
        let volume = volume(8400, &[(8192, 10), (8300, 10)]);
        let mut read = [0xaa; 8400];
        volume.read(volume.whole(), &mut read).expect("readable");
        assert!(
            read[..8192].iter().all(|byte| *byte == 0) && read[8192] == 1 && read[8250] == 0 && read[8301] != 0
        );
        assert_eq!(volume.read.load(Ordering::Relaxed), 208);
    }

    #[test]
    fn tags_are_strong_and_those_of_files_stay() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let tag = || tag_of_file(&file.as_file().metadata().expect("its metadata"), PartSize::default());
        assert!(crate::http::volume_map::is_strong_etag(&tag()) && tag() == tag());
        let before = tag();
        file.as_file().set_len(1).expect("longer");
        assert_ne!(tag(), before);
        assert!(crate::http::volume_map::is_strong_etag(&tag_of_run([200; 16])));
    }

    proptest! {
        #[test]
        fn what_is_read_is_the_volume(
            runs in proptest::collection::vec((1u64..9000, 1u64..9000), 0..8), first in 0u64..20, cells in 0u64..20,
        ) {
            let mut end = 0;
            let data: Vec<_> = runs.iter().map(|(gap, length)| {
                let offset = end + gap;
                end = offset + length;
                (offset, *length)
            }).collect();
            let volume = volume(end + 77, &data);
            let range = volume.whole().clipped_to(Extent { offset: first * ALIGN, length: cells * ALIGN });
            let mut read = vec![0xaa; range.length as usize];
            volume.read(range, &mut read).expect("readable");
            let expected: Vec<u8> = (range.offset..range.end()).map(|at| {
                let is_data = data.iter().any(|(begin, length)| at >= *begin && at < begin + length);
                if is_data { at as u8 | 1 } else { 0 }
            }).collect();
            prop_assert!(read == expected);
        }
    }
}
