//! `cargo xtask generate`: manual pages and completions, from the one definition of the options.
//!
//! What a page says about its command comes from the command itself: options and their help from clap, sections such
//! as EXAMPLES from the text behind its options, which `--help` prints as well (see [`page`]). What is the same on several
//! pages, such as EXIT STATUS, comes from [`sections`]. A test regenerates all files and compares, so that what is
//! checked in is never stale.

mod completions;
mod page;
mod sections;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Command;
use lvpipe::cli::mbuffer;

use crate::binary::repository;

/// Write man/ and completions/ from the definition of the options
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; exit status 1 if a file is stale
    #[arg(long)]
    check: bool,
}

/// The directories that hold generated files, and nothing else.
const DIRECTORIES: [&str; 2] = ["man", "completions"];

/// Writes the files, or checks them.
pub fn run(args: &Args) -> Result<()> {
    let wanted = files(lvpipe::cli::command())?;
    if args.check {
        let stale = stale(repository(), &wanted)?;
        ensure!(stale.is_empty(), "stale: {}\n  cargo xtask generate", stale.join(", "));
        return Ok(());
    }
    for stale in stale(repository(), &wanted)? {
        let path = repository().join(&stale);
        match wanted.get(Path::new(&stale)) {
            Some(content) => {
                fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
                fs::write(&path, content)?;
            }
            None => fs::remove_file(&path)?,
        }
        println!("{stale}");
    }
    Ok(())
}

/// All generated files: their paths in the repository and what is in them.
fn files(command: Command) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::from_iter(completions::all(&command));
    // A page for `help` would say nothing.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    for page in page::all(&command)? {
        files.insert(Path::new("man").join(page.file), page.roff);
    }
    // In mbuffer's place the options are a table of their own, and so is the page.
    files.insert("man/lvpipe-buffer.1".into(), mbuffer::man::page().into_bytes());
    Ok(files)
}

/// Those paths whose file is not as wanted: different, missing, or not wanted at all.
fn stale(root: &Path, wanted: &BTreeMap<PathBuf, Vec<u8>>) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for (path, content) in wanted {
        if fs::read(root.join(path)).ok().as_ref() != Some(content) {
            stale.push(path.display().to_string());
        }
    }
    for directory in DIRECTORIES {
        let Ok(entries) = fs::read_dir(root.join(directory)) else { continue };
        for entry in entries {
            let path = Path::new(directory).join(entry?.file_name());
            if !wanted.contains_key(&path) {
                stale.push(path.display().to_string());
            }
        }
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_in_is_what_would_be_generated() {
        let wanted = files(lvpipe::cli::command()).expect("generated");
        let stale = stale(repository(), &wanted).expect("compared");
        assert!(stale.is_empty(), "stale: {}; run `cargo xtask generate`", stale.join(", "));
    }

    #[test]
    fn a_changed_a_missing_and_an_unknown_file_are_stale() {
        let root = tempfile::tempdir().expect("a scratch directory");
        fs::create_dir(root.path().join("man")).expect("made");
        for (file, content) in [("man/same.1", "x"), ("man/changed.1", "x"), ("man/unknown.1", "x")] {
            fs::write(root.path().join(file), content).expect("written");
        }
        let wanted = [("man/same.1", "x"), ("man/changed.1", "y"), ("man/missing.1", "z")]
            .map(|(file, content)| (PathBuf::from(file), content.as_bytes().to_vec()));
        let stale = stale(root.path(), &BTreeMap::from(wanted)).expect("compared");
        assert_eq!(stale, ["man/changed.1", "man/missing.1", "man/unknown.1"]);
    }
}
