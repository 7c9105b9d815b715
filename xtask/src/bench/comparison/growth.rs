//! How the time of lvpipe with its defaults grows with what a volume holds, and with its size: `send -O` and `recv`
//! between the two hosts without a limit on the link, in turn.
//!
//! The volumes are made for it and go away with it: so many used bytes, taken from the ext4 image, in stretches of 4 MiB
//! that are spread evenly over the volume.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lvpipe::byte_size::ByteSize;

use super::contest::Contest;
use super::record::{Growth, Point, Rate};
use super::ways::Way;
use super::{room, sparse};
use crate::bench::two_hosts::TwoHosts;
use crate::binary;

/// What is data in one piece, in bytes.
const STRETCH: u64 = 4 << 20;

/// The volumes of both curves.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The size of the first volumes, in bytes.
    pub size: u64,
    /// How much each of them holds.
    pub used: [u64; 4],
    /// What the second volumes hold, each.
    pub held: u64,
    /// How large each of them is.
    pub sizes: [u64; 4],
}

impl Plan {
    /// Up to the size and the content of the ext4 image; up to 4 TiB with 512 MiB in it.
    pub const FULL: Plan = Plan {
        size: 8 << 30,
        used: [512 << 20, 1 << 30, 3 << 29, 2 << 30],
        held: 512 << 20,
        sizes: [8 << 30, 64 << 30, 512 << 30, 4 << 40],
    };
    /// To see whether it works.
    pub const QUICK: Plan = Plan {
        size: 512 << 20,
        used: [16 << 20, 32 << 20, 64 << 20, 96 << 20],
        held: 32 << 20,
        sizes: [512 << 20, 4 << 30, 32 << 30, 256 << 30],
    };

    /// Bytes on disk, all volumes together.
    pub fn bytes(&self) -> u64 {
        self.used.iter().sum::<u64>() + self.held * self.sizes.len() as u64
    }
}

/// Measures both curves. `image` is where the data comes from.
pub fn measure(contest: &Contest<'_>, image: &Path, directory: &Path, plan: &Plan) -> Result<Growth> {
    let scratch = binary::scratch(&directory.join("growth"))?;
    room::on_disk(directory, plan.bytes(), "the volumes whose growth is measured")?;
    let make = |used: u64, size: u64| -> Result<(PathBuf, Point)> {
        let path = scratch.path().join(format!("{used}-of-{size}"));
        fill(image, &path, used, size).with_context(|| path.display().to_string())?;
        Ok((path, Point { used, size, seconds: Vec::new() }))
    };
    let by_used = plan.used.map(|used| make(used, plan.size));
    let by_size = plan.sizes.map(|size| make(plan.held, size));
    let mut all: Vec<(PathBuf, Point)> = by_used.into_iter().chain(by_size).collect::<Result<_>>()?;
    nix::unistd::sync();
    let hosts = TwoHosts::new(Rate::Unlimited.limit())?;
    for round in 0..contest.runs {
        let mut order: Vec<usize> = (0..all.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let (path, point) = &mut all[index];
            let run = contest.run(&hosts, Way::Defaults, path)?;
            eprintln!("growth: {} of {}: {:.3} s", ByteSize(point.used), ByteSize(point.size), run.seconds);
            point.seconds.push(run.seconds);
        }
    }
    let mut points = all.into_iter().map(|(_, point)| point);
    Ok(Growth { by_used: points.by_ref().take(plan.used.len()).collect(), by_size: points.collect() })
}

/// Makes one volume.
fn fill(image: &Path, path: &Path, used: u64, size: u64) -> Result<()> {
    let (source, volume) = (File::open(image)?, File::create(path)?);
    volume.set_len(size)?;
    let count = used / STRETCH;
    let distance = size / count / STRETCH * STRETCH;
    let mut buffer = vec![0; usize::try_from(STRETCH)?];
    let (mut stretch, mut filled) = (0, 0);
    'volume: loop {
        // Over again where the image holds less.
        for (begin, end) in sparse::data(&source)? {
            let mut at = begin;
            while at < end {
                let length = usize::try_from(end - at)?.min(buffer.len() - filled);
                source.read_exact_at(&mut buffer[filled..filled + length], at)?;
                at += length as u64;
                filled += length;
                if filled == buffer.len() {
                    volume.write_all_at(&buffer, stretch * distance)?;
                    (stretch, filled) = (stretch + 1, 0);
                    if stretch == count {
                        break 'volume;
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_hold_what_they_are_to_spread_over_their_size() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let [image, path] = ["image", "volume"].map(|name| directory.path().join(name));
        let bytes: Vec<u8> = (0..5 << 20).map(|at: u32| (at % 251) as u8 + 1).collect();
        std::fs::write(&image, &bytes).expect("an image of less than is wanted");
        fill(&image, &path, 16 << 20, 1 << 30).expect("made");
        let volume = File::open(&path).expect("it is there");
        assert_eq!(volume.metadata().expect("its size").len(), 1 << 30);
        let data = sparse::data(&volume).expect("its data");
        assert_eq!(data, [0, 1, 2, 3].map(|index| (index * (256 << 20), index * (256 << 20) + STRETCH)));
        let mut byte = [0];
        volume.read_exact_at(&mut byte, (256 << 20) + (1 << 20)).expect("read");
        assert_eq!(byte[0], bytes[0], "the image begins again after its 5 MiB");
    }

    #[test]
    fn plans_fit_their_volumes() {
        for plan in [Plan::FULL, Plan::QUICK] {
            assert!(plan.used.iter().all(|used| used * 2 <= plan.size * 2 && used % STRETCH == 0));
            assert!(plan.sizes.iter().all(|size| plan.held <= *size));
            assert_eq!((plan.size, plan.used[3] <= plan.size), (plan.sizes[0], true));
        }
    }
}
