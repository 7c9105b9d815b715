//! `lvpipe send`: a volume or a stream to stdout, or over links to receivers.

mod links;
mod request;

use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;

use super::shared::{Messages, Resources, SourceArgs, left_behind, name_parser, random_id};
use crate::byte_size::ByteSize;
use crate::engine::send::{Input, Sending, send};
use crate::engine::spread::{Terms, send_over};
use crate::engine::{Compress, HeldAtTarget, Rate, lineage};
use crate::error::{Error, Result};
use crate::link::pipe;
use crate::progress::{Figures, Outcome, Reporter, Role};
use crate::stop::Stop;
use crate::usedmap::Extent;
use crate::volume::{OpenSource, Origin, Since, SourceOptions, What, identity, open_source};
use crate::wire::{DigestKind, PartSize, Prelude};
use links::{SendLinks, Ways};
use request::{Request, Resumption};

/// Send the used blocks of a volume to standard output, or over several connections
///
/// The source is read by its used map, compressed in parallel and written to standard output as a stream that
/// `lvpipe recv` takes, at once or later: saved to a file it is a backup. With -O or ssh:// it goes over several
/// encrypted connections to a receiver that answers: when `send` ends with status 0, the receiver has all of it
/// verified on stable storage. A thin LV is sent from a temporary snapshot, as it is at that moment: it may be in
/// use, and be written to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe send vg/vm1 | ssh host lvpipe recv vg/vm1      copy a volume to another host
  lvpipe send vg/vm1 > vm1.lvp                          back it up
  lvpipe send vg/s2 --since vg/s1 > delta.lvp           what changed between two snapshots
  lvpipe send disk.img | lvpipe recv copy.img           copy an image, sparse
  lvpipe send vg/vm1 ssh://root@host/vg/vm1             start the receiver over ssh
  lvpipe send vg/vm1 -O host:7777 --key-file k          send to a receiver that listens
  tar c /srv | lvpipe send - ssh://host/- --exec 'tar x -C /srv'
  zfs send tank/a@1 | lvpipe send - | ssh host 'lvpipe recv - | zfs recv tank/a'")]
pub struct Send {
    /// What to send: vg/lv, a device, an image file, or - for standard input
    #[arg(value_parser = name_parser(), required_unless_present = "resume")]
    source: Option<OsString>,

    /// Where to send it: ssh://[USER@]HOST[:PORT]/TARGET, a volume or with a second slash an absolute path there, or
    /// - for its standard output
    #[arg(value_name = "ssh://HOST/TARGET")]
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets in the help mean what they mean in any help")]
    destinations: Vec<OsString>,

    /// Send only what changed since BASE, a thin snapshot in the same pool that the receiver has already: what was
    /// written, and what was discarded. Neither of them need be active. The receiver refuses it unless its target holds
    /// just that
    #[arg(long, value_name = "BASE", value_parser = name_parser(), conflicts_with = "thin_metadata")]
    since: Option<OsString>,

    /// Compression: auto (by what the links and the processors have left), none, zstd or zstd:LEVEL (-7 to 19)
    #[arg(long, value_name = "KIND", default_value = "auto")]
    compress: Compress,

    /// The digest of each part and of the whole
    #[arg(long, value_name = "KIND", default_value_t)]
    digest: DigestKind,

    /// The unit of transfer: a power of two from 64k to 64M
    #[arg(short = 's', long, value_name = "SIZE", default_value = "1M")]
    part_size: PartSize,

    /// Send at most so many bytes a second, as in 50M
    #[arg(short, long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<ByteSize>,

    #[command(flatten)]
    links: SendLinks,

    /// Go on with a transfer that ended early: send only what is missing. Over links the receiver tells what it has;
    /// into a pipe, TOKEN does, which `lvpipe recv --resume-token TARGET` prints, and names the source too. All that
    /// counts as sent is read again and compared; if the source is not the same any more, the receiver refuses
    #[arg(long, value_name = "TOKEN", num_args = 0..=1)]
    resume: Option<Option<OsString>>,

    #[command(flatten)]
    source_args: SourceArgs,

    /// Read a thin LV that is in use as it is, without a temporary snapshot, and an image file even if it changes.
    /// What is written meanwhile arrives in part or not at all: the copy is consistent only if nobody writes
    #[arg(long, help_heading = "Source")]
    no_snapshot: bool,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    messages: Messages,
}

impl Send {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        let Request { source, destinations, resumption } = self.request()?;
        // A stream that goes on with another is on the same grid, with the same digest.
        let (part_size, digest) = match &resumption {
            Resumption::FromToken(token) => (token.part_size, token.digest),
            _ => (self.part_size, self.digest),
        };
        if resumption.is_wanted() && digest == DigestKind::None {
            let why = "without digests nothing of what is there can be compared";
            return Err(Error::usage("cannot go on", "--digest none", why).way_out("leave --resume away"));
        }
        let workshop = self.resources.workshop(part_size, self.compress.work())?;
        let link = match self.links.ways(&destinations, resumption.is_wanted(), stop)? {
            Some(ways) => Way::Links(ways),
            None => Way::Pipe(pipe::stdout()?),
        };
        resumption.check(matches!(link, Way::Links(_)))?;
        let options = SourceOptions {
            since: self.since.clone().map(Since::Volume),
            map: self.source_args.map_choice(),
            no_snapshot: self.no_snapshot,
            only_map: false,
        };
        let OpenSource { held, what, origin, notices } = open_source(&source, &options, stop)?;
        if let Way::Pipe(link) = &link {
            refuse_source_as_link(link, &origin)?;
        }

