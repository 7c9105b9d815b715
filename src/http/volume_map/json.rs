//! The map as JSON.

use std::fmt;
use std::io::{self, Read, Write};

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::{Extents, Head, MapError, VolumeMap};

#[derive(Deserialize)]
struct Whole {
    #[serde(flatten)]
    head: Head,
    extents: Extents,
}

impl VolumeMap {
    /// Writes the map as JSON, with what `to` makes of many small writes: it should be buffered.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_json(&self, to: &mut impl Write) -> io::Result<()> {
        let head = serde_json::to_string(&Head::of(self))?;
        // The object goes on with the extents, which are not collected for serde.
        to.write_all(&head.as_bytes()[..head.len() - 1])?;
        to.write_all(b",\"extents\":[")?;
        for (number, extent) in self.map.extents().iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(to, "{comma}[{},{}]", extent.offset, extent.length)?;
        }
        to.write_all(b"]}\n")
    }

    /// Reads a map from JSON, to the end of `from`, which should be buffered.
    ///
    /// # Errors
    /// [`MapError`]: what is not JSON, not a map, or a map that cannot be.
    pub fn read_json(from: impl Read) -> Result<Self, MapError> {
        let Whole { head, extents } = serde_json::from_reader(from)?;
        head.with(extents)
    }
}

impl<'de> Deserialize<'de> for Extents {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ExtentsVisitor)
    }
}

struct ExtentsVisitor;

impl<'de> Visitor<'de> for ExtentsVisitor {
    type Value = Extents;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of [offset, length]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Extents, A::Error> {
        let mut extents = Extents::new();
        while let Some((offset, length)) = list.next_element()? {
            extents.push(offset, length).map_err(de::Error::custom)?;
        }
        Ok(extents)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::volume_map;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_is_the_one_of_the_page() {
        let mut json = Vec::new();
        volume_map(1 << 20, &[(0, 4096), (65536, 512)]).write_json(&mut json).expect("memory");
        assert_eq!(
            String::from_utf8(json).expect("text"),
            "{\"volume\":\"vm1\",\"size\":1048576,\"part_size\":1048576,\"etag\":\"\\\"a-1\\\"\",\"used\":4608,\
             \"lineage\":{\"source\":\"vg/vm1\",\"uuid\":null,\"host\":null,\"time\":7,\"program\":null,\
             \"identity\":null},\"extents\":[[0,4096],[65536,512]]}\n"
        );
    }

    #[test]
    fn order_and_unknown_members_do_not_matter() {
        let text = r#"{"extents": [[4, 4]], "new": [{}], "etag": "\"a-1\"", "size": 8, "part_size": 1048576,
                       "lineage": {"source": "vg/vm1", "time": 7, "x": 1}, "used": -1.5, "volume": "vm1"}"#;
        assert_eq!(VolumeMap::read_json(text.as_bytes()).expect("a map"), volume_map(8, &[(4, 4)]));
        for bad in [
            "",
            "{}",
            "[]",
            &text.replace("[4, 4]", "[4, 5]"),
            &text.replace("[4, 4]", "[4, -4]"),
            &format!("{text}x"),
        ] {
            assert!(VolumeMap::read_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = VolumeMap::read_json(&bytes[..]);
        }
    }
}
