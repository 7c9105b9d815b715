//! `lvpipe serve`: volumes over HTTP, to `lvpipe pull` and to any HTTP client.

mod announce;
mod opened;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::{ArgAction, Args};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::patience::Patience;
use super::shared::{SourceArgs, left_behind, name_parser};
use crate::engine::Compress;
use crate::error::{Error, Result, Status};
use crate::http::serve::{Ended, FoundToken, Identity, Log, MOST_PART_SIZE, Terms, serve};
use crate::link::address::ListenSpec;
use crate::link::listen::Listener;
use crate::stop::Stop;
use crate::volume::SourceOptions;
use crate::wire::PartSize;
use announce::Announcement;
use opened::Opened;

const EXAMPLES: &str = "\
Examples:
  lvpipe serve vg/vm1                                   on port 8080, with TLS and a token
  lvpipe serve vg/vm1 vg/vm2 --listen 192.0.2.1:8443    two volumes, on one address
  lvpipe serve disk.img --token-file t --cert c.pem --cert-key k.pem
  lvpipe serve disk.img --insecure --listen 127.0.0.1:8080
  curl -r 0-511 http://127.0.0.1:8080/disk.img | xxd    the first sector of what that serves";

/// What the manual has besides.
const DETAILS: &str = "\
Examples:
  lvpipe serve vg/vm1                                   on port 8080, with TLS and a token
  lvpipe serve vg/vm1 vg/vm2 --listen 192.0.2.1:8443    two volumes, on one address
  lvpipe serve disk.img --token-file t --cert c.pem --cert-key k.pem
  lvpipe serve disk.img --insecure --listen 127.0.0.1:8080
  curl -r 0-511 http://127.0.0.1:8080/disk.img | xxd    the first sector of what that serves

Resources:
  /                         the volumes and who reads them, for people; as JSON where that is asked for
  /index.json               the same as JSON
  /metrics                  OpenMetrics
  /NAME                     the volume: whole, by range, by several ranges; with a strong ETag
  /NAME/map                 what of it is used, as JSON; ?format=compact for lvpipe
  /NAME/parts/N             a part, with Repr-Digest and Unencoded-Digest, as zstd where that is taken
  /NAME/parts?first=A&last=B  what is used of up to 256 parts, each with its digest, as multipart/mixed

NAME is that of the LV or of the file, or where two are the same the full name with dashes. All but GET and HEAD is
refused. A request is refused with 416 if its ranges are more than 64, or if a byte is in more than two of them.

Who may:
The token goes with each request, as `Authorization: Bearer TOKEN`, or as the password of any user (Basic). TLS is of
version 1.3. An open server on loopback (--insecure) answers only to addresses, to localhost and to this host's name, so
that no page in a browser can read from it under another name. /metrics wants the token too.

Time-outs and bounds:
  5 s        for a TLS handshake
  10 s       for a request, from its first byte to the end of its head; for the first byte of the first one too
  60 s       between two requests of a connection
  -W         until a client takes something of what it asked for
  --grace    for responses under way when the server ends; a second signal does not wait
  16 KiB     of a request's head, and 64 fields in it
  64         connections that have not shown the token; the oldest is pushed out by the next after half a second

--max-clients bounds those that have shown it; more get 503. For each the server has at most some 2.5 MiB in memory, or
some 16 parts while it gets a batch.

Ends:
SIGTERM and SIGINT end the server with status 0. A file that is written to while it is served is not served any more; a
volume that cannot be read ends the response early, so that no client takes it for whole.";

/// Serve volumes over HTTP, read-only: to `lvpipe pull`, and to any other HTTP client
///
/// Each volume is a resource that can be read whole or by ranges; its map tells what of it is used, and its parts come
/// compressed and with digests. A thin LV is served from a temporary snapshot that is held as long as the server runs:
/// it may be in use, and be written to. At / there is a page for people, at /metrics one for OpenMetrics.
///
/// Whoever has the token may read, over TLS. Unless others are given, a certificate and a token are made for the run,
/// and the certificate's fingerprint and the token are printed, with the whole command line for the other side. A
/// signal ends it; what is being sent then has a while to come to its end.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = DETAILS)]
pub struct Serve {
    /// What to serve: vg/lv, a device, or an image file
    #[arg(required = true, value_parser = name_parser())]
    volumes: Vec<OsString>,

    /// Where to listen: a port on all addresses, or on one. `systemd`: on the sockets that systemd hands over
    #[arg(long, value_name = "[ADDRESS:]PORT", default_value = "8080")]
    listen: Listen,

    /// The token that clients must have, in a file; made there if there is none. Else in the environment as
    /// LVPIPE_TOKEN, else one is made for this run and printed
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    token_file: Option<PathBuf>,

    /// The server's certificate, and those that vouch for it, as PEM; made there, with its key, if there is neither. Then
    /// a server that is started again is the same one to who pulls
    #[arg(long, value_name = "FILE", requires = "cert_key", conflicts_with = "insecure")]
    cert: Option<PathBuf>,

    /// The certificate's key, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,

    /// Plain HTTP, and whoever can connect may read. To do so for other hosts too it must be given twice
    #[arg(long, action = ArgAction::Count)]
    insecure: u8,

    /// The most connections at a time that have shown the token; more are told to come again
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_clients: u16,

    /// Drop a client that takes nothing of what it asked for, for so long
    #[arg(short = 'W', long, value_name = "TIME", default_value = "60")]
    stall_timeout: Patience,

    /// When it is to end, let what is being sent take so long
    #[arg(long, value_name = "TIME", default_value = "10")]
    grace: Patience,

