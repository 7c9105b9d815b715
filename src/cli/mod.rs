//! One file a subcommand: its options and its run; mbuffer's own grammar in a room of its own.

pub mod mbuffer;
