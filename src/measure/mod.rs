//! Measuring what a transfer would run at: for sizing a migration before it begins.
//!
//! In: a source with its map, a place where the target is or would be, the way to another machine; and the time that it
//! may all take. Out: [`figures`], which are what is printed and what the far side tells, and an [`estimate`](mod@estimate) that
//! follows from them by arithmetic alone.
//!
//! What is measured is what a transfer does, by the engine's own pieces ([`crate::engine::trial`]):
//! - [`machine`]: the source, read at places all over what is used of it ([`spread`]); how its own data compresses at
//!   each level of auto's, and how fast the processors do that and the reverse; the digests. Without a source, with
//!   [`generated`] data.
//! - [`target`]: writing to a scratch file, or a temporary thin volume, where the target would be.
//! - [`link`]: a transfer over 1, 2, 4 and 8 links to a receiver that throws everything away.
//! - [`far`]: what the far side measures of itself, one thing after the other over one ssh
//!   ([`Session`](crate::link::ssh::Session)).
//!
//! All of it runs on the caller's thread and those that the engine starts, one measurement after the other, so that
//! none disturbs another; each looks at its time before each part. Memory: the sample's buffers and the workers', out of
//! one [`Workshop`](crate::engine::Workshop), and [`generated`]'s few MiB. Nothing is held outside the process but what
//! [`crate::volume::scratch_for`] says.

pub mod estimate;
pub mod far;
pub mod figures;
pub mod generated;
pub mod link;
pub mod machine;
pub mod spread;
pub mod target;
