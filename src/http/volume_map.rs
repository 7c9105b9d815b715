//! A volume's used map and what else a puller must know of it, as it goes over HTTP.
//!
//! In: a [`UsedMap`] and who it is of, or bytes from a server. Out: the same. Both forms are written to any
//! [`Write`](std::io::Write) and read from any [`Read`](std::io::Read), extent by extent, on the caller's thread; the
//! memory is the map's own, 16 bytes an extent.
//!
//! Nothing that is read is believed: extents must be in order, apart, not empty and within the volume, and there may
//! be at most [`MOST_EXTENTS`] of them. How many bytes are read at most is the caller's to bound, by the reader.
//!
//! # JSON
//!
//! `application/json`, for everybody:
//!
//! ```json
//! {"volume": "vm1", "size": 1073741824, "part_size": 1048576, "etag": "\"abc\"", "used": 65536,
//!  "lineage": {"source": "vg/vm1", "uuid": "…", "host": "…", "time": 1700000000, "program": "…"},
//!  "extents": [[0, 65536]]}
//! ```
//!
//! Unknown members are passed over; `used` is for people, and not read.
//!
//! # Compact
//!
//! `application/vnd.lvpipe.map`, which is what `lvpipe pull` asks for. Integers are little-endian.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | magic | `89 4C 56 4D 0D 0A 1A 0A` |
//! | 8 | 2 | version | 1; an unknown one is refused |
//! | 10 | 2 | reserved | 0 |
//! | 12 | 4 | head length | up to 65536 |
//! | 16 | 8 | extents | how many |
//! | 24 | head length | head | the JSON above, without `extents` |
//! | | | extents | each two LEB128 integers of 1 to 10 bytes: from the end of the last one to its offset; its length |
//! | | 4 | CRC32C | of all bytes before |

mod compact;
mod json;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::usedmap::{MapBuilder, MapSource, UsedMap};
use crate::wire::{Lineage, PartSize};

/// The media type of the compact form.
pub const COMPACT_TYPE: &str = "application/vnd.lvpipe.map";
/// The most extents that a map is read with: 2 GiB of memory.
pub const MOST_EXTENTS: u64 = 1 << 27;
/// The most bytes of a volume's name and of an entity tag.
const LONGEST_TEXT: usize = 1024;

/// A volume as a server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMap {
    /// Its name on this server, the first segment of the path of its resources.
    pub volume: String,
    /// The strong entity tag of its content, with its quotes.
    pub etag: String,
    /// The grid.
    pub part_size: PartSize,
    /// Where it comes from.
    pub lineage: Lineage,
    /// Its size, and what of it holds data.
    pub map: Arc<UsedMap>,
}

/// Why bytes are no map.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// They cannot be read, or written, or end too early.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Not JSON, or not with the members it must have.
    #[error("it is not the JSON of a map: {0}")]
    Json(#[from] serde_json::Error),
    /// Not the compact form.
    #[error("it is not a map")]
    Foreign,
    /// Of a later lvpipe.
    #[error("it is of version {0}, and this lvpipe knows version 1")]
    Newer(u16),
    /// The checksum is another one.
    #[error("its checksum does not fit")]
    Checksum,
    /// A value that cannot be.
    #[error("{what} cannot be {value}")]
    Field {
        /// Which.
        what: &'static str,
        /// What it is.
        value: u64,
    },
}

/// All but the extents.
#[derive(Serialize, Deserialize)]
struct Head {
    volume: String,
    size: u64,
    part_size: u64,
    etag: String,
    #[serde(default, skip_deserializing)]
    used: u64,
    #[serde(default)]
    lineage: Lineage,
}

impl Head {
    fn of(map: &VolumeMap) -> Self {
        Head {
            volume: map.volume.clone(),
            size: map.map.size(),
            part_size: map.part_size.bytes() as u64,
            etag: map.etag.clone(),
            used: map.map.used_bytes(),
            lineage: map.lineage.clone(),
        }
    }

    fn with(self, extents: Extents) -> Result<VolumeMap, MapError> {
        let Head { volume, size, part_size, etag, lineage, .. } = self;
        let field = |what, value| MapError::Field { what, value };
        if volume.is_empty() || volume.len() > LONGEST_TEXT || volume.contains('/') {
            return Err(field("length of the volume's name", volume.len() as u64));
        }
        if !is_strong_etag(&etag) {
            return Err(field("entity tag, of this length,", etag.len() as u64));
        }
        if size > i64::MAX as u64 {
            return Err(field("size of the volume", size));
        }
        if extents.end > size {
            return Err(field("end of the last extent", extents.end));
        }
        let part_size = PartSize::new(part_size).ok_or(field("part size", part_size))?;
        Ok(VolumeMap { volume, etag, part_size, lineage, map: Arc::new(extents.builder.finish(size)) })
    }
}

