//! A realistic volume without root and without mounting: an ext4 file system in a sparse file, filled with files of
//! this machine's own /usr by `mke2fs -d`.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Makes an image of `size` bytes with up to `content` bytes of files in it. It appears under its name when it is
/// whole. Returns the bytes of the files that were put in.
pub fn make(image: &Path, size: u64, content: u64) -> Result<u64> {
    let directory = image.parent().context("an image is a file in a directory")?;
    fs::create_dir_all(directory)?;
    let stage = tempfile::Builder::new().prefix("stage").tempdir_in(directory)?;
    let mut room = content;
    stage_tree(Path::new("/usr"), stage.path(), &mut room)?;

    let partial = image.with_extension("partial");
    // mke2fs is in /usr/sbin, which is not in every user's PATH.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    fs::File::create(&partial)?.set_len(size)?;
    let status = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-L", "lvpipe", "-d"])
        .args([stage.path(), &partial])
        .env("PATH", path)
        .stdin(Stdio::null())
        .status()
        .context("mke2fs")?;
    ensure!(status.success(), "mke2fs: {status}");
    fs::rename(&partial, image)?;
    Ok(content - room)
}

/// Puts regular files and symbolic links of `from` below `to`, in order of their names, while there is room. Hard
/// links where the file system allows, so that nothing is copied twice.
fn stage_tree(from: &Path, to: &Path, room: &mut u64) -> Result<()> {
    let mut entries: Vec<PathBuf> = match fs::read_dir(from) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => return Ok(()), // a directory that this user may not read
    };
    entries.sort();
    for path in entries {
        let Ok(meta) = path.symlink_metadata() else { continue };
        let name = path.file_name().context("an entry has a name")?;
        let copy = to.join(name);
        if meta.is_dir() {
            fs::create_dir(&copy)?;
            stage_tree(&path, &copy, room)?;
        } else if meta.is_symlink() {
            symlink(fs::read_link(&path)?, &copy)?;
        } else if meta.is_file() && meta.nlink() == 1 && meta.len() <= *room {
            // What cannot be read is left out: this is about a realistic mixture, not about a copy of /usr.
            if fs::hard_link(&path, &copy).is_ok() || fs::copy(&path, &copy).is_ok() {
                *room -= meta.len();
            }
        }
    }
    Ok(())
}
