//! Volumes over HTTP: served to any client, pulled by lvpipe in parallel.
//!
//! - [`volume_map`]: which extents of a volume are used, as it goes over HTTP: JSON, and compact.
//! - [`digest_field`]: the digests in header fields.
//! - [`serve`](mod@serve): volumes to any client: `lvpipe serve`.
//! - [`pull`](mod@pull): a volume from a server, lvpipe's or any: `lvpipe pull`.
//!
//! hyper and tokio are at home in this room and in no other.
//!
//! # Resources
//!
//! | resource | methods | what |
//! |---|---|---|
//! | `/` | GET HEAD | a page for people; JSON where `Accept` prefers it |
//! | `/index.json` | GET HEAD | the same as JSON |
//! | `/metrics` | GET HEAD | OpenMetrics text |
//! | `/NAME` | GET HEAD | the raw volume: ranges, a strong ETag. `Link: </NAME/map>; rel="describedby"` tells a puller that this server is an lvpipe |
//! | `/NAME/map` | GET HEAD | its map: JSON, or compact where `Accept` prefers `application/vnd.lvpipe.map`, or by `?format=compact`; zstd where taken |
//! | `/NAME/parts/N` | GET HEAD | part N of the grid, holes as zeros; zstd where taken; `Repr-Digest` and `Unencoded-Digest` |
//! | `/NAME/parts?first=A&last=B` | GET HEAD | a batch: `multipart/mixed`, for each piece of data in parts A to B, in order of offset, `Content-Range`, `Content-Encoding: zstd` or none, `Content-Length`, `Unencoded-Digest`; at most 256 parts |
//!
//! A piece lies within one part; pieces that are less than 64 KiB apart are one, and what lies between are zeros. A
//! reader needs no rule for that: it takes each piece as what it says it is, and a part is complete when its pieces
//! cover all of the map's extents in it.
//!
//! Every resource of a volume takes the volume's own ETag in `If-Match`, besides its own. A regular file's tag stays as
//! long as the file does, over several runs; everything else's is of one run. A puller names it in every request, and
//! 412 tells it that the volume is another one now.

pub mod digest_field;
pub mod pull;
pub mod serve;
pub mod volume_map;
