//! A far side that does one thing after the other: `ssh HOST lvpipe attend`.
//!
//! After the greeting, ssh's pipes are used in [turns](crate::link::turns): an order, its answer, or a transfer's link
//! 0. A transfer's other links are TCP to the port that the far side listens on from beginning to end. When this is
//! dropped, or the run is killed, the pipes end, and the far side lets go of what it has.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::process::Process;
use super::{Ssh, SshOptions, SshUrl};
use crate::error::{Error, Result, Status};
use crate::link::key::Key;
use crate::link::turns::Turns;
use crate::link::{Dial, Link};
use crate::stop::Stop;

/// What the far side answers to an order.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply<A> {
    /// It is being done: a sign of life. More will follow.
    Working,
    /// It is done, or this is so.
    Done(A),
    /// It is not.
    Failed {
        /// Its exit status, had it ended with that.
        status: u8,
        /// Its message, which may have a way out on its second line.
        reason: String,
    },
}

/// A far side that waits for orders.
pub struct Session {
    ssh: Ssh,
    process: Process,
    turns: Turns,
    /// Whether the order that was given last begins a transfer of which no link 0 was made.
    transfer: AtomicBool,
}

impl Session {
    /// Starts the far side. The target in `url` is for the orders to name; of `options`, what is for a receiver's
    /// target is not used.
    ///
    /// # Errors
    /// Why it cannot be started, or is no lvpipe that knows this.
    pub fn start(url: SshUrl, options: SshOptions, stop: &Stop) -> Result<Self> {
        let ssh = Ssh::new(url, options, Key::generate()?);
        let mut words = vec![ssh.options.remote.as_str(), "attend"];
        words.extend(ssh.options.arguments.iter().map(String::as_str));
        let command = ssh.remote(words)?;
        let (process, from, to) = ssh.begin(command, stop)?;
        Ok(Session { ssh, process, turns: Turns::new(from, to), transfer: AtomicBool::new(false) })
    }

    /// Gives an order that a transfer follows, over links that are dialled from here: its end is the answer.
    ///
    /// # Errors
    /// When the far side is gone, or the run has ended.
    pub fn begin_transfer(&self, order: &impl Serialize, stop: &Stop) -> Result<()> {
        self.say(order, stop)?;
        self.transfer.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Gives an order and waits for what it answers.
    ///
    /// # Errors
    /// What the far side says; when it is gone, or the run has ended.
    pub fn ask<A: DeserializeOwned>(&self, order: &impl Serialize, stop: &Stop) -> Result<A> {
        self.ask_for_long(order, || {}, stop)
    }

    /// The same with an order that takes long: `sign` is called whenever the far side says that it is still at it.
    ///
    /// # Errors
    /// What the far side says; when it is gone, or the run has ended.
    pub fn ask_for_long<A: DeserializeOwned>(
        &self,
        order: &impl Serialize,
        sign: impl Fn(),
        stop: &Stop,
    ) -> Result<A> {
        self.say(order, stop)?;
        let odd =
            |_| Error::stream("cannot understand far side", &self.ssh.url, "its answer is none that is known");
        loop {
            let heard = self.turns.hear(stop).map_err(|e| self.lost(&e, stop))?;
            let heard = heard.ok_or_else(|| self.lost(&io::ErrorKind::UnexpectedEof.into(), stop))?;
            match serde_json::from_slice(&heard).map_err(odd)? {
                Reply::Working => sign(),
                Reply::Done(answer) => return Ok(answer),
                Reply::Failed { status, reason } => {
                    let status = super::remote_status(status.into());
                    return Err(Error::new(status, "refused there", &self.ssh.url, reason));
                }
            }
        }
    }

    /// Whether ssh has ended, which is not seen by a transfer whose links are beside it.
    pub fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// How long it takes to get there and back over TCP; `None` where it does not listen, or cannot be reached.
    pub fn round_trip(&self, stop: &Stop) -> Option<Duration> {
        let tcp = self.ssh.tcp.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tcp?.round_trip(stop)
    }

    fn say(&self, order: &impl Serialize, stop: &Stop) -> Result<()> {
        let order = serde_json::to_vec(order).map_err(|e| self.lost(&e.into(), stop))?;
        self.turns.say(&order, stop).map_err(|e| self.lost(&e, stop))
    }

    /// What ended the run is the reason, if something did.
    fn lost(&self, why: &io::Error, stop: &Stop) -> Error {
        let gone = matches!(why.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe);
        let lost = match gone {
            true => Error::new(Status::Io, "far side lost", &self.ssh.url, "ssh has ended"),
            false => Error::io("far side lost", &self.ssh.url, why),
        };
        stop.check().err().unwrap_or(lost)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What ssh was started with may outlive it and keep its pipes.
        self.turns.close();
        self.process.end();
    }
}

impl Dial for Session {
    fn name(&self) -> String {
        self.ssh.url.to_string()
    }

    fn dial(&self, number: u16, stop: &Stop) -> Result<Link> {
        if number > 0 {
            return self.ssh.dial_beside(number, stop);
        }
        match self.transfer.swap(false, Ordering::SeqCst) {
            true => Ok(self.turns.link(&self.name(), stop)),
            // What the far side has of the transfer it lets go of with its session: there is nothing to go on with.
            false => Err(Error::new(Status::Io, "cannot connect", &self.ssh.url, "the link through ssh has ended")),
        }
    }

    fn is_standby(&self, number: u16) -> bool {
        number == 0
    }
}
