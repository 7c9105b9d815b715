//! Where `recv` gets a transfer from when it is no pipe: it listens, or ssh has started it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::Args;
use crossbeam_channel::{Receiver, after, bounded, never, select};

use super::behind_ssh;
use crate::cli::links::LinkArgs;
use crate::cli::patience::Patience;
use crate::error::{Error, Result, Status};
use crate::link::activation;
use crate::link::address::{ListenSpec, PortRange};
use crate::link::key_source::{KeySource, ReceiverKey};
use crate::link::listen::{Closer, Listener};
use crate::link::{Link, Security};
use crate::stop::Stop;
use crate::wire::Prelude;

/// How long a service waits for a sender that systemd has started for a connection.
const PATIENCE_OF_A_SERVICE: Duration = Duration::from_secs(60);

/// Where to listen, and who may send.
#[derive(Debug, Args)]
#[command(next_help_heading = "Links")]
pub struct RecvLinks {
    /// Wait for a sender on this port (lvpipe send -O HOST:PORT), instead of standard input. `systemd`: on the sockets
    /// that systemd hands over
    #[arg(short = 'I', long = "listen", value_name = "[ADDRESS:]PORT")]
    listen: Option<Listen>,

    /// Listen on the first free port of these
    #[arg(long, value_name = "FIRST-LAST", conflicts_with = "listen")]
    port_range: Option<PortRange>,

    /// The key that the sender must have, in a file; made there if there is none. Else in the environment as
    /// LVPIPE_KEY, else one is made for this transfer and printed
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Wait so long for the sender [default: for ever; on systemd's sockets, 60]
    #[arg(long, value_name = "TIME")]
    wait: Option<Patience>,

    #[command(flatten)]
    pub(super) both: LinkArgs,

    /// Started by `lvpipe send ssh://...`: the stream comes through standard input, answers go to standard output
    #[arg(long, hide = true, conflicts_with_all = ["listen", "port_range", "key_file", "insecure", "wait"])]
    pub(super) from_ssh: bool,
}

/// Where to listen.
#[derive(Debug, Clone)]
enum Listen {
    At(ListenSpec),
    /// sd_listen_fds(3).
    Systemd,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "systemd" { Ok(Listen::Systemd) } else { text.parse().map(Listen::At) }
    }
}

/// Links that arrive: the first, which says what the transfer is, and those that come later.
pub struct Arrivals {
    pub first: (Link, Prelude),
    pub more: Receiver<(Link, Prelude)>,
    /// Whether ssh has started this receiver.
    pub from_ssh: bool,
    /// Ends with this.
    pub listening: Option<Listening>,
}

/// A thread that listens; dropped, it takes no more connections.
pub struct Listening {
    closer: Closer,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        activation::notify("STOPPING=1");
        self.closer.close();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported on stderr.
            let _ = thread.join();
        }
    }
}

impl RecvLinks {
    /// No links of its own: ssh has started this.
    pub(super) fn behind_ssh(both: LinkArgs) -> Self {
        RecvLinks { listen: None, port_range: None, key_file: None, wait: None, both, from_ssh: true }
    }

    /// Waits for a sender, unless the stream comes from a pipe.
    ///
    /// # Errors
    /// A usage error for what does not fit together; when there is no place to listen; what ended the run.
    pub fn await_sender(&self, quiet: bool, stop: &Stop) -> Result<Option<Arrivals>> {
        if self.from_ssh {
            return behind_ssh::arrivals(stop).map(Some);
        }
        let listener = match (&self.listen, &self.port_range) {
            (Some(Listen::At(spec)), _) => Listener::bind(spec)?,
            (None, Some(ports)) => Listener::bind(&ListenSpec::ports(ports.clone()))?,
            (Some(Listen::Systemd), _) => Listener::activated()?.ok_or_else(|| {
                Error::usage("cannot listen", "systemd", "no socket was handed over")
                    .way_out("it is for units that a socket unit starts; by hand: -I PORT")
            })?,
            (None, None) => return self.refuse_idle_options().map(|()| None),
        };
        let security = self.security()?;
        announce(&listener, &security);
        let (more, listening) = serve(listener, security.into_security(), quiet, stop)?;
        activation::notify("READY=1\nSTATUS=waiting for a sender");
        let first = first_of(&more, self.patience(), stop)?;
        activation::notify(&format!("STATUS=receiving from {}", first.0.name));
        Ok(Some(Arrivals { first, more, from_ssh: false, listening: Some(listening) }))
    }

