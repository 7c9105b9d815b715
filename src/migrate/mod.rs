//! Transfers that belong together: the rounds of a live migration, the next delta of a replica, the measurements of a
//! benchmark.
//!
//! The sender starts one far side for all of them and gives it [orders](Order), one after the other.

mod order;

pub use order::Order;
