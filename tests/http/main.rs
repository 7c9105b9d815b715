//! Volumes over HTTP, through the binary. One file a behaviour:

/// Images whose blocks are stamped with their place, for all of them.
#[path = "../transfer/image.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod image;
/// lvpipe as a process, for all of them.
#[path = "../transfer/process.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod process;
/// A server, and requests to it byte by byte, for all of them.
mod server;

/// Memory, clients and their patience are bounded.
mod bounds;
/// Other people's clients read the volume: curl, wget, aria2c, Python.
mod clients;
/// How a server ends, and what it does not start to serve.
mod ending;
/// The page, its JSON, and the metrics.
mod pages;
/// The map, parts, and batches of them.
mod parts;
/// Ranges and conditions, by RFC 9110.
mod ranges;
/// Who has no token, speaks no HTTP, or tries tricks.
mod strangers;
