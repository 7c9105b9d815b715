//! Where things are: the repository, what cargo builds, where the tasks may leave something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory in the repository")
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), |set| repository().join(set))
}

/// A directory under this name that goes away when dropped, or, when that was interrupted, with the next one.
pub fn scratch(path: &Path) -> Result<TempDir> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| path.display().to_string())?;
    }
    let (parent, name) =
        (path.parent().context("it is in a directory")?, path.file_name().context("it has a name")?);
    Ok(tempfile::Builder::new().prefix(name).rand_bytes(0).tempdir_in(parent)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interrupted_task_left_goes_away_with_the_next() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("task");
        fs::create_dir(&path).expect("left behind");
        fs::write(path.join("copy"), "much").expect("written");
        let scratch = scratch(&path).expect("made anew");
        assert_eq!(scratch.path(), path);
        assert_eq!(fs::read_dir(&path).expect("it is there").count(), 0);
        drop(scratch);
        assert!(!path.exists());
    }
}
