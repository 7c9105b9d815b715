//! Which commit a checkout is at.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What of the repository gets into the program.
pub const PARTS: [&str; 7] = ["src", "man", "completions", "build.rs", "build", "Cargo.toml", "Cargo.lock"];

/// The commit that is checked out in `root`, shortened; with `-dirty` behind it where [`PARTS`] are not as they are in
/// that commit. Nothing where this is no repository, or there is no git to ask.
pub fn of(root: &Path) -> Option<String> {
    // An archive of the sources may have been unpacked inside somebody else's repository.
    if !root.join(".git").exists() {
        return None;
    }
    let commit = git(root, &["rev-parse", "--short=10", "HEAD"])?;
    let changes = git(root, &[&["status", "--porcelain", "--"], PARTS.as_slice()].concat())?;
    Some(if changes.is_empty() { commit } else { commit + "-dirty" })
}

/// The file that git writes to whenever another commit is checked out, where it keeps one.
pub fn log(root: &Path) -> Option<PathBuf> {
    let log = root.join(git(root, &["rev-parse", "--git-path", "logs/HEAD"])?);
    log.exists().then_some(log)
}

/// What git says, if it says anything. It writes nothing: builds of one checkout may run side by side.
fn git(root: &Path, words: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // A build that a hook of some repository has started is not about that repository.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    let output = git.env("GIT_OPTIONAL_LOCKS", "0").arg("-C").arg(root).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}
