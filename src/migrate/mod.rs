//! Moving a volume while it is written: rounds of deltas until little is left, a pause for that, and on with the copy.

pub mod plan;
