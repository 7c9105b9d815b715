//! Where frames go: a pipe one way, or a connection with frames one way and answers the other.

pub mod activation;
pub mod address;
mod admit;
mod complaints;
mod connect;
pub mod dial;
mod gate;
pub mod listen;
pub mod pipe;
mod serve;
mod socket;
mod stranger;
mod tcp;

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
pub enum Security {
    /// Not at all, and all can be read on the way: plain TCP.
    Insecure,
}
