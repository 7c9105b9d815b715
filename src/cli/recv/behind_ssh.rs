//! A receiver that ssh has started: it hears what is wanted, listens beside ssh, and greets.

use std::fs::File;
use std::io::{Read, Write};

use crossbeam_channel::{Receiver, bounded};

use super::arrivals::{Arrivals, Listening, serve};
use crate::error::{Error, Result};
use crate::link::address::ListenSpec;
use crate::link::key::Key;
use crate::link::listen::Listener;
use crate::link::ssh::{Greeting, Request};
use crate::link::{Link, Security, pipe};
use crate::stdio;
use crate::stop::{Interruptible, Stop};
use crate::wire::Prelude;
use crate::wire::prelude::VERSION;

/// A request is a short line.
const LONGEST_REQUEST: usize = 4096;

/// What there is beside ssh's own pipes.
pub(in crate::cli) struct Beside {
    /// Links over TCP, as they come.
    pub(in crate::cli) more: Receiver<(Link, Prelude)>,
    /// Ends with this.
    pub(in crate::cli) listening: Option<Listening>,
}

/// ssh's pipes, after the greeting.
pub(in crate::cli) struct Greeted {
    pub(in crate::cli) from: File,
    pub(in crate::cli) to: File,
    pub(in crate::cli) beside: Beside,
}

/// Hears what the sender wants and tells the port. `way_out` says who is to start this.
///
/// # Errors
/// When it was not started so; what ended the run.
pub(in crate::cli) fn greet(way_out: &str, stop: &Stop) -> Result<Greeted> {
    let from = stdio::input("cannot be started", way_out)?;
    let mut to = stdio::output("cannot be started", way_out)?;
    let request = read_request(&from, stop)?;
    let (beside, port) = listen_beside(&request, stop)?;
    let greeting = Greeting { lvpipe: env!("CARGO_PKG_VERSION").into(), wire: VERSION, port };
    let greeting = serde_json::to_string(&greeting).map_err(|e| Error::io("cannot greet", "stdout", &e.into()))?;
    to.write_all((greeting + "\n").as_bytes()).map_err(|e| Error::io("cannot greet", "stdout", &e))?;
    Ok(Greeted { from, to, beside })
}

/// The sender's ssh as the first link of a transfer.
pub(super) fn arrivals(stop: &Stop) -> Result<Arrivals> {
    let greeted = greet("it is for `lvpipe send SOURCE ssh://HOST/TARGET` to start", stop)?;
    let Greeted { from, to, beside: Beside { more, listening } } = greeted;
    let prelude = Prelude::read(&mut Interruptible::new(&from, stop)).map_err(|e| e.at("ssh", ""))?;
    let link = pipe::link(from, to, "ssh");
    Ok(Arrivals { first: (link, prelude), more, from_ssh: true, listening })
}

/// One line, and nothing after it.
fn read_request(stdin: &File, stop: &Stop) -> Result<Request> {
    let wrong = |why: &str| Error::usage("cannot be started", "--from-ssh", why);
    let mut from = Interruptible::new(stdin, stop);
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST_REQUEST {
        match from.read(&mut byte) {
            Ok(0) => return Err(wrong("its standard input has ended")),
            Ok(_) if byte[0] == b'\n' => {
                return serde_json::from_slice(&line).map_err(|_| wrong("its first line is no request"));
            }
            Ok(_) => line.push(byte[0]),
            Err(e) => {
                stop.check()?;
                return Err(Error::io("cannot be started", "stdin", &e));
            }
        }
    }
    Err(wrong("its first line is too long"))
}

/// Listens for TCP links if they are wanted. That it cannot is no failure: everything can go through ssh.
fn listen_beside(request: &Request, stop: &Stop) -> Result<(Beside, Option<u16>)> {
    // Disconnected: no more links will come.
    let none = || (Beside { more: bounded(0).1, listening: None }, None);
    if !request.listen {
        return Ok(none());
    }
    let wrong = |why: String| Error::usage("cannot be started", "--from-ssh", why);
    let spec = match &request.ports {
        Some(ports) => ListenSpec::ports(ports.parse().map_err(wrong)?),
        None => "0".parse().map_err(wrong)?,
    };
    let key: Key = request.key.parse().map_err(wrong)?;
    let Ok(listener) = Listener::bind(&spec) else { return Ok(none()) };
    let port = listener.local_addresses().first().map(|address| address.port());
    let (more, listening) = serve(listener, Security::Key(key), true, stop)?;
    Ok((Beside { more, listening: Some(listening) }, port))
}
