//! Where a stream comes from: fields of tag, length and value. An unknown tag is passed over, so that fields can
//! be added without a new version.

use super::WireError;

/// The most bytes that a lineage may have on the wire.
pub const MAX_LENGTH: usize = 65_536;

/// Who sent what, when. Every field may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Lineage {
    /// The source's name, as the sender was given it (tag 1).
    pub source: Option<String>,
    /// The LV's UUID (tag 2).
    pub uuid: Option<String>,
    /// The sender's host name (tag 3).
    pub host: Option<String>,
    /// When it was sent, in seconds since 1970 (tag 4, decimal).
    pub time: Option<u64>,
    /// The sender's version of lvpipe (tag 5).
    pub program: Option<String>,
    /// Which device or file the source is, on the boot and to the process that sent it (tag 6): a receiver on the
    /// same host knows by it that it was asked to write to its own source. See `volume::identity`.
    pub identity: Option<String>,
    /// Which version of a resource at a server it was pulled from (tag 7): an entity tag, or a date of modification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The name of what the volume holds as it is sent, if a later delta may have it as its base (tag 8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The name of what the target must hold already: the stream is a delta (tag 9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

impl Lineage {
    /// As bytes. Values too long for the field's length are cut at a character.
    pub fn encode(&self) -> Vec<u8> {
        let time = self.time.map(|seconds| seconds.to_string());
        let Lineage { source, uuid, host, time: _, program, identity, etag, state, base } = self;
        let fields = [source, uuid, host, &time, program, identity, etag, state, base];
        let mut bytes = Vec::new();
        for (tag, value) in (1u16..).zip(fields) {
            let Some(value) = value else { continue };
            let value = &value.as_bytes()[..value.floor_char_boundary(4096)];
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
    }

    /// From bytes whose checksum fits.
    ///
    /// # Errors
    /// [`WireError::Field`] when a field runs past the end.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, WireError> {
        let mut lineage = Lineage::default();
        while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
            let tag = u16::from_le_bytes([head[0], head[1]]);
            let length = u16::from_le_bytes([head[2], head[3]]);
            let Some((value, rest)) = rest.split_at_checked(length.into()) else {
                return Err(WireError::Field { what: "length of a lineage field", value: length.into() });
            };
            // Shown to people and compared, never executed: a value that is not UTF-8 is worth showing too.
            let text = || Some(String::from_utf8_lossy(value).into_owned());
            match tag {
                1 => lineage.source = text(),
                2 => lineage.uuid = text(),
                3 => lineage.host = text(),
                4 => lineage.time = text().and_then(|t| t.parse().ok()),
                5 => lineage.program = text(),
                6 => lineage.identity = text(),
                7 => lineage.etag = text(),
                8 => lineage.state = text(),
                9 => lineage.base = text(),
                _ => {}
            }
            bytes = rest;
        }
        if bytes.is_empty() {
            Ok(lineage)
        } else {
            Err(WireError::Field { what: "number of bytes after the lineage", value: bytes.len() as u64 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unknown_field_is_passed_over() {
        let bytes = [&[99, 0, 2, 0, 1, 2][..], &[3, 0, 1, 0, b'h']].concat();
        let lineage = Lineage::decode(&bytes).expect("it is well formed");
        assert_eq!(lineage, Lineage { host: Some("h".into()), ..Lineage::default() });
    }

    proptest! {
        #[test]
        fn a_lineage_survives_the_wire(source in ".{0,40}", host in proptest::option::of(".{0,40}"), time: u64) {
            let lineage = Lineage { source: Some(source), host, time: Some(time), ..Lineage::default() };
            prop_assert_eq!(Lineage::decode(&lineage.encode()).expect("own encoding"), lineage);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Lineage::decode(&bytes);
        }
    }
}
