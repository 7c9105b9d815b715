//! Where things are: the repository, what cargo builds, where the tasks may leave something.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory in the repository")
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), |set| repository().join(set))
}

/// Builds lvpipe as it is shipped, and says where it is.
pub fn release() -> Result<PathBuf> {
    build(&["--release"], "release")
}

/// Builds lvpipe with its own checks in, for finding faults, and says where it is.
pub fn debug() -> Result<PathBuf> {
    build(&[], "debug")
}

fn build(options: &[&str], directory: &str) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--locked", "--package", "lvpipe", "--bin", "lvpipe"])
        .args(options)
        .current_dir(repository())
        .status()?;
    ensure!(status.success(), "cargo build: {status}");
    Ok(target().join(directory).join("lvpipe"))
}
