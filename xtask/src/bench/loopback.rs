//! Connections over loopback, where the processors are the limit: plain against what iperf3 moves with as many
//! streams, encrypted against plain.
//!
//! What iperf3 does is a limit rather than a rival: it sends one buffer again and again, which stays in the nearest
//! cache, and looks at nothing that arrives. lvpipe copies all from the page cache, looks for zeros, and makes and
//! checks the CRC32C of each part, which is its only guard against accidents with `--digest none`.
//!
//! What was found, on two cores that had other work too. perf of one connection: of the sender's time 44 % is reading
//! the source (copying from the page cache, and the first use of buffers), 36 % writing the socket, 14 % the workers
//! (zeros, CRC32C); of the receiver's 51 % is reading the socket and 38 % the workers, most of it CRC32C. What was
//! tried, twice each: 16 MiB of buffers on both sides, so that parts stay in the cache (from 9 % less time to 9 %
//! more), the same with parts of 256 KiB (from 5 % less to 17 % more), parts of 4 MiB (12 % less with four
//! connections, 16 % more with one): no gain to count on. That the receiver's listener slept up to 0.1 s at the end
//! was 4 % of the time, and is mended. Looking for zeros and making and checking the CRC32C on the very thread that
//! has read the part, while it is in that core's cache, instead of handing it to a worker: 6 % less time and 7 % less
//! processor time, with one connection and with four (medians of five). Left out: with more cores than two it would
//! make a single connection wait for its own checksums. Sending from a mapping of the source would spare the copy out
//! of the page cache, but a file that is cut short or cannot be read ends the process then (SIGBUS), and what changes
//! between checksum and write arrives damaged. MSG_ZEROCOPY copies over loopback all the same.
//!
//! The sum is what stands against the goal. On two cores that are both busy the rate is one over the processor time of
//! both sides: iperf3 copies each byte twice, lvpipe three times, and looks at it twice more.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::figures::Row;
use super::race::{Contender, race};
use super::transfer::Transfer;
use super::two_hosts::Host;
use super::{iperf3, material};
use crate::pipeline::Measured;

/// Numbers of connections.
const LINKS: [u32; 2] = [1, 4];
const ADDRESS: &str = "127.0.0.1";

/// All rows. `noise` is a dense file of `bytes` bytes.
pub fn rows(lvpipe: &Path, runs: u32, noise: &Path, bytes: u64) -> Result<Vec<Row>> {
    let scratch = tempfile::tempdir()?;
    let key = scratch.path().join("key");
    let mut rows = Vec::new();
    for links in LINKS {
        let transfer = |key: Option<&Path>| Transfer {
            lvpipe,
            sender: Host::Local,
            receiver: Host::Local,
            address: ADDRESS,
            key: key.map(Path::to_path_buf),
            options: ["--compress", "none", "--digest", "none", "-n", &links.to_string()]
                .map(String::from)
                .to_vec(),
            source: noise,
            target: Path::new("/dev/null"),
        };
        let run = |key: Option<&Path>| Ok(Measured { time: transfer(key).run()?, ..Measured::default() });
        let contenders = [
            Contender::measured_by(&format!("plain, {links}"), || run(None), &[]),
            Contender::measured_by(&format!("iperf3, {links}"), || of_bytes(links, bytes), &[]),
            Contender::measured_by(&format!("encrypted, {links}"), || run(Some(&key)), &[]),
        ];
        let outcomes = race(&contenders, runs, &|| material::warm(noise), &|| Ok(()))?;
        let plain = format!("`send -n {links} --insecure`, to `/dev/null` over loopback");
        rows.push(Row::rates(&plain, &format!("`iperf3 -P {links}`"), &outcomes, bytes, 0.9));
        let encrypted = [outcomes[2].clone(), outcomes[0].clone()];
        rows.push(Row::rates("the same encrypted", "plain", &encrypted, bytes, 0.6));
    }
    Ok(rows)
}

/// The time iperf3 takes for so many bytes at the rate that it tells itself.
fn of_bytes(streams: u32, bytes: u64) -> Result<Measured> {
    let rate = iperf3::rate(Host::Local, Host::Local, ADDRESS, streams, bytes)?;
    Ok(Measured { time: Duration::from_secs_f64(bytes as f64 / rate), ..Measured::default() })
}
