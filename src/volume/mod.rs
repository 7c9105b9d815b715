//! volume

pub mod lvm;
