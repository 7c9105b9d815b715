//! `cargo xtask demo`: the main job on a volume made for it, so that one sees what lvpipe does before trusting it
//! with a disk. An ext4 image is sent and received over a pipe, with the bar, and compared with a dense copy.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lvpipe::byte_size::ByteSize;

use crate::pipeline::Pipeline;
use crate::setup::{self, Task};
use crate::{binary, ext4_image};

/// Install what is missing, then send and receive a real ext4 image over a pipe and compare
#[derive(clap::Args)]
pub struct Args {
    /// Size of the volume
    #[arg(long, default_value = "4G")]
    size: ByteSize,
    /// Bytes of files on it, taken from /usr
    #[arg(long, default_value = "500M")]
    content: ByteSize,
}

/// Makes the image, copies it in both ways, compares, and takes everything away again.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure_packages(&[Task::Demo])?;
    let lvpipe = binary::release()?;
    let scratch = binary::scratch(&binary::target().join("demo"))?;
    let [image, copy, dense] = ["disk.img", "copy.img", "dense.img"].map(|name| scratch.path().join(name));

    println!("Making disk.img: ext4, {}, with files of /usr on it", args.size);
    let content = ext4_image::make(&image, args.size.0, args.content.0)?;
    println!("  {} of files\n", ByteSize(content));

    println!("$ lvpipe map disk.img");
    let status = Command::new(&lvpipe).arg("map").arg(&image).status()?;
    ensure!(status.success(), "lvpipe map: {status}");

    println!("\n$ lvpipe send disk.img | lvpipe recv copy.img");
    let sparse = Pipeline::new(&[&lvpipe, &"send", &image]).pipe(&[&lvpipe, &"recv", &copy]).run()?;
    println!("\n$ cat disk.img > dense.img; sync dense.img");
    let dense_copy = Pipeline::new(&[&"cat", &image]).output(&dense).run()?;
    // lvpipe's time includes this: it says that it is done when the data is on the disk.
    let on_disk = Pipeline::new(&[&"sync", &dense]).run()?;

    println!("\n{:10} {:>10} {:>10} {:>8}  sha256", "", "size", "on disk", "time");
    let digest = row("disk.img", &image, None)?;
    let copies = [("copy.img", &copy, sparse.time), ("dense.img", &dense, dense_copy.time + on_disk.time)];
    for (name, path, time) in copies {
        ensure!(row(name, path, Some(time))? == digest, "{name} differs from disk.img");
    }
    println!(
        "\nAll equal. lvpipe took {:.2} of the time of the dense copy.",
        sparse.time.as_secs_f64() / (dense_copy.time + on_disk.time).as_secs_f64()
    );
    Ok(())
}

/// Prints a file's line of the table; returns its digest.
fn row(name: &str, path: &Path, time: Option<Duration>) -> Result<String> {
    let meta = fs::metadata(path)?;
    let digest = Command::new("sha256sum").arg(path).output()?;
    ensure!(digest.status.success(), "sha256sum: {}", digest.status);
    let digest = String::from_utf8(digest.stdout)?;
    let digest = digest.split_whitespace().next().context("sha256sum prints a digest")?.to_string();
    // st_blocks counts units of 512 bytes, whatever the file system's block size: stat(2).
    let (size, on_disk) = (ByteSize(meta.size()).to_string(), ByteSize(meta.blocks() * 512).to_string());
    let time = time.map(|time| format!("{:.1} s", time.as_secs_f64())).unwrap_or_default();
    println!("{name:10} {size:>10} {on_disk:>10} {time:>8}  {digest}");
    Ok(digest)
}
