//! Transfers over connections, through the binary. One file a behaviour:

/// Images whose blocks are stamped with their place, for all of them.
#[path = "../transfer/image.rs"]
mod image;
/// A receiver that listens, and senders to it, for all of them.
mod party;
/// lvpipe as a process, for all of them.
#[path = "../transfer/process.rs"]
mod process;
/// A network that cuts, corrupts, goes silent and crawls.
mod proxy;

/// Connections that break, lie, die and crawl: what was sent arrives, once.
mod faults;
/// What was sent is what is received, over one link and over many.
mod round_trip;
