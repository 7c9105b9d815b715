//! `lvpipe recv`: a stream from stdin, or over links from a sender, to a volume.

mod arrivals;
pub(super) mod behind_ssh;

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::landing::{Destination, Landed, Landing};
use super::links::LinkArgs;
use super::shared::{Messages, Resources, left_behind, name_parser, random_id};
use crate::engine::collect::{Collecting, collect, refuse};
use crate::engine::recv::{Receiving, recv};
use crate::engine::{Work, Workshop};
use crate::error::{Error, Result};
use crate::journal::{Journal, Token};
use crate::link::pipe;
use crate::progress::{Figures, Outcome, ProgressKind, Reporter, Role};
use crate::stop::{Interruptible, Stop};
use crate::volume::{ExecOutput, NewVolume, Target, find_journal};
use crate::wire::{DigestKind, Prelude};
pub(super) use arrivals::Arrivals;
use arrivals::RecvLinks;

/// How long a receiver that ssh started waits for a link: its sender starts another one.
pub(super) const RETRY_BEHIND_SSH: Duration = Duration::from_secs(2);

/// Receive a stream from standard input, or from a sender that connects, into a volume, sparse and verified
///
/// Before the first byte is written, the target is checked: it must not be mounted or in use, nor be smaller than
/// the source. Success is said when all of it is verified and on stable storage. A transfer that ends early can be
/// gone on with: a journal says what the target has.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe send vg/vm1 | ssh host lvpipe recv vg/vm1      copy a volume to another host
  lvpipe recv vg/vm1 < vm1.lvp                          restore a backup
  lvpipe recv --create vg/pool:vm1 < vm1.lvp            restore it into a new thin volume
  lvpipe recv - < vm1.lvp | sha256sum                   the volume as it was, holes as zeros
  lvpipe recv -I 7777 vg/vm1                            wait for a sender, print the key
  lvpipe recv --resume -I 7777 vg/vm1                   go on with a transfer that ended early
  lvpipe recv --resume-token vg/vm1                     print a token, for:
  lvpipe send --resume TOKEN | ssh host lvpipe recv --resume vg/vm1")]
pub struct Recv {
    /// Where to write: vg/lv, a device, a file, or - for standard output
    #[arg(required_unless_present_any = ["create", "exec"], conflicts_with = "create", value_parser = name_parser())]
    target: Option<OsString>,

    /// Make a thin volume of the right size in a pool, and remove it again if the transfer fails
    #[arg(long, value_name = "VG/POOL:NAME", conflicts_with = "resume")]
    create: Option<NewVolume>,

    /// Give the volume to a command on its standard input, holes as zeros. Its status counts
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["create", "resume", "resume_token"])]
    exec: Option<String>,

    /// Go on with a transfer that ended early, if there is one: only what is missing is sent. What the target has is
    /// read again and compared with the source
    #[arg(long)]
    resume: bool,

    /// Apply a delta to a target of which nothing is kept that says what it holds. It is taken on trust that it holds
    /// just the base, byte for byte, as when it was copied by other means
    #[arg(long, conflicts_with_all = ["create", "exec", "resume"])]
    assume_base: bool,

    /// Print what `lvpipe send --resume` needs to go on with a transfer that ended early
    #[arg(long, conflicts_with = "resume")]
    resume_token: bool,

    #[command(flatten)]
    links: RecvLinks,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    messages: Messages,
}

impl Recv {
    /// One of the receptions of a far side that ssh has started.
    pub(super) fn behind_ssh(target: String, create: bool, both: LinkArgs, resources: Resources) -> Result<Self> {
        let wrong = |why: String| Error::usage("cannot create target", &target, why);
        let new = create.then(|| target.parse().map_err(wrong)).transpose()?;
        Ok(Recv {
            target: (!create).then(|| target.into()),
            create: new,
            exec: None,
            resume: false,
            assume_base: false,
            resume_token: false,
            links: RecvLinks::behind_ssh(both),
            resources,
            messages: Messages { progress: ProgressKind::None, verbose: false, quiet: true },
        })
    }

