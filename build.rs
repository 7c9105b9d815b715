//! Puts into the program what it tells of itself: its manual pages and completions, as they are checked in, and the
//! commit that it was built from.

#[path = "build/commit.rs"]
mod commit;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut table = String::new();
    for (directory, name) in [("man", "PAGES"), ("completions", "COMPLETIONS")] {
        println!("cargo::rerun-if-changed={directory}");
        embed(&mut table, &root.join(directory), name)?;
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("documents.rs"), table)?;
    println!("cargo::rustc-env=LVPIPE_TARGET={}", env::var("TARGET")?);
    // A package's build has no repository, and says itself what it is built from.
    println!("cargo::rerun-if-env-changed=LVPIPE_COMMIT");
    let commit = env::var("LVPIPE_COMMIT").ok().or_else(|| commit(&root)).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=LVPIPE_COMMIT={commit}");
    Ok(())
}

/// A table of a directory's files, each with its name.
fn embed(table: &mut String, directory: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    writeln!(table, "static {name}: &[(&str, &str)] = &[")?;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        writeln!(table, "    ({name:?}, include_str!({file:?})),")?;
    }
    writeln!(table, "];")?;
    Ok(())
}

/// The repository's commit, where this is a clone of it. Only for what is released: otherwise each commit would have
/// everything built anew.
fn commit(root: &Path) -> Option<String> {
    if env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let commit = commit::of(root)?;
    // What the answer hangs on: another commit, and a change of what would be compiled anew in any case.
    for path in commit::PARTS.iter().map(|part| root.join(part)).chain(commit::log(root)) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    Some(commit)
}
