//! A volume over a link of 1 Gbit/s between two hosts, with defaults: against what its compressed bytes take on such
//! a link, and against mbuffer, which sends all of it as it is.
//!
//! mbuffer writes to /dev/null, lvpipe to a file that is on stable storage in the end. mbuffer runs once: it takes
//! over a minute, and its time is the link's.
//!
//! What keeps lvpipe from its compressed bytes at that rate: TCP and Ethernet take 5.6 % themselves, so that 1.06 is the
//! floor; and here both hosts share two processors, which compress, decompress and write while they carry the packets.
//! Looked at second by second the line is full for most of the time, and not where `auto` tries a level that the
//! processors do not manage beside all that. What was tried, in single runs: a level that is given, zstd:1 (1.12) and
//! zstd:-1 (1.13), instead of auto (1.13 to 1.3, and always more beside other work); a target in memory instead of on
//! the disk (1.12); one link or two instead of as many as help (no difference). The sync at the end takes 5 ms of it, as
//! what is written goes to the disk at once.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::figures::Row;
use super::material::Material;
use super::race::{Contender, Outcome, race};
use super::same;
use super::transfer::{Running, Transfer};
use super::two_hosts::{FAR, TwoHosts};
use crate::pipeline::Measured;

/// Bytes a second.
const LINK: f64 = 1e9 / 8.0;
/// The same for tc, with room for 50 ms of packets as a switch has.
const LIMIT: &str = "tbf rate 1gbit burst 256kb latency 50ms";

/// Both rows.
pub fn rows(lvpipe: &Path, runs: u32, material: &Material) -> Result<Vec<Row>> {
    let hosts = TwoHosts::new(LIMIT)?;
    let scratch = tempfile::tempdir()?;
    let copy = material.directory().join("copy.img");
    let transfer = Transfer {
        lvpipe,
        sender: hosts.near(),
        receiver: hosts.far(),
        address: FAR,
        key: Some(scratch.path().join("key")),
        options: Vec::new(),
        source: material.image(),
        target: &copy,
    };
    let ideal = RefCell::new(Vec::new());
    let measure = || {
        let took = transfer.run()?;
        ideal.borrow_mut().push(Duration::from_secs_f64(took.wire as f64 / LINK));
        Ok(Measured { time: took.time, ..Measured::default() })
    };
    let contender = [Contender::measured_by("send -O, 1 Gbit/s", measure, &[&copy])];
    let ours = race(&contender, runs, &|| material.warm(), &|| same(material.image(), &copy))?.remove(0);
    let mbuffer = mbuffer(&hosts, material.image())?;
    eprintln!("mbuffer, 1 Gbit/s {:8.3} s", mbuffer.as_secs_f64());
    let ideal = Outcome::of_times(&ideal.borrow());
    let mbuffer = Outcome::of_times(&[mbuffer]);
    let what = "`send -O` of the image over 1 Gbit/s";
    Ok(vec![
        Row::race(what, "its compressed bytes at that rate", &[ours.clone(), ideal], 1.1),
        Row::race("the same", "`mbuffer`", &[ours, mbuffer], 0.125),
    ])
}

fn mbuffer(hosts: &TwoHosts, image: &Path) -> Result<Duration> {
    const PORT: &str = "7777";
    let mbuffer = Path::new("mbuffer");
    let receiving = ["-q", "-v", "0", "-I", PORT, "-o", "/dev/null", "-f"];
    let mut receiver = Running::start(hosts.far().command(mbuffer).args(receiving))?;
    let listens = || -> Result<bool> {
        let asked = hosts.far().command(Path::new("ss")).args(["-Hltn", &format!("sport = :{PORT}")]).output()?;
        Ok(!asked.stdout.is_empty())
    };
    let asked = Instant::now();
    while !listens()? {
        ensure!(asked.elapsed() < Duration::from_secs(5), "mbuffer -I does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    let started = Instant::now();
    let mut sender: Command = hosts.near().command(mbuffer);
    let sent = sender.args(["-q", "-v", "0", "-O", &format!("{FAR}:{PORT}"), "-i"]).arg(image).status()?;
    ensure!(sent.success(), "mbuffer: {sent}");
    receiver.end()?;
    Ok(started.elapsed())
}
