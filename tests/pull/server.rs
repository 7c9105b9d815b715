//! A running `lvpipe serve` on a free port, and `lvpipe pull` from it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{Ran, Running, lvpipe, start, wait_until};

/// A server of one volume.
pub struct Server {
    pub running: Running,
    pub address: SocketAddr,
}

/// Starts `lvpipe serve FILE --listen 127.0.0.1:0 ARGS`.
#[track_caller]
pub fn serve(args: &[&str], file: &Path) -> Server {
    serve_at("127.0.0.1:0", args, file)
}

/// The same, there.
#[track_caller]
pub fn serve_at(listen: &str, args: &[&str], file: &Path) -> Server {
    let mut command = lvpipe(["serve", "--listen", listen]);
    command.args(args).arg(file);
    let running = start(&mut command);
    let address = || {
        let said = running.said();
        let (_, rest) = said.split_once("serving on ")?;
        // All that it has to say is said once it tells the other side's command line.
        said.contains("lvpipe pull").then_some(())?;
        rest.split_once(": ")?.0.parse().ok()
    };
    wait_until("the server listens", || address().is_some() || running.has_ended());
    let address = address().unwrap_or_else(|| panic!("it does not listen:\n{}", running.said()));
    Server { running, address }
}

impl Server {
    /// A word that it has printed, by how it begins.
    #[track_caller]
    pub fn printed(&self, beginning: &str) -> String {
        let said = self.running.said();
        let mut words = said.split_whitespace().filter(|word| word.starts_with(beginning));
        words.next().unwrap_or_else(|| panic!("no {beginning} in:\n{said}")).to_owned()
    }

    /// `lvpipe pull ARGS URL TARGET` as secure as the server is.
    pub fn pull(&self, args: &[&str], target: &Path) -> Command {
        self.pull_through(self.address, args, target)
    }

    /// The same through a proxy.
    pub fn pull_through(&self, address: SocketAddr, args: &[&str], target: &Path) -> Command {
        let is_open = !self.running.said().contains("https://");
        let scheme = if is_open { "http" } else { "https" };
        let mut command = pull(args, &format!("{scheme}://{address}/image"), target);
        if !is_open {
            command.env("LVPIPE_TOKEN", self.printed("lvt1-"));
            command.args(["--fingerprint", &self.printed("sha256:")]);
        }
        command
    }
}

/// `lvpipe pull ARGS URL TARGET`.
pub fn pull(args: &[&str], url: &str, target: &Path) -> Command {
    let mut command = lvpipe(["pull"]);
    command.env_remove("LVPIPE_TOKEN").args(args).arg(url).arg(target);
    command
}

/// A number of the last line of a run with `--progress json`.
#[track_caller]
pub fn figure(ran: &Ran, name: &str) -> u64 {
    let mut lines = ran.stderr.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.find(|line| line["final"] == true).unwrap_or_else(|| panic!("no figures:\n{ran}"));
    last[name].as_u64().unwrap_or_else(|| panic!("no {name}:\n{ran}"))
}
