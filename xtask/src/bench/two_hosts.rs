//! Two hosts on one machine: network namespaces, joined by a pair of veth with real addresses and a real limit.
//!
//! Nothing has a name and nothing can be left behind: each namespace is that of a sleeping process, which the kernel
//! ends with the bench (PR_SET_PDEATHSIG), however that ends; the last process gone, the kernel removes namespace,
//! devices and limits.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Where a program runs.
#[derive(Debug, Clone, Copy)]
pub enum Host {
    /// Here.
    Local,
    /// In the network namespace of this process.
    Of(u32),
}

impl Host {
    /// A command that will run there.
    pub fn command(self, program: &Path) -> Command {
        match self.starter().as_slice() {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }

    /// What starts a program there: the words before its name. They become the program, by execve(2).
    pub fn starter(self) -> Vec<String> {
        match self {
            Host::Local => Vec::new(),
            Host::Of(process) => {
                ["nsenter", &format!("--net=/proc/{process}/ns/net"), "--"].map(String::from).to_vec()
            }
        }
    }

    /// Waits until somebody listens on this TCP port there. Nobody connects to find out: some servers take one client.
    ///
    /// # Errors
    /// If nobody does within 10 s.
    pub fn await_listener(self, port: u16) -> Result<()> {
        let started = Instant::now();
        while !self.listens(port)? {
            ensure!(started.elapsed() < Duration::from_secs(10), "nobody listens on port {port}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn listens(self, port: u16) -> Result<bool> {
        for table in ["tcp", "tcp6"] {
            if listens(&self.network(table)?, port) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes that have left by the device that joins the two hosts, with the headers of what the device was given.
    /// Segmentation is the device's: a packet of 64 KiB, which a real link would carry as 45 with headers of their
    /// own, counts as one.
    pub fn sent_on_link(self) -> Result<u64> {
        sent(&self.network("dev")?).context("no such device")
    }

    /// A file of proc_pid_net(5).
    fn network(self, name: &str) -> Result<String> {
        let process = match self {
            Host::Local => "self".to_string(),
            Host::Of(process) => process.to_string(),
        };
        let path = format!("/proc/{process}/net/{name}");
        fs::read_to_string(&path).context(path)
    }

    fn run(self, words: &str) -> Result<()> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let (program, args) = words.split_first().context("a command")?;
        let output = self.command(Path::new(program)).args(args).stdin(Stdio::null()).output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", words.join(" "), complaint.trim_end());
        Ok(())
    }
}

/// Whether a table of proc_pid_net(5) has a socket that listens (state 0A) on this port, in hexadecimal.
fn listens(table: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("0A")
    })
}

/// The ninth figure after the name of the device.
fn sent(table: &str) -> Option<u64> {
    let figures = table.lines().find_map(|line| line.trim().strip_prefix("link0:"))?;
    figures.split_whitespace().nth(8)?.parse().ok()
}

/// Two namespaces, joined.
pub struct TwoHosts {
    near: Child,
    far: Child,
}

/// Addresses for documentation (RFC 5737): nobody's.
pub const NEAR: &str = "192.0.2.1";
/// See [`NEAR`].
pub const FAR: &str = "192.0.2.2";

impl TwoHosts {
    /// Makes them. `limit` is what `tc qdisc add dev DEVICE root` gets on both ends; without one, there is none.
    ///
    /// # Errors
    /// Without root, or where the kernel has no namespaces, no veth or no such queueing discipline.
    pub fn new(limit: Option<&str>) -> Result<Self> {
        let near = holder()?;
        let far = match holder() {
            Ok(far) => far,
            Err(error) => {
                drop(TwoHosts { near, far: Command::new("true").spawn()? });
                return Err(error);
            }
        };
        let hosts = TwoHosts { near, far };
        let (near, far) = (hosts.near.id(), hosts.far.id());
        Host::Local.run(&format!("ip link add link0 netns {near} type veth peer name link0 netns {far}"))?;
        for (host, address) in [(hosts.near(), NEAR), (hosts.far(), FAR)] {
            host.run("ip link set lo up")?;
            host.run(&format!("ip address add {address}/24 dev link0"))?;
            host.run("ip link set link0 up")?;
            if let Some(limit) = limit {
                host.run(&format!("tc qdisc add dev link0 root {limit}"))?;
            }
        }
        Ok(hosts)
    }

    /// The host with the address [`NEAR`].
    pub fn near(&self) -> Host {
        Host::Of(self.near.id())
    }

    /// What both have sent to each other so far: see [`Host::sent_on_link`].
    pub fn bytes_on_link(&self) -> Result<u64> {
        Ok(self.near().sent_on_link()? + self.far().sent_on_link()?)
    }

    /// The host with the address [`FAR`].
    pub fn far(&self) -> Host {
        Host::Of(self.far.id())
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        for holder in [&mut self.near, &mut self.far] {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// A process that sleeps in a network namespace of its own.
fn holder() -> Result<Child> {
    let ours = fs::read_link("/proc/self/ns/net")?;
    let mut holder = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        .stdin(Stdio::null())
        .spawn()
        .context("setpriv")?;
    let started = Instant::now();
    while fs::read_link(format!("/proc/{}/ns/net", holder.id())).ok().is_none_or(|theirs| theirs == ours) {
        if holder.try_wait()?.is_some() || started.elapsed() > Duration::from_secs(5) {
            let _ = holder.kill();
            let _ = holder.wait();
            anyhow::bail!("no network namespace can be made: root is needed");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_listens_is_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
            0: 020200C0:1E61 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
            1: 020200C0:1E62 010200C0:8A3C 01 00000000:00000000 00:00000000 00000000     0        0 2 1\n";
        assert!(listens(table, 7777));
        assert!(!listens(table, 7778), "it is connected");
        assert!(!listens(table, 777), "another port");
        let here = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = here.local_addr().expect("its address").port();
        Host::Local.await_listener(port).expect("it listens");
    }

    #[test]
    fn what_left_by_the_device_is_the_ninth_figure() {
        let table = "Inter-|   Receive   |  Transmit\n face |bytes    packets errs drop fifo frame compressed \
            multicast|bytes    packets errs\n    lo:       1       2    0    0    0     0          0         0        \
            3       4    0\n link0: 10 20 0 0 0 0 0 0 30 40 0 0 0 0 0 0\n";
        assert_eq!(sent(table), Some(30));
        assert_eq!(sent("lo: 1 2\n"), None);
    }
}
