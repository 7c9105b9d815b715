//! Where frames go: a pipe one way, or a connection with frames one way and answers the other.

pub mod activation;
pub mod address;
mod admit;
pub(crate) mod complaints;
mod connect;
pub mod dial;
mod duplex;
mod gate;
mod handshake;
pub mod key;
pub mod key_source;
pub mod listen;
pub mod pipe;
mod serve;
mod socket;
pub mod ssh;
mod stranger;
mod tcp;
mod tls;
pub mod turns;

#[cfg(test)]
mod tests;

pub(crate) use tls::provider as crypto_provider;

use std::io::{Read, Write};
use std::sync::Arc;

use crate::error::Result;
use crate::stop::Stop;

/// A connection that carries frames from the sender and answers from the receiver: TCP, TLS, or the pipes of an ssh.
///
/// The halves are used by two threads at once. Neither has a buffer that must be flushed before the other side sees
/// what was written, but for the writer's own [`Write::flush`].
pub struct Link {
    /// The peer, for messages: an address, or the ssh destination.
    pub name: String,
    /// What the peer sends.
    pub reader: Box<dyn Read + Send>,
    /// What the peer gets.
    pub writer: Box<dyn Write + Send>,
    /// How to end it from another thread.
    pub hang_up: HangUp,
}

/// Ends a link from any thread: reads and writes that block return soon, with an error or the end. Doing it twice
/// does no harm.
#[derive(Clone)]
pub struct HangUp(Arc<dyn Fn() + Send + Sync>);

impl HangUp {
    /// `end` closes the connection, both ways.
    pub fn new(end: impl Fn() + Send + Sync + 'static) -> Self {
        HangUp(Arc::new(end))
    }

    /// Ends the link.
    pub fn hang_up(&self) {
        (self.0)();
    }
}

/// How links to one receiver are made.
pub trait Dial: Send + Sync {
    /// The receiver, for messages: as the user named it.
    fn name(&self) -> String;

    /// Makes the link of this number, encrypted and authenticated as the user wants it; nothing of the transfer has
    /// gone over it yet. Takes no longer than its own time-outs, and ends when the run does.
    ///
    /// # Errors
    /// Why there is no link; [`Status::Peer`](crate::error::Status::Peer) when the receiver is not the one that the
    /// key is of, or does not take the key.
    fn dial(&self, number: u16, stop: &Stop) -> Result<Link>;

    /// Whether the link of this number carries frames only while there is no other: it is slower than those that
    /// are to come, as an ssh's pipe is beside TCP.
    fn is_standby(&self, number: u16) -> bool {
        let _ = number;
        false
    }
}

/// How the two sides know each other.
#[derive(Debug, Clone)]
pub enum Security {
    /// By the one-time key; and nobody else can read or change what goes between them.
    Key(key::Key),
    /// Not at all, and all can be read and changed on the way: plain TCP.
    Insecure,
}
