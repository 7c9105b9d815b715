//! Where frames go: a pipe one way, or a connection with frames one way and answers the other.

pub mod activation;
pub mod address;
mod admit;
mod complaints;
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
mod stranger;
mod tcp;
mod tls;

#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::sync::Arc;

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

/// How the two sides know each other.
#[derive(Debug, Clone)]
pub enum Security {
    /// By the one-time key; and nobody else can read or change what goes between them.
    Key(key::Key),
    /// Not at all, and all can be read and changed on the way: plain TCP.
    Insecure,
}
