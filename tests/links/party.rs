//! A receiver that listens on a free port, and senders to it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::process::{Ran, Running, lvpipe, start, wait_until};

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
        let said = self.running.said();
        let key = said.split_whitespace().find(|word| word.starts_with("lvk1-"));
        key.unwrap_or_else(|| panic!("no key in {said}")).to_string()
    }
}

/// `lvpipe send SOURCE -O ADDRESS ARGS`.
pub fn send_to(address: SocketAddr, args: &[&str], source: &Path) -> Command {
    let mut command = lvpipe(["send", "-O", &address.to_string()]);
    command.args(args).arg(source);
    command
}

/// Runs a sender to a receiver, to the end of both.
pub fn transfer(receiver: Receiver, sender: &mut Command) -> (Ran, Ran) {
    let sent = start(sender).end();
    (sent, receiver.running.end())
}

/// Both ended well.
#[track_caller]
pub fn expect_ok((sent, received): (Ran, Ran)) -> (Ran, Ran) {
    assert!(sent.status.success() && received.status.success(), "{sent}{received}");
    (sent, received)
}
