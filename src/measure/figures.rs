//! What was measured, as it is printed in JSON and told by the far side. Rates are bytes a second, times seconds.

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The volume, if one was named.
    pub volume: Option<Volume>,
    /// Where the data come from that were compressed: `volume`, or `generated`.
    pub data: &'static str,
    /// How the volume was read; without one that has data, not at all.
    pub source: Option<Transfer>,
    /// This machine's processors.
    pub here: Machine,
    /// Writing the target; without one, not at all.
    pub target: Option<Target>,
    /// The machine that the target is on, if it is another.
    pub far: Option<Far>,
    /// How long a transfer would take; over several assumed links where none was measured, the widest of them last.
    /// None where there is nothing to move.
    pub estimates: Vec<Estimate>,
    /// What holds a transfer up, in a sentence.
    pub bottleneck: String,
    /// The command that is recommended.
    pub command: String,
}

/// The volume that is to be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// As the user named it.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Bytes that hold data, by its map.
    pub used: u64,
    /// How many extents that is.
    pub extents: u64,
}

/// Bytes that went somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// How many were moved.
    pub bytes: u64,
    /// How fast.
    pub rate: f64,
    /// Seconds of one processor for each byte.
    pub processor_seconds_a_byte: f64,
}

/// What a machine's processors do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// lvpipe's version there.
    pub lvpipe: String,
    /// Workers.
    pub workers: u32,
    /// The digest that is part of the levels' figures.
    pub digest: String,
    /// Bytes that were compressed at each level.
    pub sample: u64,
    /// The levels of auto, from none upwards.
    pub levels: Vec<Level>,
    /// What each digest alone does.
    pub digests: Vec<Digested>,
    /// The highest level whose state fits the memory.
    pub highest_level: i32,
}

/// A level, with all workers at work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// zstd's; `None` is no compression.
    pub level: Option<i32>,
    /// What is left of each used byte on the wire.
    pub remains: f64,
    /// Used bytes a second that can be searched for zeros, digested and compressed.
    pub encode: f64,
    /// Used bytes a second that can be decompressed and digested; as for [`Level::encode`], if all of it were zeros.
    pub decode: f64,
}

/// A digest, with all workers at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digested {
    /// Its name.
    pub digest: String,
    /// Bytes a second.
    pub rate: f64,
}

/// Writing where the target would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What was written; or why nothing was.
    pub what: String,
    /// How fast, the sync at the end included.
    pub written: Option<Transfer>,
    /// The pool, as `vg/pool`, where it or a new volume in it was named: the volume is to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Another machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Far {
    /// As the user named it.
    pub host: String,
    /// Its processors, with generated data.
    pub machine: Machine,
    /// There and back.
    pub round_trip: Option<f64>,
    /// What links carry.
    pub links: Vec<Links>,
}

/// So many links at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Links {
    /// TCP links beside ssh; 0 is ssh's own pipe.
    pub links: u16,
    /// Bytes a second, all together.
    pub rate: f64,
    /// Seconds of one of this side's processors for each byte.
    pub processor_seconds_a_byte: f64,
}

/// What the far side tells when it greets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FarFigures {
    /// Its processors.
    pub machine: Machine,
    /// The target there.
    pub target: Option<Target>,
    /// What the user should know.
    pub notices: Vec<String>,
}

impl Machine {
    /// The figures of a level; of the nearest one below where it was not measured.
    pub fn at(&self, level: Option<i32>) -> Option<&Level> {
        self.levels.iter().rev().find(|at| at.level <= level)
    }

    /// What it would be with another digest than the one that its levels were measured with; `None` where either of
    /// them was not measured.
    pub fn with_digest(&self, digest: &str) -> Option<Machine> {
        let seconds = |name: &str| self.digests.iter().find(|at| at.digest == name).map(|at| 1.0 / at.rate);
        let (now, then) = (seconds(&self.digest)?, seconds(digest)?);
        // Where noise makes the digest alone slower than the digest and all else, the rest takes no time.
        let changed = |rate: f64| 1.0 / ((1.0 / rate - now).max(0.0) + then);
        let mut machine = Machine { digest: digest.into(), ..self.clone() };
        for at in &mut machine.levels {
            (at.encode, at.decode) = (changed(at.encode), changed(at.decode));
        }
        Some(machine)
    }
}

/// The least number of links that carries as much as any other, but for noise; what they carry.
pub fn best_links(links: &[Links]) -> Option<&Links> {
    const NOISE: f64 = 0.93;
    let most = links.iter().map(|links| links.rate).fold(0.0, f64::max);
    links.iter().find(|links| links.rate >= most * NOISE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_digest_takes_its_own_time_instead() {
        let digests =
            [("sha256", 5e8), ("blake3", 2e9)].map(|(digest, rate)| Digested { digest: digest.into(), rate });
        let machine = Machine {
            lvpipe: "1".into(),
            workers: 1,
            digest: "sha256".into(),
            sample: 1,
            levels: vec![Level { level: None, remains: 1.0, encode: 4e8, decode: 6e8 }],
            digests: digests.into(),
            highest_level: 9,
        };
        let changed = machine.with_digest("blake3").expect("both are measured");
        // 2.5 ns a byte, of which 2 were SHA-256's and 0.5 are BLAKE3's; and 1.67 ns, which is noise.
        assert!((changed.levels[0].encode - 1e9).abs() < 1.0, "{changed:?}");
        assert!((changed.levels[0].decode - 2e9).abs() < 1.0, "{changed:?}");
        assert_eq!((changed.digest.as_str(), machine.with_digest("none")), ("blake3", None));
    }

    #[test]
    fn the_best_number_of_links_is_the_least_that_carries_as_much() {
        let links = |rates: &[f64]| -> Vec<Links> {
            let numbered = [1, 2, 4, 8].into_iter().zip(rates);
            numbered.map(|(links, rate)| Links { links, rate: *rate, processor_seconds_a_byte: 0.0 }).collect()
        };
        let best = |rates: &[f64]| best_links(&links(rates)).map(|links| links.links);
        assert_eq!(best(&[1e8, 1.01e8, 1.02e8, 1.01e8]), Some(1));
        assert_eq!(best(&[1e8, 2e8, 4e8, 4.1e8]), Some(4));
        assert_eq!(best(&[1e8, 2e8, 4e8, 8e8]), Some(8));
        assert_eq!(best(&[]), None);
    }
}
