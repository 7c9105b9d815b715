//! The first words on a link: the sender's prelude, the receiver's welcome, and what the receiver holds already.

use std::io::Write;
use std::time::Duration;

use super::guard::Guarded;
use crate::error::{Error, Result, Status};
use crate::link::{Dial, Link};
use crate::stop::Stop;
use crate::usedmap::Extent;
use crate::wire::{Answer, Prelude, Welcome, WireError};

/// More extents than this a receiver does not tell, since they are kept in memory: 64 MiB of them.
const MOST_EXTENTS: u64 = 4 << 20;

/// A link that the receiver has taken into the transfer.
pub(super) struct Greeted {
    pub(super) link: Link,
    pub(super) number: u16,
    pub(super) welcome: Welcome,
    /// What the receiver holds from an earlier transfer.
    pub(super) have: Vec<Extent>,
}

/// Makes a link and introduces the transfer.
///
/// # Errors
/// Why there is no link, or that the receiver refuses.
pub(super) fn greet(
    dial: &dyn Dial,
    number: u16,
    prelude: &Prelude,
    patience: Duration,
    stop: &Stop,
) -> Result<Greeted> {
    let mut link = dial.dial(number, stop)?;
    let name = dial.name();
    let guarded = Guarded::new(link.hang_up.clone());
    guarded.watch(patience, stop, || {
        let prelude = Prelude { link: number, ..prelude.clone() };
        let introduced = link.writer.write_all(&prelude.encode()).and_then(|()| link.writer.flush());
        // Who is refused may find the link closed already: the answer tells why, if there is one.
        let welcomed = hear_welcome(&mut link, &name, &guarded);
        let (welcome, have) = match (introduced, welcomed) {
            (Err(e), Err(unheard)) if unheard.status() != Status::Peer => {
                return Err(Error::io("cannot introduce transfer", &name, &e));
            }
            (_, welcomed) => welcomed?,
        };
        Ok(Greeted { link, number, welcome, have })
    })
}

fn hear_welcome(link: &mut Link, name: &str, guarded: &Guarded) -> Result<(Welcome, Vec<Extent>)> {
    let mut welcome: Option<Welcome> = None;
    let mut have = Vec::new();
    loop {
        let answer = Answer::read(&mut link.reader).map_err(|e| match guarded.is_stalled() {
            true => Error::new(Status::Io, "no answer", name, "the receiver says nothing"),
            // It may be the network's doing, and pass.
            false if matches!(e, WireError::Truncated { .. }) => {
                Error::new(Status::Io, "no answer", name, "the connection ended before the receiver's welcome")
            }
            false => e.at(name, "before its welcome"),
        })?;
        guarded.heard();
        match answer {
            Answer::Alive { .. } => {}
            Answer::Failed { status, reason } => return Err(refusal(name, status, &reason)),
            Answer::Welcome(said) if welcome.is_none() && said.have <= MOST_EXTENTS => welcome = Some(said),
            Answer::Have(extents) if welcome.is_some() => {
                have.extend(extents.into_iter().map(|(offset, length)| Extent { offset, length }));
            }
            _ => return Err(Error::stream("cannot understand receiver", name, "its first answer is no welcome")),
        }
        if let Some(welcome) = welcome.take_if(|welcome| have.len() as u64 >= welcome.have) {
            return Ok((welcome, have));
        }
    }
}

/// The receiver's reason as an error of this side.
pub(super) fn refusal(name: &str, status: Status, reason: &str) -> Error {
    let (what, status) = match status {
        Status::Guard | Status::Usage | Status::Peer => ("receiver refused", Status::Peer),
        Status::Stream => ("receiver failed", Status::Stream),
        Status::Io | Status::Signal(_) => ("receiver failed", Status::Io),
    };
    Error::new(status, what, name, reason)
}