    /// The unit of transfer: a power of two from 64k to 8M
    #[arg(short = 's', long, value_name = "SIZE", default_value = "1M")]
    part_size: PartSize,

    /// Compression of parts for clients that take zstd: auto, none, zstd or zstd:LEVEL (-7 to 19)
    #[arg(long, value_name = "KIND", default_value = "auto")]
    compress: Compress,

    #[command(flatten)]
    source_args: SourceArgs,

    /// Serve a thin LV that is in use as it is, without a temporary snapshot, and an image file even if it changes.
    /// What is read is consistent only if nobody writes
    #[arg(long, help_heading = "Source")]
    no_snapshot: bool,

    /// Say every request
    #[arg(short, long, conflicts_with = "quiet", help_heading = "Messages")]
    verbose: bool,

    /// Say nothing but errors, and what clients have to be given
    #[arg(short, long, help_heading = "Messages")]
    quiet: bool,
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
        match text {
            "systemd" => Ok(Listen::Systemd),
            // As others write "on all addresses".
            _ => text.strip_prefix(':').unwrap_or(text).parse().map(Listen::At),
        }
    }
}

impl Serve {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        self.check()?;
        let listener = self.listener()?;
        let addresses = listener.local_addresses();
        let is_loopback = addresses.iter().all(|address| address.ip().is_loopback());
        if self.insecure == 1 && !is_loopback {
            let why = "other hosts could connect, and whoever can connect may read";
            return Err(Error::usage("cannot serve", "--insecure", why)
                .way_out("--listen 127.0.0.1:PORT serves this host alone; --insecure --insecure serves all"));
        }
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let host = host.unwrap_or("localhost".into());
        let (identity, token) = match self.insecure {
            0 => (Some(self.identity(&host, &listener)?), Some(FoundToken::find(self.token_file.as_deref())?)),
            _ => (None, None),
        };
        let options = SourceOptions {
            map: self.source_args.map_choice(),
            no_snapshot: self.no_snapshot,
            ..SourceOptions::default()
        };
        let Opened { volumes, held, notices } = Opened::all(&self.volumes, &options, self.part_size, stop)?;
        notices.iter().for_each(|notice| self.say(&format!("lvpipe: {notice}")));
        let announcement = Announcement {
            volumes: &volumes,
            addresses: &addresses,
            host: &host,
            fingerprint: identity.as_ref().map(|identity| identity.fingerprint),
            is_given: self.cert.is_some(),
            token: token.as_ref(),
            token_file: self.token_file.as_deref(),
        };
        // Standard error may be closed: who started it so knows the rest.
        let _ = io::stderr().write_all(announcement.to_string().as_bytes());
        let terms = Terms {
            identity,
            token: token.map(|found| found.token().clone()),
            most_clients: self.max_clients.into(),
            stall: self.stall_timeout.0,
            grace: self.grace.0,
            compress: self.compress,
            host,
            is_loopback,
            verbose: self.verbose,
            log: self.log(),
        };
        // The sources are closed when this returns, so that what is held for them can be let go.
        match serve(listener, volumes, &terms, stop) {
            Ok(ended) => {
                let released = held.release().map(|notices| {
                    notices.iter().for_each(|notice| self.say(&format!("lvpipe: {notice}")));
                });
                released.and(ended_as(ended, stop))
            }
            Err(error) => {
                left_behind(&held.abandon());
                Err(error)
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.part_size.bytes() as u64 > MOST_PART_SIZE {
            let why = "every client would need several of them in memory: at most 8M";
            return Err(Error::usage("cannot serve", format_args!("-s {}", self.part_size), why));
        }
        if self.source_args.thin_metadata.is_some() && self.volumes.len() > 1 {
            let why = "it has the map of one volume, and there are several";
            return Err(Error::usage("cannot serve", "--thin-metadata", why));
        }
        Ok(())
    }

    fn listener(&self) -> Result<Listener> {
        match &self.listen {
            Listen::At(spec) => Listener::bind(spec),
            Listen::Systemd => Listener::activated()?.ok_or_else(|| {
                Error::usage("cannot listen", "systemd", "no socket was handed over")
                    .way_out("it is for units that a socket unit starts; by hand: --listen PORT")
            }),
        }
    }

    fn identity(&self, host: &str, listener: &Listener) -> Result<Identity> {
        let addresses = listener.local_addresses().into_iter().map(|address| address.ip());
        let addresses: Vec<IpAddr> = addresses.filter(|ip| !ip.is_unspecified()).collect();
        let names = [host.to_string(), "localhost".to_string()];
        let (Some(certificate), Some(key)) = (&self.cert, &self.cert_key) else {
            return Identity::make(&names, &addresses);
        };
        if !certificate.exists() && !key.exists() {
            Identity::keep(&names, &addresses, certificate, key)?;
        }
        Identity::read(certificate, key)
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            // Standard error may be closed.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    fn log(&self) -> Log {
        let quiet = self.quiet;
        Arc::new(move |line| {
            if !quiet {
                // Standard error may be closed.
                let _ = io::stderr().write_all(format!("lvpipe: {line}\n").as_bytes());
            }
        })
    }
}

/// The signals by which a server is meant to end are no failure, unless its clients were not waited for.
fn ended_as(ended: Ended, stop: &Stop) -> Result<()> {
    match stop.check() {
        Err(error)
            if ended == Ended::InGoodOrder
                && [SIGINT, SIGTERM].iter().any(|signal| error.status() == Status::Signal(*signal)) =>
        {
            Ok(())
        }
        other => other,
    }
}
