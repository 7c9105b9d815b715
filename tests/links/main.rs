//! Transfers over connections, through the binary. One file a behaviour:

/// Images whose blocks are stamped with their place, for all of them.
#[path = "../transfer/image.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod image;
/// A receiver that listens, and senders to it, for all of them.
mod party;
/// lvpipe as a process, for all of them.
#[path = "../transfer/process.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod process;
/// A network that cuts, corrupts, goes silent and crawls.
mod proxy;

/// A supervisor that hands over a socket and is told how it goes.
mod activation;
/// Ends of a run from outside: both sides end, and say why.
mod ending;
/// Connections that break, lie, die and crawl: what was sent arrives, and the run ends.
mod faults;
/// Migrations that are refused.
mod migrate;
/// Receivers started over ssh: a stand-in for it, and the real one.
mod over_ssh;
/// What a receiver or a sender refuses is told on the other side; strangers are dropped.
mod refused;
/// The far side of a replica, with files; and what a command line of `replicate` cannot ask for.
mod replica;
/// Transfers that end early are gone on with, and only then.
mod resume;
/// The same over a plain pipe, by a token.
mod resume_piped;
/// What was sent is what is received, over one link and over many.
mod round_trip;
/// The rounds of a migration, at their far side.
mod rounds;
/// A far side that takes one transfer after the other.
mod session;
/// Several receivers at once.
mod several;
