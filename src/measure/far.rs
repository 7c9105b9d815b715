//! What the far side measures when it is asked to: its own processors, and where the target is or would be.

use std::ffi::OsStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::figures::FarFigures;
use super::machine::Measuring;
use super::target;
use crate::engine::Workshop;
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::volume::Expected;
use crate::wire::{DigestKind, PartSize};

/// What is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The target that would be written, if one is named.
    pub target: Option<String>,
    /// Bytes of the volume that it has to be fit for, if one is named.
    #[serde(default)]
    pub size: Option<u64>,
    /// How many of them are used.
    #[serde(default)]
    pub used: Option<u64>,
    /// Who reads it: [`identity`](crate::volume::identity).
    #[serde(default)]
    pub source: Option<String>,
    /// The transfer's grid, in bytes.
    pub part_size: u64,
    /// The transfer's digest.
    pub digest: String,
    /// How long the processors may be measured.
    pub processors_milliseconds: u64,
    /// How long the target may be written.
    pub target_milliseconds: u64,
}

impl Wanted {
    /// The grid.
    ///
    /// # Errors
    /// For one that there is not.
    pub fn part_size(&self) -> Result<PartSize> {
        PartSize::new(self.part_size).ok_or_else(|| odd(self.part_size))
    }

    /// Measures it.
    ///
    /// # Errors
    /// What `recv` would say of the target; what failed; what ended the run.
    pub fn measure(&self, workshop: &Workshop, stop: &Stop) -> Result<FarFigures> {
        let digest = DigestKind::from_str(&self.digest, false).map_err(|_| odd(&self.digest))?;
        let measuring = Measuring { workshop, digest, stop };
        // First what may be refused.
        let expected =
            Expected { source: self.source.as_deref(), size: self.size, used: self.used, ..Expected::default() };
        let find = |name: &String| target::find(OsStr::new(name), expected, stop);
        let scratch = self.target.as_ref().map(find).transpose()?;
        let sample = measuring.generated()?;
        let (target, notices) = match scratch {
            None => (None, Vec::new()),
            Some(scratch) => {
                let time = Duration::from_millis(self.target_milliseconds);
                let (target, notices) = target::measure(scratch, &sample, workshop.part_size, time, stop)?;
                (Some(target), notices)
            }
        };
        let machine = measuring.processors(&sample, Duration::from_millis(self.processors_milliseconds))?;
        Ok(FarFigures { machine, target, notices })
    }
}

fn odd(what: impl std::fmt::Display) -> Error {
    Error::usage("cannot measure", what, "it is not known here")
}
