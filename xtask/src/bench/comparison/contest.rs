//! All ways in turn, with one image over one link: A B C, C B A. Each starts from the same state, and what it has
//! written is compared with the source afterwards.
//!
//! That state: of the source all data is in the page cache and no hole is, nothing waits to be written to disk, and
//! there is no copy. A copy is written to memory, see [`super::room`].

use std::cell::Cell as Counter;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::record::{Cell, Image, Rate, Run};
use super::sparse;
use super::ways::{Setting, Way};
use crate::bench::two_hosts::TwoHosts;

/// A way that takes so long is not run again: its time is the link's, which does not vary. In seconds.
const LONG: f64 = 30.0;

/// What all runs have in common.
pub struct Contest<'a> {
    /// The program.
    pub lvpipe: &'a Path,
    /// How often each way is run.
    pub runs: u32,
    /// Where a copy goes.
    pub target: &'a Path,
    /// For small files.
    pub scratch: &'a Path,
    /// The port of the next run: each has one of its own, so that none waits for the last one's to be free.
    pub port: Counter<u16>,
}

impl Contest<'_> {
    /// All ways.
    pub fn all(&self, hosts: &TwoHosts, path: &Path, image: Image, rate: Rate) -> Result<Vec<Cell>> {
        let mut cells = Way::ALL.map(|way| Cell { way, image, rate, runs: Vec::new() });
        for round in 0..self.runs {
            let mut order: Vec<usize> = (0..cells.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let cell = &mut cells[index];
                if cell.runs.iter().any(|run| run.seconds > LONG) {
                    continue;
                }
                let run = self.run(hosts, cell.way, path)?;
                let (image, rate) = (image.name(), rate.name());
                eprintln!("{image}, {rate}: {:24} {:8.3} s", cell.way.name(), run.seconds);
                cell.runs.push(run);
            }
        }
        Ok(cells.into())
    }

    /// One run of one way.
    pub fn run(&self, hosts: &TwoHosts, way: Way, image: &Path) -> Result<Run> {
        let port = self.port.replace(self.port.get() + 1);
        let key = self.scratch.join("key");
        let setting = Setting { lvpipe: self.lvpipe, image, target: self.target, port, key: &key };
        let copy = setting.copy()?;
        sparse::settle(image)?;
        nix::unistd::sync();
        let began = Instant::now();
        let run = way.session(&setting)?.run(hosts, self.scratch);
        let checked = run.and_then(|run| sparse::same(image, &copy).map(|()| run));
        let removed = std::fs::remove_file(&copy);
        let run = checked.with_context(|| format!("{}, after {:.1?}", way.name(), began.elapsed()))?;
        removed.with_context(|| copy.display().to_string())?;
        Ok(run)
    }
}