    /// How long the sender may keep this waiting. A connection that started a service was made by somebody just now:
    /// where that was no sender the service ends, and the next connection starts it again.
    fn patience(&self) -> Option<Duration> {
        match (self.wait, &self.listen) {
            (Some(patience), _) => Some(patience.0),
            (None, Some(Listen::Systemd)) => Some(PATIENCE_OF_A_SERVICE),
            (None, _) => None,
        }
    }

    fn refuse_idle_options(&self) -> Result<()> {
        let idle = [("--key-file", self.key_file.is_some()), ("--wait", self.wait.is_some())];
        match self.both.given().iter().chain(&idle).find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(Error::usage("cannot receive", option, "there is nothing to listen on")
                .way_out("to wait for a sender: -I PORT; without it the stream comes from standard input")),
        }
    }

    fn security(&self) -> Result<Told> {
        match (self.both.insecure, &self.key_file) {
            (true, Some(_)) => Err(Error::usage("cannot receive", "--insecure", "with a key it would not be")),
            (true, None) => Ok(Told::Insecure),
            (false, file) => KeySource::find(file.clone()).for_receiver().map(Told::Key),
        }
    }
}

/// How the sides know each other, and whether the user knows the key already.
enum Told {
    Insecure,
    Key(ReceiverKey),
}

impl Told {
    fn into_security(self) -> Security {
        match self {
            Told::Insecure => Security::Insecure,
            Told::Key(ReceiverKey::Known(key) | ReceiverKey::New(key) | ReceiverKey::Written(key)) => {
                Security::Key(key)
            }
        }
    }
}

/// Says where it listens and what the sender has to be given.
fn announce(listener: &Listener, security: &Told) {
    let addresses = listener.local_addresses();
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let port = addresses.first().map_or(0, |address| address.port());
    let host = match addresses.first().filter(|address| !address.ip().is_unspecified()) {
        Some(address) => address.ip().to_string(),
        None => nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or("HOST".into()),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let (option, key) = match security {
        Told::Insecure => (" --insecure", "not encrypted, and whoever can connect may send".to_string()),
        Told::Key(ReceiverKey::Known(_)) => ("", "with the same key".into()),
        Told::Key(ReceiverKey::Written(_)) => {
            (" --key-file FILE", "the key was written to the file; the sender needs a copy of it".into())
        }
        Told::Key(ReceiverKey::New(key)) => ("", format!("which asks for the key of this transfer:\n  {key}")),
    };
    let text = format!(
        "lvpipe: listening on {}; on the other side:\n  lvpipe send SOURCE -O {host}:{port}{option}\n{key}\n",
        shown.join(" and "),
    );
    // Standard error may be closed: who started it so knows the port and has the key in a file.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Starts to accept connections. Strangers are told of unless `quiet`.
pub(super) fn serve(
    listener: Listener,
    security: Security,
    quiet: bool,
    stop: &Stop,
) -> Result<(Receiver<(Link, Prelude)>, Listening)> {
    // Each takes its place among the transfer's links at once; a few may come while the target is opened.
    let (arriving, more) = bounded(16);
    let (closer, stop) = (listener.closer(), stop.clone());
    let thread = thread::Builder::new().name("listener".into()).spawn(move || {
        let log = |line: &str| {
            if !quiet {
                // Standard error may be closed.
                let _ = io::stderr().write_all(format!("lvpipe: {line}\n").as_bytes());
            }
        };
        if let Err(error) = listener.serve(&security, &arriving, &log, &stop) {
            stop.fail(error);
        }
    });
    let thread = thread.map_err(|e| Error::io("cannot start thread", "listener", &e))?;
    Ok((more, Listening { closer, thread: Some(thread) }))
}

/// The first sender's first link, if it comes within `patience`.
fn first_of(links: &Receiver<(Link, Prelude)>, patience: Option<Duration>, stop: &Stop) -> Result<(Link, Prelude)> {
    let ended = || Error::new(Status::Io, "cannot listen", "socket", "the listener has ended");
    let too_late = patience.map_or_else(never, after);
    let first = select! {
        recv(links) -> first => first.map_err(|_| ended()),
        recv(too_late) -> _ => {
            let why = format!("none has come within {} s", patience.unwrap_or_default().as_secs_f64());
            Err(Error::new(Status::Io, "cannot receive", "sender", why).way_out("--wait TIME waits longer"))
        }
        recv(stop.ended()) -> _ => Err(ended()),
    };
    // What ended the run is the reason, whatever was noticed first.
    first.or_else(|error| stop.check().and(Err(error)))
}
