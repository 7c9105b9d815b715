//! lvpipe moves volumes: used blocks only, compressed in parallel, verified, written sparse.
//!
//! The rooms, from the ground up; each knows those before it in this list and none after:
//!
//! - [`error`], [`stop`], [`byte_size`], [`stdio`], [`moment`], `file_name`: what fails and with which exit status; how a
//!   run ends early; sizes as typed; standard input and output; a moment as a part of a name; any name as a file's.
//! - [`command`]: running other programs: LVM's, dmsetup.
//! - [`progress`]: what the admin sees: bar, plain lines, JSON.
//! - [`reserve`]: what is held outside the process, and how it is let go, even by the next run.
//! - [`thin`]: dm-thin: the pool, its metadata snapshot, the on-disk B-trees.
//! - [`usedmap`]: the map of what a volume holds, and where maps come from.
//! - [`volume`]: sources and targets, LVM, the guards before a write.
//! - [`wire`]: bytes on the wire: prelude, frames, codec, digests.
//! - [`link`]: where frames go: pipes, and connections, encrypted, that are dialled and listened for.
//! - [`journal`]: what of a transfer the target has, for going on with it after a crash; the token that says so.
//! - [`buffer`]: the plain byte buffer in mbuffer's place: ring, outputs, volumes (media), hashes, watermarks.
//! - [`engine`]: moving parts: read, encode, send / receive, decode, write.
//! - [`replicate`]: a copy that each run brings up to date: what there is on both sides, what comes next, what is kept.
//! - [`measure`]: what a transfer would run at, and what holds it up.
//! - [`migrate`]: what both sides of a migration or a replication say to each other, and when to switch.
//! - [`http`]: volumes over HTTP: served to any client, pulled in parallel.
//! - [`cli`]: a file a subcommand.

pub mod byte_size;
pub mod command;
pub mod error;
mod file_name;
pub mod moment;
pub mod stdio;
pub mod stop;

pub mod buffer;
pub mod cli;
pub mod engine;
pub mod http;
pub mod journal;
pub mod link;
pub mod measure;
pub mod migrate;
pub mod progress;
pub mod replicate;
pub mod reserve;
pub mod thin;
pub mod usedmap;
pub mod volume;
pub mod wire;
