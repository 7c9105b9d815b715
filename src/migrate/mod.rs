//! Transfers that belong together: the rounds of a live migration, the next delta of a replica.
//!
//! The sender starts one far side for all of them and gives it [orders](Order), one after the other.
//!
//! A live migration moves a volume while it is written: rounds of deltas until little is left ([`plan`] says when), a
//! pause for that, and on with the copy.

mod order;
pub mod plan;

pub use order::Order;