    /// The same, to go on with a transfer that ended early if the sender does.
    pub(super) fn resuming(self, resume: bool) -> Self {
        Recv { resume, ..self }
    }

    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        if self.resume_token {
            return self.print_token(stop);
        }
        match self.links.await_sender(self.messages.quiet, stop)? {
            Some(arrivals) => self.receive_links(arrivals, stop),
            None => self.receive_pipe(stop),
        }
    }

    fn receive_pipe(&self, stop: &Stop) -> Result<()> {
        let link = pipe::stdin()?;
        let stream = link.metadata().ok();
        let prelude = read_prelude(&link, "stdin", stop)?;
        if prelude.resumes && !self.resume {
            return Err(Error::guard("cannot receive", "stdin", "the stream goes on with an earlier one")
                .way_out("lvpipe recv --resume TARGET"));
        }
        let (workshop, landing) = self.prepare(&prelude, stream.as_ref(), stop)?;
        let run = self.start(landing, prelude, "stdin", workshop, stop);
        // The target is closed when this returns, so that what is held for it can be let go.
        let received = recv(link, run.target, run.receiving);
        self.finish(received.map(|_| ()), run.landed, run.reporter)
    }

    /// Receives a transfer over links.
    pub(super) fn receive_links(&self, arrivals: Arrivals, stop: &Stop) -> Result<()> {
        let Arrivals { first: (link, prelude), more, from_ssh, listening } = arrivals;
        let prepared =
            self.prepare(&prelude, None, stop).and_then(|prepared| Ok((prepared, random_id("cannot begin")?)));
        let ((workshop, landing), incarnation) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                refuse(link, error.status(), &error.to_string());
                return Err(told(error, from_ssh));
            }
        };
        let stream = link.name.clone();
        let run = self.start(landing, prelude, &stream, workshop, stop);
        let (console, quiet) = (run.reporter.console(), self.messages.quiet || from_ssh);
        let both = &self.links.both;
        let collecting = Collecting {
            receiving: run.receiving,
            incarnation,
            stall: both.stall_timeout(),
            retry_for: if from_ssh { RETRY_BEHIND_SSH } else { both.retry_for() },
            notice: Box::new(move |notice| {
                if !quiet {
                    console.println(&format!("lvpipe: {notice}"));
                }
            }),
        };
        let received = collect(link, more, run.target, collecting);
        drop(listening);
        self.finish(received.map(|_| ()), run.landed, run.reporter).map_err(|error| told(error, from_ssh))
    }

    /// Looks at what is to come, and opens the target for it.
    fn prepare(&self, prelude: &Prelude, stream: Option<&Metadata>, stop: &Stop) -> Result<(Workshop, Landing)> {
        let workshop = self.resources.workshop(prelude.part_size, Work::Decompress)?;
        // Where answers go to standard output, the command's cannot.
        let output = if self.links.from_ssh { ExecOutput::ToStderr } else { ExecOutput::Inherited };
        let destination = Destination {
            create: self.create.as_ref(),
            exec: self.exec.as_deref().map(|command| (command, output)),
            target: self.target.as_deref(),
            resume: self.resume,
            assume_base: self.assume_base,
        };
        Ok((workshop, destination.land(prelude, stream, stop)?))
    }

    fn start(&self, landing: Landing, prelude: Prelude, stream: &str, workshop: Workshop, stop: &Stop) -> Run {
        let figures = Figures::new(Role::Recv);
        figures.set_volume(prelude.volume_size);
        figures.set_used(prelude.used);
        let reporter = match self.links.from_ssh {
            // The sender shows everything, on the same terminal.
            true => Reporter::start(figures.clone(), ProgressKind::None, false, true),
            false => self.messages.report(figures.clone()),
        };
        self.messages.notices(&reporter, &landing.notices);
        let Landing { target, record, holds, mut landed, .. } = landing;
        landed.digest = prelude.digest;
        let stream = stream.into();
        let receiving = Receiving { prelude, stream, workshop, record, holds, figures, stop: stop.clone() };
        Run { target, receiving, landed, reporter }
    }

    /// Lets go of what is held for the target, and says how it ended.
    fn finish(&self, received: Result<()>, landed: Landed, reporter: Reporter) -> Result<()> {
        let digest = landed.digest;
        if let Err(error) = received {
            reporter.finish(Outcome::Failed);
            left_behind(&landed.abandon(&error));
            return Err(error);
        }
        match landed.keep() {
            Ok(notices) => {
                self.messages.notices(&reporter, &notices);
                reporter.finish(Outcome::Done(verified_by(digest)));
                Ok(())
            }
            Err(error) => {
                reporter.finish(Outcome::Failed);
                Err(error)
            }
        }
    }

    fn print_token(&self, stop: &Stop) -> Result<()> {
        let name = self.target.as_deref().unwrap_or_default();
        let nothing = || {
            Error::guard("nothing to go on with", name.to_string_lossy(), "there is no journal of a transfer to it")
                .way_out("send all of it")
        };
        let place = find_journal(name)?.ok_or_else(nothing)?;
        let (about, held) = Journal::read(&place, stop)?.ok_or_else(nothing)?;
        let token = Token::from_journal(&about, &held);
        writeln!(io::stdout(), "{token}").map_err(|e| Error::io("cannot print", "stdout", &e))
    }
}

/// What a run has.
struct Run {
    target: Arc<dyn Target>,
    receiving: Receiving,
    landed: Landed,
    reporter: Reporter,
}

/// What the sender prints need not be printed here too, on the same terminal.
fn told(error: Error, from_ssh: bool) -> Error {
    if from_ssh { error.told_elsewhere() } else { error }
}

/// What a summary says of how it was verified.
fn verified_by(digest: DigestKind) -> String {
    match digest {
        DigestKind::None => "not verified by a digest".into(),
        digest => format!("{digest} verified"),
    }
}

/// Reads a pipe's first bytes; of several links' streams there is only one here.
pub(super) fn read_prelude(link: &File, name: &str, stop: &Stop) -> Result<Prelude> {
    let prelude = Prelude::read(&mut Interruptible::new(link, stop)).map_err(|e| e.at(name, ""))?;
    if prelude.answers || prelude.links != 1 {
        let why = format_args!("it is link {} of a transfer over {}", prelude.link + 1, prelude.links);
        return Err(Error::stream("cannot read stream", name, why));
    }
    Ok(prelude)
}
