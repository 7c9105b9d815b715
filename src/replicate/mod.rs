//! A copy that is kept up to date: each run sends the next delta, and keeps the last snapshots on both sides.
//!
//! The sender asks the far side what is there ([`order`]), decides from that and from its own snapshots what comes first
//! ([`plan`]), and sends, as ever. What is kept where: [`far`],
//! [`near`]; how a target goes back to an earlier state: [`put_back`]. Nothing is remembered anywhere but with the
//! volumes themselves, by LVM's tags and a file's attribute: killed at any moment, the next run finds what is there.

pub mod far;
pub mod near;
pub mod order;
pub mod plan;
mod prune;
pub mod put_back;
