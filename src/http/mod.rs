//! Volumes over HTTP: served to any client, pulled by lvpipe in parallel.
//!
//! - [`volume_map`]: which extents of a volume are used, as it goes over HTTP: JSON, and compact.
//! - [`digest_field`]: the digests in header fields.
//! - [`serve`](mod@serve): volumes to any client.
//! - [`pull`](mod@pull): a volume from a server, lvpipe's or any.

pub mod digest_field;
pub mod pull;
pub mod serve;
pub mod volume_map;
