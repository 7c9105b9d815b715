//! A receiver that listens on a free port, and senders to it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{Ran, Running, lvpipe, start, wait_until};

/// Both sides with a key, or without: every behaviour holds for both.
pub const INSECURE: &[&str] = &["--insecure"];
pub const ENCRYPTED: &[&str] = &[];

/// A running `lvpipe recv -I`.
pub struct Receiver {
    pub running: Running,
    pub address: SocketAddr,
}

/// Starts `lvpipe recv -I 127.0.0.1:0 ARGS TARGET`.
#[track_caller]
pub fn listen(args: &[&str], target: &Path) -> Receiver {
    let mut command = lvpipe(["recv", "-I", "127.0.0.1:0"]);
    command.args(args).arg(target);
    listen_as(&mut command)
}

/// Starts a receiver and waits until it listens.
#[track_caller]
pub fn listen_as(command: &mut Command) -> Receiver {
    let running = start(command);
    let address = || {
        let said = running.said();
        let (_, rest) = said.split_once("listening on ")?;
        rest.split_once(';')?.0.parse().ok()
    };
    wait_until("the receiver listens", || address().is_some());
    let address = address().expect("it listens");
    Receiver { running, address }
}

impl Receiver {
    /// The key that it has printed.
    #[track_caller]
    pub fn key(&self) -> String {
        // The key's line is the last of what it says then.
        wait_until("the key is printed", || self.printed_key().is_some());
        self.printed_key().expect("it is printed")
    }

    fn printed_key(&self) -> Option<String> {
        let said = self.running.said();
        let line = said.lines().find(|line| line.trim_start().starts_with("lvk1-"))?;
        said.contains(&format!("{line}\n")).then(|| line.trim().to_string())
    }

    /// `lvpipe send ARGS SOURCE -O` this receiver, as secure as it is.
    pub fn sender(&self, args: &[&str], source: &Path) -> Command {
        self.sender_through(self.address, args, source)
    }

    /// The same through a proxy.
    pub fn sender_through(&self, address: SocketAddr, args: &[&str], source: &Path) -> Command {
        let mut command = send_to(address, args, source);
        wait_until("the receiver has told all", || self.running.said().matches('\n').count() >= 3);
        let said = self.running.said();
        if said.contains("--insecure") {
            command.arg("--insecure");
        } else if !said.contains("--key-file") && !said.contains("the same key") {
            command.env("LVPIPE_KEY", self.key());
        }
        command
    }
}

/// `lvpipe send -O ADDRESS ARGS SOURCE`.
pub fn send_to(address: SocketAddr, args: &[&str], source: &Path) -> Command {
    let mut command = lvpipe(["send", "-O", &address.to_string()]);
    command.args(args).arg(source);
    command
}

/// Runs a sender to a receiver, to the end of both.
pub fn transfer(receiver: Receiver, sender: &mut Command) -> (Ran, Ran) {
    let sent = start(sender).end();
    // Shown where the test fails: the receiver may wait for another sender then.
    println!("{sent}");
    (sent, receiver.running.end())
}

/// Both ended well.
#[track_caller]
pub fn expect_ok((sent, received): (Ran, Ran)) -> (Ran, Ran) {
    assert!(sent.status.success() && received.status.success(), "{sent}{received}");
    (sent, received)
}

/// A number of the last line of a run with `--progress json`.
#[track_caller]
pub fn figure(ran: &Ran, name: &str) -> u64 {
    let mut lines = ran.stderr.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.find(|line| line["final"] == true).unwrap_or_else(|| panic!("no figures:\n{ran}"));
    last[name].as_u64().unwrap_or_else(|| panic!("no {name}:\n{ran}"))
}

/// The run with its figures, if it has told any, behind its words.
pub fn words_of(mut ran: Ran) -> Ran {
    let (figures, words): (Vec<_>, Vec<_>) = ran.stderr.lines().partition(|line| line.starts_with('{'));
    ran.stderr = [words, figures].concat().join("\n");
    ran
}
