//! What the benchmark works on, made once and kept under target/bench: an ext4 image, the metadata of a thin pool,
//! an empty volume too large to read.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lvpipe::byte_size::ByteSize;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tempfile::TempDir;

use crate::{binary, ext4_image};

/// The pool's chunk size in bytes.
const CHUNK: u64 = 64 << 10;

/// The files, and how large they are.
pub struct Material {
    directory: PathBuf,
    image: PathBuf,
    metadata: PathBuf,
    thin_volume: PathBuf,
    size: u64,
    mappings: u64,
}

impl Material {
    /// ext4 of 8 GiB with 2 GiB of files; 3 million mappings.
    pub fn full() -> Result<Self> {
        Self::provide("full", 8 << 30, 2 << 30, 3_000_000)
    }

    /// ext4 of 512 MiB with 128 MiB of files; 100 000 mappings.
    pub fn small() -> Result<Self> {
        Self::provide("small", 512 << 20, 128 << 20, 100_000)
    }

    fn provide(name: &str, size: u64, content: u64, mappings: u64) -> Result<Self> {
        let directory = binary::target().join("bench").join(name);
        fs::create_dir_all(&directory)?;
        let image = directory.join("disk.img");
        if !image.exists() {
            eprintln!("making {}", image.display());
            ext4_image::make(&image, size, content)?;
        }
        let metadata = directory.join("metadata");
        if !metadata.exists() {
            eprintln!("making {}", metadata.display());
            make_metadata(&metadata, mappings)?;
        }
        let thin_volume = directory.join("thin-volume");
        File::create(&thin_volume)?.set_len(mappings * 2 * CHUNK)?;
        Ok(Material { directory, image, metadata, thin_volume, size, mappings })
    }

    /// Where outputs go, on the same disk.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The ext4 image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Metadata of a pool with one thin device, 1.
    pub fn metadata(&self) -> &Path {
        &self.metadata
    }

    /// What stands for that device: a hole of its size, as only its map is looked at.
    pub fn thin_volume(&self) -> &Path {
        &self.thin_volume
    }

    /// How many mappings that device has, no two of them adjacent.
    pub fn mappings(&self) -> u64 {
        self.mappings
    }

    /// A file of so many bytes of noise, dense; made when it is first asked for.
    pub fn noise(&self, bytes: u64) -> Result<PathBuf> {
        let path = self.directory.join("noise");
        if fs::metadata(&path).map_or(0, |meta| meta.len()) != bytes {
            let partial = path.with_extension("partial");
            std::io::copy(&mut File::open("/dev/urandom")?.take(bytes), &mut File::create(&partial)?)?;
            fs::rename(&partial, &path)?;
        }
        Ok(path)
    }

    /// The image in words.
    pub fn describe(&self) -> String {
        use std::os::unix::fs::MetadataExt;
        let used = fs::metadata(&self.image).map_or(0, |meta| meta.blocks() * 512);
        format!("ext4 image of {}, {} of it used, in the page cache", ByteSize(self.size), ByteSize(used))
    }

    /// Reads the image once, so that every contender finds it in the page cache.
    pub fn warm(&self) -> Result<()> {
        warm(&self.image)
    }

    /// A directory where a file may be 1 PiB large: ext4 ends at 16 TiB, a tmpfs does not.
    pub fn room_for_a_pebibyte(&self) -> Result<TempDir> {
        for place in [self.directory(), Path::new("/dev/shm"), Path::new("/tmp")] {
            let Ok(directory) = tempfile::tempdir_in(place) else { continue };
            let probe = directory.path().join("probe");
            if make_hole(&probe).is_ok() {
                fs::remove_file(probe)?;
                return Ok(directory);
            }
        }
        anyhow::bail!("no file system here takes a file of 1 PiB: mount a tmpfs at /dev/shm")
    }
}

/// Reads a file into the page cache.
pub fn warm(path: &Path) -> Result<()> {
    std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    Ok(())
}

/// A file of 1 PiB that is one hole.
pub fn make_hole(path: &Path) -> Result<()> {
    Ok(File::create(path)?.set_len(1 << 50)?)
}

/// Drops a file from the page cache.
pub fn make_cold(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).context("posix_fadvise")
}

/// Lets thin_restore make the metadata of one device whose every second chunk is mapped, to data chunks that are
/// not in order: nothing can be merged to runs.
fn make_metadata(path: &Path, mappings: u64) -> Result<()> {
    let (xml, partial) = (path.with_extension("xml"), path.with_extension("partial"));
    write_xml(&xml, mappings)?;
    // Generous: a leaf's entry is 16 bytes, leaves may be half empty, and there are the space maps.
    File::create(&partial)?.set_len((mappings * 64).max(16 << 20))?;
    let status = Command::new("thin_restore").args(["-q", "-i"]).arg(&xml).arg("-o").arg(&partial).status()?;
    ensure!(status.success(), "thin_restore: {status}");
    fs::remove_file(&xml)?;
    Ok(fs::rename(&partial, path)?)
}

fn write_xml(path: &Path, mappings: u64) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let sectors = CHUNK / 512;
    writeln!(
        out,
        r#"<superblock uuid="" time="0" transaction="1" version="2" data_block_size="{sectors}" nr_data_blocks="{mappings}">"#
    )?;
    writeln!(
        out,
        r#"<device dev_id="1" mapped_blocks="{mappings}" transaction="0" creation_time="0" snap_time="0">"#
    )?;
    // A stride that shares no factor with the number of chunks visits each once.
    let stride = (mappings / 3..mappings).find(|stride| gcd(*stride, mappings) == 1).unwrap_or(1);
    for index in 0..mappings {
        let data = index * stride % mappings;
        writeln!(out, r#"<single_mapping origin_block="{}" data_block="{data}" time="0"/>"#, index * 2)?;
    }
    writeln!(out, "</device>\n</superblock>")?;
    Ok(out.flush()?)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
