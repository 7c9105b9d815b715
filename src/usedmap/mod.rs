//! The used map: the sorted, disjoint extents of a volume that hold data; all else is a hole and reads as zeros.
//!
//! In: a dm-thin device ([`from_thin_device`]) or a saved copy of its pool's metadata ([`from_metadata_file`]), a
//! file's own map ([`from_sparse_file`]), or nothing known ([`UsedMap::everything`]). Out: a [`UsedMap`], read-only from then on and shared by the
//! threads of a transfer. It is made by the thread that opens the source. Memory is 16 bytes an extent, whatever
//! the size of the volume; [`UsedMap::cells`] walks it along the transfer's grid without allocating. A map that
//! cannot be read whole is an error, never a shorter map: a missing extent would be lost data. What
//! changed between two thin devices is a [`Delta`], two such maps.

mod algebra;
mod builder;
mod cells;
mod delta;
mod sparse;
mod thin_source;

pub use builder::MapBuilder;
pub use cells::{Cell, Cells, DataCell};
pub use delta::{BaseDevice, Delta, ReadOnly, ThinDelta, delta_from_metadata_file, delta_of_thin_device};
pub use sparse::from_sparse_file;
pub use thin_source::{Stamp, ThinMap, from_metadata_file, from_thin_device, stamp_of_thin_device};

/// Offset and length in bytes on a volume. Never empty where it stands in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// The first byte.
    pub offset: u64,
    /// How many bytes; `offset + length` does not overflow.
    pub length: u64,
}

impl Extent {
    /// The extent from `offset` up to, and without, `end`; empty if `end` does not lie after `offset`.
    pub fn between(offset: u64, end: u64) -> Self {
        Extent { offset, length: end.saturating_sub(offset) }
    }

    /// The first byte after the extent.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Whether there is no byte in it.
    pub fn is_empty(self) -> bool {
        self.length == 0
    }

    /// What lies in both; empty if nothing does.
    #[must_use]
    pub fn clipped_to(self, other: Extent) -> Extent {
        Extent::between(self.offset.max(other.offset), self.end().min(other.end()))
    }
}

/// Where a map came from, which is how far it can be believed to have found the holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapSource {
    /// dm-thin's metadata: what is outside was never written, or discarded.
    Thin,
    /// A file's own map: `SEEK_DATA` and `SEEK_HOLE`, lseek(2).
    SparseFile,
    /// What a server says of its volume.
    Peer,
    /// Nothing is known: everything counts as data, zeros are found while reading.
    Unknown,
}

/// What of a volume holds data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedMap {
    size: u64,
    used: u64,
    extents: Vec<Extent>,
    source: MapSource,
}

impl UsedMap {
    /// The map of a volume of which nothing is known: all of its `size` bytes are data.
    pub fn everything(size: u64) -> Self {
        let mut all = MapBuilder::new(MapSource::Unknown);
        all.push_first(Extent { offset: 0, length: size });
        all.finish(size)
    }

    /// The volume's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes hold data, at most [`UsedMap::size`].
    pub fn used_bytes(&self) -> u64 {
        self.used
    }

    /// The extents in order: none empty, none touching the next, none beyond the size.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Where the map came from.
    pub fn source(&self) -> MapSource {
        self.source
    }
}