/// Extents as they are read.
struct Extents {
    builder: MapBuilder,
    count: u64,
    end: u64,
}

impl Extents {
    fn new() -> Self {
        Extents { builder: MapBuilder::new(MapSource::Peer), count: 0, end: 0 }
    }

    fn push(&mut self, offset: u64, length: u64) -> Result<(), MapError> {
        let field = |what, value| Err(MapError::Field { what, value });
        self.count += 1;
        if self.count > MOST_EXTENTS {
            return field("number of extents", self.count);
        }
        if offset < self.end {
            return field("offset of an extent, after the one before it,", offset);
        }
        let Some(end) = offset.checked_add(length).filter(|end| *end > offset) else {
            return field("length of an extent", length);
        };
        self.end = end;
        self.builder.push(offset, length).or_else(|_| field("offset of an extent", offset))
    }
}

/// Whether this is a strong entity tag, with its quotes: RFC 9110, section 8.8.3, without what is not ASCII.
pub fn is_strong_etag(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    text.len() <= LONGEST_TEXT
        && inner.is_some_and(|inner| inner.bytes().all(|b| b == 0x21 || (0x23..=0x7e).contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn volume_map(size: u64, extents: &[(u64, u64)]) -> VolumeMap {
        let mut builder = MapBuilder::new(MapSource::Peer);
        extents.iter().for_each(|&(offset, length)| builder.push(offset, length).expect("in order"));
        VolumeMap {
            volume: "vm1".into(),
            etag: "\"a-1\"".into(),
            part_size: PartSize::default(),
            lineage: Lineage { source: Some("vg/vm1".into()), time: Some(7), ..Lineage::default() },
            map: Arc::new(builder.finish(size)),
        }
    }

    fn both_ways(map: &VolumeMap) -> [Result<VolumeMap, MapError>; 2] {
        let (mut json, mut compact) = (Vec::new(), Vec::new());
        map.write_json(&mut json).expect("memory");
        map.write_compact(&mut compact).expect("memory");
        [VolumeMap::read_json(&json[..]), VolumeMap::read_compact(&compact[..])]
    }

    proptest! {
        #[test]
        fn a_map_survives_both_forms(
            runs in proptest::collection::vec((1u64..1 << 40, 1u64..1 << 40), 0..40), more in 0u64..1 << 40, name in "[^/]{1,40}",
        ) {
            let mut end = 0;
            let extents: Vec<_> = runs.iter().map(|(gap, length)| {
                let offset = end + gap;
                end = offset + length;
                (offset, *length)
            }).collect();
            let map = VolumeMap { volume: name, ..volume_map(end + more, &extents) };
            for read in both_ways(&map) {
                prop_assert_eq!(read.expect("own writing"), map.clone());
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_both_forms() {
        let good = volume_map(100, &[(0, 10), (20, 5)]);
        let wrong: [fn(&mut VolumeMap); 5] = [
            |map| map.volume = "a/b".into(),
            |map| map.volume = String::new(),
            |map| map.etag = "W/\"a\"".into(),
            |map| map.etag = "a".into(),
            |map| map.map = Arc::new(UsedMap::everything(u64::MAX)),
        ];
        assert!(both_ways(&good).iter().all(Result::is_ok));
        for (number, change) in wrong.iter().enumerate() {
            let mut map = good.clone();
            change(&mut map);
            assert!(both_ways(&map).iter().all(Result::is_err), "change {number}");
        }
    }

    #[test]
    fn extents_out_of_order_overlapping_or_empty_are_refused() {
        for (first, second) in [((10, 5), (14, 5)), ((10, 5), (0, 5)), ((10, 5), (20, 0)), ((1, 1), (9, u64::MAX))]
        {
            let mut extents = Extents::new();
            extents.push(first.0, first.1).expect("the first one");
            assert!(extents.push(second.0, second.1).is_err(), "{first:?} {second:?}");
        }
    }

    #[test]
    fn entity_tags_are_those_of_the_rfc() {
        for good in ["\"\"", "\"xyzzy\"", "\"!#~\""] {
            assert!(is_strong_etag(good), "{good}");
        }
        for bad in ["", "\"", "x", "W/\"x\"", "\"a\"b\"", "\"a b\"", "\"\u{7f}\"", "\"é\""] {
            assert!(!is_strong_etag(bad), "{bad}");
        }
    }
}
