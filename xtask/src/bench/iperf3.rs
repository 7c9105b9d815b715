//! What a network gives, by iperf3: a limit rather than a rival, as it sends one buffer again and again and looks at
//! nothing that arrives.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result};

use super::transfer::Running;
use super::two_hosts::Host;

/// Bytes a second from one host to the other, at its address, over so many streams; `bytes` are sent to find out.
pub fn rate(from: Host, to: Host, address: &str, streams: u32, bytes: u64) -> Result<f64> {
    let port = match to {
        Host::Local => TcpListener::bind((address, 0))?.local_addr()?.port(),
        Host::Of(_) => 5201, // nobody else is there
    };
    let iperf3 = Path::new("iperf3");
    let words = ["-s", "-1", "-B", address, "-p", &port.to_string()];
    let mut server = Running::start(to.command(iperf3).args(words))?;
    to.await_listener(port)?;
    let client = from
        .command(iperf3)
        .args(["-J", "-c", address, "-p", &port.to_string(), "-P", &streams.to_string(), "-n", &bytes.to_string()])
        .output()
        .context("iperf3")?;
    server.end()?;
    let told: serde_json::Value = serde_json::from_slice(&client.stdout).context("iperf3 -J")?;
    Ok(told["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 tells a rate")? / 8.0)
}
