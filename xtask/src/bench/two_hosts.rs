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
        match self {
            Host::Local => Command::new(program),
            Host::Of(process) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/proc/{process}/ns/net")).arg("--").arg(program);
                command
            }
        }
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
    /// Makes them. `limit` is what `tc qdisc add dev DEVICE root` gets on both ends.
    ///
    /// # Errors
    /// Without root, or where the kernel has no namespaces, no veth or no such queueing discipline.
    pub fn new(limit: &str) -> Result<Self> {
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
            host.run(&format!("tc qdisc add dev link0 root {limit}"))?;
        }
        Ok(hosts)
    }

    /// The host with the address [`NEAR`].
    pub fn near(&self) -> Host {
        Host::Of(self.near.id())
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
