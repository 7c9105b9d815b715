//! What was measured, as it stands in doc/comparison.json: table, plot and goals are made from this alone.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::ways::Way;
use crate::bench::race::median;

/// How fast the link between the two hosts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// 1 Gbit/s
    #[value(name = "1g")]
    OneGigabit,
    /// 10 Gbit/s
    #[value(name = "10g")]
    TenGigabits,
    /// What the machine can do
    Unlimited,
}

impl Rate {
    /// All of them, slow to fast.
    pub const ALL: [Rate; 3] = [Rate::OneGigabit, Rate::TenGigabits, Rate::Unlimited];

    /// For headings.
    pub fn name(self) -> &'static str {
        match self {
            Rate::OneGigabit => "1 Gbit/s",
            Rate::TenGigabits => "10 Gbit/s",
            Rate::Unlimited => "no limit",
        }
    }

    /// Bytes a second, where there is a limit.
    pub fn bytes_a_second(self) -> Option<f64> {
        match self {
            Rate::OneGigabit => Some(1e9 / 8.0),
            Rate::TenGigabits => Some(1e10 / 8.0),
            Rate::Unlimited => None,
        }
    }

    /// The same for tc, with room for 50 ms of packets as a switch has.
    pub fn limit(self) -> Option<&'static str> {
        match self {
            Rate::OneGigabit => Some("tbf rate 1gbit burst 256kb latency 50ms"),
            Rate::TenGigabits => Some("tbf rate 10gbit burst 2mb latency 50ms"),
            Rate::Unlimited => None,
        }
    }
}

/// What is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// ext4 with files of /usr
    Ext4,
    /// Pages written at random places of a sparse file
    Database,
}

impl Image {
    /// All of them.
    pub const ALL: [Image; 2] = [Image::Ext4, Image::Database];

    /// For headings.
    pub fn name(self) -> &'static str {
        match self {
            Image::Ext4 => "ext4",
            Image::Database => "database-like",
        }
    }
}

/// Everything that one run of the bench has measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Processor, memory, kernel, in a sentence.
    pub machine: String,
    /// The images, in the order of the tables.
    pub volumes: Vec<Volume>,
    /// The links, in the order of the columns.
    pub links: Vec<Link>,
    /// One for each way, image and rate.
    pub cells: Vec<Cell>,
    /// How the time grows; empty where that was not measured.
    pub growth: Growth,
}

/// How large an image is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Which one.
    pub image: Image,
    /// Its size.
    pub size: u64,
    /// What is no hole.
    pub used: u64,
}

/// What a link gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Which one.
    pub rate: Rate,
    /// What iperf3 moves over it, with one stream, in bytes a second.
    pub iperf3: f64,
}

/// All runs of one way with one image at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// What was run.
    pub way: Way,
    /// With what.
    pub image: Image,
    /// Over what.
    pub rate: Rate,
    /// One at least.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// From the start of the side that begins to the end of both.
    pub seconds: f64,
    /// What the sender took.
    pub sender: Side,
    /// What the receiver took.
    pub receiver: Side,
    /// Bytes on the link, both ways: see [`crate::bench::two_hosts::Host::sent_on_link`].
    pub link_bytes: u64,
    /// What lvpipe says itself that it has sent: frames, compressed; without TLS and TCP.
    pub wire_bytes: Option<u64>,
}

/// All processes of one side together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// User and system time.
    pub processor_seconds: f64,
    /// The sum of each one's peak of resident memory.
    pub peak_bytes: u64,
}

/// How the time of lvpipe with its defaults grows, without a limit on the link.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// More and more used bytes in a volume of the same size.
    pub by_used: Vec<Point>,
    /// The same used bytes in larger and larger volumes.
    pub by_size: Vec<Point>,
}

/// One volume of the growth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its used bytes.
    pub used: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Of each run.
    pub seconds: Vec<f64>,
}

/// The median of some seconds.
pub fn median_seconds(seconds: impl Iterator<Item = f64>) -> f64 {
    median(seconds.map(Duration::from_secs_f64).collect()).as_secs_f64()
}

impl Comparison {
    /// What was measured of one way, if it was.
    pub fn cell(&self, way: Way, image: Image, rate: Rate) -> Option<&Cell> {
        self.cells.iter().find(|cell| (cell.way, cell.image, cell.rate) == (way, image, rate))
    }

    /// All ways with one image at one rate.
    pub fn cells_of(&self, image: Image, rate: Rate) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| (cell.image, cell.rate) == (image, rate))
    }

    /// From JSON.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("what was measured")
    }

    /// As JSON, for people too.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Cell {
    /// The median of the times.
    pub fn seconds(&self) -> f64 {
        median_seconds(self.runs.iter().map(|run| run.seconds))
    }

    /// The median of both sides' processor time: sender, receiver.
    pub fn processor(&self) -> [f64; 2] {
        let of = |side: fn(&Run) -> Side| median_seconds(self.runs.iter().map(|run| side(run).processor_seconds));
        [of(|run| run.sender), of(|run| run.receiver)]
    }

    /// The highest peaks of memory: sender, receiver.
    pub fn peaks(&self) -> [u64; 2] {
        let of = |side: fn(&Run) -> Side| self.runs.iter().map(|run| side(run).peak_bytes).max().unwrap_or(0);
        [of(|run| run.sender), of(|run| run.receiver)]
    }

    /// The mean of the bytes on the link.
    pub fn link_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.link_bytes).sum::<u64>() / self.runs.len().max(1) as u64
    }

    /// The median of what the bytes that lvpipe has sent take on a link, if there is a limit and it is lvpipe.
    pub fn ideal_seconds(&self) -> Option<f64> {
        let rate = self.rate.bytes_a_second()?;
        let bytes: Vec<u64> = self.runs.iter().map(|run| run.wire_bytes).collect::<Option<_>>()?;
        Some(median_seconds(bytes.into_iter().map(|bytes| bytes as f64 / rate)))
    }
}

impl Point {
    /// The median of the times.
    pub fn median(&self) -> f64 {
        median_seconds(self.seconds.iter().copied())
    }
}
