//! `lvpipe pull`: a volume from a server over HTTP, to a volume.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::landing::{Destination, Landed, Landing};
use super::patience::Patience;
use super::shared::{Messages, Resources, left_behind, name_parser, random_id};
use crate::engine::Work;
use crate::engine::recv::Receiving;
use crate::error::{Error, Result};
use crate::http::pull::{Access, Fingerprint, Pulling, Remote, Url};
use crate::progress::{Figures, Outcome, Reporter, Role};
use crate::stop::Stop;
use crate::volume::{ExecOutput, NewVolume};

/// As many connections as there are unless the user says how many.
const CONNECTIONS: u16 = 8;

/// Pull a volume from a server over HTTP, over several connections at once, sparse and verified
///
/// From `lvpipe serve` only used blocks come, compressed, each part with a checksum. From any other server that has
/// ranges the file comes in parallel, and zeros in it are not written; from one without, as one stream. Before the
/// first byte is written, the target is checked: it must not be mounted or in use, nor be smaller than the source.
/// Success is said when all of it is verified and on stable storage. A transfer that ends early can be gone on with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe pull https://host:8080/vm1 vg/vm1 --fingerprint sha256:...
  lvpipe pull https://host:8080/vm1 vg/vm1 -n 4 --token-file FILE
  lvpipe pull --resume https://host:8080/vm1 vg/vm1     go on with a transfer that ended early
  lvpipe pull http://mirror/disk.img disk.img           a file from any server
  lvpipe pull http://mirror/disk.img - | sha256sum      the same to standard output, in order")]
pub struct Pull {
    /// What to pull: http://HOST/NAME or https://HOST:PORT/NAME
    #[arg(value_name = "URL")]
    url: Url,

    /// Where to write: vg/lv, a device, a file, or - for standard output
    #[arg(required_unless_present_any = ["create", "exec"], conflicts_with = "create", value_parser = name_parser())]
    target: Option<OsString>,

    /// Make a thin volume of the right size in a pool, and remove it again if the transfer fails
    #[arg(long, value_name = "VG/POOL:NAME", conflicts_with = "resume")]
    create: Option<NewVolume>,

    /// Give the volume to a command on its standard input, holes as zeros. Its status counts
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["target", "create", "resume"])]
    exec: Option<String>,

    /// Go on with a transfer that ended early, if there is one and the server's volume is still the same: only what is
    /// missing is fetched. What the target has is read again and compared with what was written
    #[arg(long)]
    resume: bool,

    #[command(flatten)]
    server: Server,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    messages: Messages,
}

/// How the server is reached and known.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
struct Server {
    /// So many connections at once, of a server that has ranges
    #[arg(short = 'n', long, value_name = "N", default_value_t = CONNECTIONS, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,

    /// The server's token, in a file; else in the environment as LVPIPE_TOKEN, else none is sent
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Believe the server that has the certificate with this fingerprint, as `lvpipe serve` prints it, and no other.
    /// Without, one that the system trusts under the URL's name
    #[arg(long, value_name = "sha256:HEX")]
    fingerprint: Option<Fingerprint>,

    /// Send the token over http:// too, where everybody on the way can read it
    #[arg(long)]
    insecure: bool,

    /// When nothing comes, over no connection, go on trying for so long
    #[arg(long, value_name = "TIME", default_value = "60")]
    retry_for: Patience,

    /// Give a connection up on which nothing has come for so long
    #[arg(short = 'W', long, value_name = "TIME", default_value = "30")]
    stall_timeout: Patience,

    /// How long a connection may take to be made
    #[arg(long, value_name = "TIME", default_value = "10")]
    connect_timeout: Patience,
}

impl Pull {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        let figures = Figures::new(Role::Pull);
        let notice = |notice: &str| {
            if !self.messages.quiet {
                // Standard error may be closed.
                let _ = writeln!(io::stderr(), "lvpipe: {notice}");
            }
        };
        let remote = Remote::find(self.access(), &figures, &notice, stop)?;
        if self.resume && !remote.can_resume() {
            let why = "the server has no ranges, or does not say which version of the volume it has";
            return Err(Error::usage("cannot go on with the transfer", &self.url, why)
                .way_out("without --resume all of it is pulled"));
        }
        let prelude = remote.prelude(random_id("cannot begin")?, self.resume);
        let workshop = self.resources.workshop(prelude.part_size, Work::Decompress)?;
        let destination = Destination {
            create: self.create.as_ref(),
            exec: self.exec.as_deref().map(|command| (command, ExecOutput::Inherited)),
            target: self.target.as_deref(),
            resume: self.resume,
            // What is served is a whole volume.
            assume_base: false,
        };
        let landing = destination.land(&prelude, None, stop)?;
        figures.set_volume(prelude.volume_size);
        figures.set_used(prelude.used);
        let reporter = self.messages.report(figures.clone());
        self.messages.notices(&reporter, &landing.notices);
        let Landing { target, record, holds, landed, .. } = landing;
        // What cannot be asked for by part is not gone on with, so that nothing is recorded of it.
        let record = record.filter(|_| remote.can_resume());
        let (stream, stop) = (self.url.to_string(), stop.clone());
        let receiving = Receiving { prelude, stream, workshop, record, holds, figures, stop };
        let (console, quiet) = (reporter.console(), self.messages.quiet);
        let pulling = Pulling {
            receiving,
            connections: self.server.connections.into(),
            retry_for: self.server.retry_for.0,
            notice: Arc::new(move |notice| {
                if !quiet {
                    console.println(&format!("lvpipe: {notice}"));
                }
            }),
        };
        let verified = remote.verified_by();
        // The target is closed when this returns, so that what is held for it can be let go.
        let pulled = remote.pull(target, pulling);
        self.finish(pulled, landed, reporter, verified)
    }

    fn access(&self) -> Access {
        let server = &self.server;
        Access {
            url: self.url.clone(),
            token_file: server.token_file.clone(),
            fingerprint: server.fingerprint,
            insecure: server.insecure,
            connect_timeout: server.connect_timeout.0,
            stall: server.stall_timeout.0,
            retry_for: server.retry_for.0,
        }
    }

    /// Lets go of what is held for the target, and says how it ended.
    fn finish(&self, pulled: Result<()>, landed: Landed, reporter: Reporter, verified: &str) -> Result<()> {
        let kept = match pulled {
            Ok(()) => landed.keep(),
            Err(error) => {
                reporter.finish(Outcome::Failed);
                left_behind(&landed.abandon(&error));
                return Err(error);
            }
        };
        match kept {
            Ok(notices) => {
                self.messages.notices(&reporter, &notices);
                reporter.finish(Outcome::Done(verified.into()));
                Ok(())
            }
            Err(error) => {
                reporter.finish(Outcome::Failed);
                Err(error)
            }
        }
    }
}
