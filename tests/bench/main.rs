//! `lvpipe bench`, through the binary. One file a behaviour:

/// Images whose blocks are stamped with their place, for all of them.
#[path = "../transfer/image.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod image;
/// lvpipe as a process, for all of them.
#[path = "../transfer/process.rs"]
#[allow(dead_code, reason = "shared with the tests of pipes, which need more of it")]
mod process;
/// A benchmark, and what its JSON says.
mod report;

/// The far side, over a stand-in for ssh.
mod far_side;
/// What is estimated follows from what was measured.
mod figures;
/// Nothing that exists is written to, and nothing is left.
mod scratch;
