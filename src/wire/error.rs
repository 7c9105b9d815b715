//! What can be wrong with a stream.

use std::io;

use crate::error::Error;

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The reader below failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stream ends in the middle of something.
    #[error("the stream ends here, {missing} byte{} short of the next piece", if *missing == 1 { "" } else { "s" })]
    Truncated {
        /// How many bytes of the piece being read are missing.
        missing: u64,
    },
    /// Nothing came at all.
    #[error("it is empty")]
    Empty,
    /// The first bytes are not a prelude's.
    #[error("not an lvpipe stream{}", .looks_like.map(|what| format!(": it looks like {what}")).unwrap_or_default())]
    Foreign {
        /// What the first bytes are known from, with the article.
        looks_like: Option<&'static str>,
    },
    /// The format's version is not known here.
    #[error("the stream is of format version {theirs}, this lvpipe reads version {ours}: {} is older", if theirs > ours { "this lvpipe" } else { "the sender" })]
    Version {
        /// The stream's version.
        theirs: u16,
        /// The version read here.
        ours: u16,
    },
    /// The stream needs features not known here.
    #[error(
        "the stream needs features {0:#010x} that this lvpipe does not have: this lvpipe is older than the sender"
    )]
    Features(u32),
    /// A checksum does not fit.
    #[error("the {what} is damaged: its checksum is {found:08x}, not {expected:08x}")]
    Checksum {
        /// Which header or table.
        what: &'static str,
        /// The CRC32C that the stream announces.
        expected: u32,
        /// The CRC32C of what arrived.
        found: u32,
    },
    /// A part's content is not what was sent.
    #[error("the part's content does not match its digest")]
    Digest,
    /// A field has a value it cannot have. The checksum fits, so the sender made it so.
    #[error("the {what} cannot be {value}")]
    Field {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// The payload does not decompress to what was announced.
    #[error("the part does not decompress: {0}")]
    Codec(String),
}

impl WireError {
    /// As the program's error: `on` names the stream, `at` the place in it.
    pub fn at(self, on: impl std::fmt::Display, at: impl std::fmt::Display) -> Error {
        let what = match &self {
            WireError::Io(error) => return Error::io("cannot read stream", on, error),
            WireError::Truncated { .. } | WireError::Empty => "stream is truncated",
            WireError::Foreign { .. } | WireError::Version { .. } | WireError::Features(_) => "cannot read stream",
            _ => "stream is corrupt",
        };
        let at = at.to_string();
        let on = if at.is_empty() { on.to_string() } else { format!("{on} {at}") };
        let error = Error::stream(what, on, &self);
        match &self {
            WireError::Foreign { looks_like: Some(what) } if what.contains("zstd") || what.contains("gzip") => {
                error.way_out("decompress it first: an lvpipe stream is compressed inside")
            }
            WireError::Empty => error.way_out("the sender has ended before it sent anything: see its message"),
            WireError::Foreign { .. } => error.way_out("a stream is what `lvpipe send` writes"),
            WireError::Version { theirs, ours } if theirs > ours => {
                error.way_out(format!("update this lvpipe ({})", env!("CARGO_PKG_VERSION")))
            }
            WireError::Features(_) => error.way_out(format!("update this lvpipe ({})", env!("CARGO_PKG_VERSION"))),
            WireError::Version { .. } => error.way_out("update the sender's lvpipe"),
            _ => error,
        }
    }
}

/// Compares a checksum.
pub(super) fn check_crc(what: &'static str, expected: u32, found: u32) -> Result<(), WireError> {
    if expected == found { Ok(()) } else { Err(WireError::Checksum { what, expected, found }) }
}