        let figures = Figures::new(Role::Send);
        let name = origin.name.clone();
        let source_may_change = self.no_snapshot;
        let mut changing = None;
        let (input, volume_size, used) = match what {
            What::Stream(stream) => (Input::Stream(stream), None, None),
            What::Volume { source, map, discarded } => {
                let (size, used) = (map.size(), map.used_bytes());
                changing = source_may_change.then(|| source.clone());
                (Input::Volume { source, map, discarded }, Some(size), Some(used))
            }
        };
        figures.set_volume(volume_size);
        figures.set_used(used);
        if let Some(base) = self.since.as_ref().filter(|_| origin.base.is_none()) {
            let why = "it is no snapshot, or somebody has written to it since it was taken: no target can be known to hold it";
            return Err(Error::guard("cannot send a delta", base.display(), why)
                .way_out("send all of a newer snapshot, and have that as the next base"));
        }
        let mut lineage = lineage(origin);
        // The snapshot is gone when this ends: no delta will ever be since that, so the receiver need not keep what it
        // takes to know its target again, which costs a thin one.
        lineage.state = lineage.state.filter(|_| held.snapshot().is_none());
        let (transfer, at_target) = match &resumption {
            Resumption::FromToken(token) => {
                token.check(&lineage, volume_size)?;
                (
                    token.id,
                    HeldAtTarget::new(token.extents().iter().map(|&(offset, length)| Extent { offset, length })),
                )
            }
            _ => (random_id("cannot make a transfer id")?, HeldAtTarget::default()),
        };
        let prelude = Prelude {
            transfer,
            link: 0,
            links: 1,
            part_size,
            volume_size,
            used,
            digest,
            answers: matches!(link, Way::Links(_)),
            resumes: resumption.is_wanted(),
            lineage,
        };
        let sending = Sending {
            prelude,
            workshop,
            compress: self.compress,
            source_may_change,
            held: at_target,
            rate: self.rate.map(|ByteSize(bytes)| Arc::new(Rate::new(bytes))),
            figures: figures.clone(),
            stop: stop.clone(),
        };
        let reporter = self.messages.report(figures);
        self.messages.notices(&reporter, &notices);
        // The source is closed when this returns, so that what is held for it can be let go.
        let sent = match link {
            Way::Pipe(link) => send(input, link, "stdout", sending).map(|_| String::new()),
            Way::Links(ways) => self.send_over(&ways, input, sending, &reporter),
        };
        let note = match sent {
            Ok(note) => note,
            Err(error) => {
                reporter.finish(Outcome::Failed);
                drop(changing);
                left_behind(&held.abandon());
                return Err(error);
            }
        };
        if let Some(Err(changed)) = changing.map(|source| source.unchanged()) {
            self.messages.notices(&reporter, &[format!("{name}: {}", changed.why())]);
        }
        match held.release() {
            Ok(notice) => {
                self.messages.notices(&reporter, notice.as_slice());
                reporter.finish(Outcome::Done(note));
                Ok(())
            }
            Err(error) => {
                reporter.finish(Outcome::Failed);
                Err(error)
            }
        }
    }

    /// Sends over links; what the summary says of it.
    fn send_over(&self, ways: &Ways, input: Input, mut sending: Sending, reporter: &Reporter) -> Result<String> {
        let both = self.links.both();
        let (console, quiet) = (reporter.console(), self.messages.quiet);
        let terms = Terms {
            links: ways.links,
            retry_for: both.retry_for(),
            stall: both.stall_timeout(),
            rate: sending.rate.take(),
            notice: Arc::new(move |notice: &str| {
                if !quiet {
                    console.println(&format!("lvpipe: {notice}"));
                }
            }),
        };
        // Every receiver may have as many links as there are, and one for each way to it.
        let most = usize::from(ways.links.most()).max(ways.dials.len()) + 1;
        sending.prelude.links = u16::try_from(most).unwrap_or(u16::MAX);
        let receivers = ways.dials.len();
        let mut failed = send_over(input, &ways.dials, sending, &terms)?.failed;
        match failed.pop() {
            None => Ok("the receiver has verified it".into()),
            Some(error) if failed.is_empty() && receivers == 1 => Err(error),
            Some(error) => {
                let without: Vec<&str> = failed.iter().chain([&error]).map(Error::on).collect();
                let why = format!("{} of {receivers} receivers do not have it: see above", without.len());
                Err(Error::new(error.status(), "sent to some only", format!("not to {}", without.join(", ")), why))
            }
        }
    }
}

/// Where frames go.
enum Way {
    Pipe(pipe::StdoutLink),
    Links(Ways),
}

/// `lvpipe send disk.img > disk.img`: the shell has emptied it already, but a device is still whole.
fn refuse_source_as_link(link: &pipe::StdoutLink, origin: &Origin) -> Result<()> {
    let Ok(metadata) = link.file().metadata() else { return Ok(()) };
    if origin.identity.as_deref().is_some_and(|source| identity::is_being_read(source, &metadata)) {
        return Err(Error::guard("cannot send", &origin.name, "standard output is the source itself"));
    }
    Ok(())
}
