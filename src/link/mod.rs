//! Where frames go: a pipe.

pub mod pipe;
