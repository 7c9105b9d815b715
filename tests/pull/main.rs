//! Volumes pulled over HTTP, through the binary. One file a behaviour:

/// Images whose blocks are stamped with their place, for all of them.
#[path = "../transfer/image.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod image;
/// A server of the tests' own, that says what they want it to.
mod origin;
/// lvpipe as a process, for all of them.
#[path = "../transfer/process.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod process;
/// A network that cuts, corrupts, goes silent and crawls.
#[path = "../links/proxy.rs"]
mod proxy;
/// A running `lvpipe serve`, and pulls from it.
mod server;

/// Connections that break, lie and stall; servers that die and come back.
mod faults;
/// Servers that are not lvpipe's: nginx, Python's, and those with ranges or without.
mod foreign;
/// Servers that mean harm.
mod hostile;
/// What is refused, and in which words.
mod refused;
/// Pulls that end early are gone on with, and only then.
mod resume;
/// What is served is what arrives.
mod round_trip;
