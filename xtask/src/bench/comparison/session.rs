//! One run of one way: what listens is started, the other side is, both are waited for, and what they took is told.
//!
//! Processor time and peak memory are the kernel's figures for the processes (wait4(2)). Packets that are carried over
//! in an interrupt count for whoever was interrupted, mostly one of them. A server's start and end count for its
//! processor time, as they cannot be told from the rest; they are some hundredths of a second.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::record::{Run, Side};
use crate::bench::two_hosts::TwoHosts;
use crate::pipeline::{Measured, Pipeline};

/// Both sides.
pub struct Session {
    /// What reads the volume.
    pub sender: Pipeline,
    /// What writes the copy.
    pub receiver: Pipeline,
    /// The side that is there first.
    pub listener: Listener,
    /// Where it listens.
    pub port: u16,
}

/// The side that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// It is a server, and ends when it is asked to.
    Sender,
    /// It ends by itself when it has all.
    Receiver,
}

impl Session {
    /// Runs it. What both sides say is kept in files in `scratch`, and told if one fails.
    pub fn run(self, hosts: &TwoHosts, scratch: &Path) -> Result<Run> {
        let said = ["sender.said", "receiver.said"].map(|name| scratch.join(name));
        for file in &said {
            fs::write(file, "")?;
        }
        let sender = self.sender.complaints(&said[0]).started_by(&hosts.near().starter());
        let receiver = self.receiver.complaints(&said[1]).started_by(&hosts.far().starter());
        let (first, first_host, second) = match self.listener {
            Listener::Sender => (&sender, hosts.near(), &receiver),
            Listener::Receiver => (&receiver, hosts.far(), &sender),
        };
        let first = first.start()?;
        if let Err(error) = first_host.await_listener(self.port) {
            let said = said.map(|file| fs::read_to_string(file).unwrap_or_default()).concat();
            return Err(error.context(said));
        }
        let carried = hosts.bytes_on_link()?;
        let began = std::time::Instant::now();
        let second = second.start()?.finish()?;
        let (first, time) = match self.listener {
            Listener::Sender => {
                let time = began.elapsed();
                (first.terminate()?, time)
            }
            Listener::Receiver => (first.finish()?, began.elapsed()),
        };
        let (sender, receiver) = match self.listener {
            Listener::Sender => (&first, &second),
            Listener::Receiver => (&second, &first),
        };
        Ok(Run {
            seconds: time.as_secs_f64(),
            sender: side(sender),
            receiver: side(receiver),
            link_bytes: hosts.bytes_on_link()? - carried,
            wire_bytes: wire_bytes(&fs::read_to_string(&said[0])?)?,
        })
    }
}

fn side(measured: &Measured) -> Side {
    Side {
        processor_seconds: measured.processor.iter().sum::<std::time::Duration>().as_secs_f64(),
        peak_bytes: measured.peaks.iter().sum(),
    }
}

/// What lvpipe's last object says, if it was lvpipe and was asked for objects.
fn wire_bytes(said: &str) -> Result<Option<u64>> {
    let Some(last) = said.lines().rfind(|line| line.starts_with('{')) else { return Ok(None) };
    let figures: serde_json::Value = serde_json::from_str(last).context("the sender's figures")?;
    Ok(Some(figures["wire_bytes"].as_u64().context("the sender tells how much it sent")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_object_tells_the_bytes_that_were_sent() {
        let said = "lvpipe send: hello\n{\"wire_bytes\":1}\n{\"wire_bytes\":22,\"state\":\"done\"}\nbye\n";
        assert_eq!(wire_bytes(said).expect("an object"), Some(22));
        assert_eq!(wire_bytes("nothing of the kind\n").expect("no object"), None);
        assert!(wire_bytes("{\"wire\":1}\n").is_err());
        assert!(wire_bytes("{nonsense\n").is_err());
    }

    #[test]
    fn a_side_is_the_sum_of_its_processes() {
        let second = std::time::Duration::from_secs(1);
        let measured = Measured { peaks: vec![1, 2], processor: vec![second, second / 2], ..Measured::default() };
        assert_eq!(side(&measured), Side { processor_seconds: 1.5, peak_bytes: 3 });
    }
}
