//! Whether there is room for images and copies, before anything is made.
//!
//! Copies are written to memory (/dev/shm): what a disk would add is the same for all who write the same bytes, and
//! where it is slower than the link it would hide what is compared. There is one copy at a time, and none after its run.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lvpipe::byte_size::ByteSize;
use nix::sys::statvfs::statvfs;

/// Where copies are.
pub const MEMORY: &str = "/dev/shm";
/// What stays free besides: for the programs themselves, and for whatever else the machine does.
const SPARE: u64 = 2 << 30;

/// Ensures that so much can still be put below a directory. `what_for` is what needs it.
pub fn on_disk(directory: &Path, bytes: u64, what_for: &str) -> Result<()> {
    let of = statvfs(directory).with_context(|| directory.display().to_string())?;
    enough(&directory.display().to_string(), of.blocks_available() * of.fragment_size(), bytes, what_for)
}

/// Ensures that copies of so many bytes fit into memory beside sources of which so many are read.
pub fn in_memory(copy: u64, sources: u64) -> Result<()> {
    on_disk(Path::new(MEMORY), copy, "a dense copy")?;
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("MemAvailable")?;
    let available: u64 = available.trim().trim_end_matches("kB").trim().parse().context("MemAvailable")?;
    enough("memory", available << 10, copy + sources + SPARE, "a dense copy in it, its source and the programs")
}

fn enough(place: &str, free: u64, needed: u64, what_for: &str) -> Result<()> {
    let missing = needed.saturating_sub(free);
    ensure!(
        missing == 0,
        "{place}: {} free, {} needed for {what_for}: {} is missing\n  --quick takes less",
        ByteSize(free),
        ByteSize(needed),
        ByteSize(missing)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        assert!(enough("here", 5, 5, "nothing").is_ok());
        let error = enough("here", 1 << 30, 3 << 30, "a copy").expect_err("too little").to_string();
        assert!(
            error.starts_with("here: 1.00 GiB free, 3.00 GiB needed for a copy: 2.00 GiB is missing\n"),
            "{error}"
        );
        assert!(on_disk(Path::new("/"), u64::MAX >> 1, "everything").is_err());
    }
}
