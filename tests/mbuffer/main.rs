//! In mbuffer's place: what lvpipe does there, through the binary, most of it side by side with the real mbuffer.
//!
//! One file a behaviour:
//! - `grammar`: options that are refused, and the order in which they count.
//! - `matrix`: combinations of options: same bytes, same status, same shape of what is said.
//! - `borrowed`: producers that lend their pages, and change them later.
//! - `files`: opening outputs, several of them, some that fail.
//! - `shared`: pipes that several processes read or write.
//! - `closing`: readers and peers that go away, full disks, closed streams.
//! - `network`: each pairing of lvpipe and mbuffer.
//! - `volumes`, `tape`: changing media by size, by a full medium, at the end of the input.
//! - `terminal`: the questions asked there.
//! - `signals`: prompt ends, and the watchdog.
//! - `flow`: rates and watermarks.
//! - `hashes`: every algorithm.
//! - `configuration`: the mbuffer.rc files.
//! - `seen`: status line, summary, log file.
//! - `users`: the command lines of backup programs.
//!
//! `pair` runs both programs. The real mbuffer has to be installed (`apt-get install mbuffer`).

mod borrowed;
mod closing;
mod configuration;
mod files;
mod flow;
mod grammar;
mod hashes;
mod matrix;
mod network;
mod pair;
mod seen;
mod shared;
mod signals;
mod tape;
mod terminal;
mod users;
mod volumes;
