//! `lvpipe send`: a volume or a stream to stdout.

use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;

use super::shared::{Messages, Resources, SourceArgs, left_behind, name_parser};
use crate::byte_size::ByteSize;
use crate::engine::send::{Input, Sending, send};
use crate::engine::{Compress, HeldAtTarget, Rate};
use crate::error::{Error, Result, Status};
use crate::link::pipe;
use crate::progress::{Figures, Outcome, Role};
use crate::stop::Stop;
use crate::volume::{OpenSource, Origin, SourceOptions, What, identity, open_source};
use crate::wire::{DigestKind, Lineage, PartSize, Prelude};

/// Send the used blocks of a volume to standard output
///
/// The source is read by its used map, compressed in parallel and written to standard output as a stream that
/// `lvpipe recv` takes, at once or later: saved to a file it is a backup. A thin LV is sent from a
/// temporary snapshot, as it is at that moment: it may be in use, and be written to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe send vg/vm1 | ssh host lvpipe recv vg/vm1      copy a volume to another host
  lvpipe send vg/vm1 > vm1.lvp                          back it up
  lvpipe send disk.img | lvpipe recv copy.img           copy an image, sparse
  zfs send tank/a@1 | lvpipe send - | ssh host 'lvpipe recv - | zfs recv tank/a'")]
pub struct Send {
    /// What to send: vg/lv, a device, an image file, or - for standard input
    #[arg(value_parser = name_parser())]
    source: OsString,

    /// Compression: auto (by what the links and the processors have left), none, zstd or zstd:LEVEL (-7 to 19)
    #[arg(long, value_name = "KIND", default_value = "auto")]
    compress: Compress,

    /// The digest of each part and of the whole
    #[arg(long, value_name = "KIND", default_value = "sha256")]
    digest: DigestKind,

    /// The unit of transfer: a power of two from 64k to 64M
    #[arg(short = 's', long, value_name = "SIZE", default_value = "1M")]
    part_size: PartSize,

    /// Send at most so many bytes a second, as in 50M
    #[arg(short, long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<ByteSize>,

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
        let workshop = self.resources.workshop(self.part_size, self.compress.work())?;
        let link = pipe::stdout()?;
        let options =
            SourceOptions { map: self.source_args.map_choice(), no_snapshot: self.no_snapshot, only_map: false };
        let OpenSource { held, what, origin, notices } = open_source(&self.source, &options, stop)?;
        self.refuse_source_as_link(&link, &origin)?;

        let figures = Figures::new(Role::Send);
        let name = origin.name.clone();
        let source_may_change = self.no_snapshot;
        let mut changing = None;
        let (input, volume_size, used) = match what {
            What::Stream(stream) => (Input::Stream(stream), None, None),
            What::Volume { source, map } => {
                let (size, used) = (map.size(), map.used_bytes());
                changing = source_may_change.then(|| source.clone());
                (Input::Volume { source, map }, Some(size), Some(used))
            }
        };
        figures.set_volume(volume_size);
        figures.set_used(used);
        let prelude = Prelude {
            transfer: new_transfer_id()?,
            link: 0,
            links: 1,
            part_size: self.part_size,
            volume_size,
            used,
            digest: self.digest,
            answers: false,
            resumes: false,
            lineage: lineage(origin),
        };
        let sending = Sending {
            prelude,
            workshop,
            compress: self.compress,
            source_may_change,
            held: HeldAtTarget::default(),
            rate: self.rate.map(|ByteSize(bytes)| Arc::new(Rate::new(bytes))),
            figures: figures.clone(),
            stop: stop.clone(),
        };
        let reporter = self.messages.report(figures);
        self.messages.notices(&reporter, &notices);
        // The source is closed when this returns, so that what is held for it can be let go.
        if let Err(error) = send(input, link, "stdout", sending) {
            reporter.finish(Outcome::Failed);
            drop(changing);
            left_behind(&held.abandon());
            return Err(error);
        }
        if let Some(Err(changed)) = changing.map(|source| source.unchanged()) {
            self.messages.notices(&reporter, &[format!("{name}: {}", changed.why())]);
        }
        match held.release() {
            Ok(notice) => {
                self.messages.notices(&reporter, notice.as_slice());
                reporter.finish(Outcome::Done(String::new()));
                Ok(())
            }
            Err(error) => {
                reporter.finish(Outcome::Failed);
                Err(error)
            }
        }
    }

    /// `lvpipe send disk.img > disk.img`: the shell has emptied it already, but a device is still whole.
    fn refuse_source_as_link(&self, link: &pipe::StdoutLink, origin: &Origin) -> Result<()> {
        let Ok(metadata) = link.file().metadata() else { return Ok(()) };
        if origin.identity.as_deref().is_some_and(|source| identity::is_being_read(source, &metadata)) {
            return Err(Error::guard("cannot send", &origin.name, "standard output is the source itself"));
        }
        Ok(())
    }
}

/// 128 random bits.
fn new_transfer_id() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| Error::new(Status::Io, "cannot make a transfer id", "getrandom", e))?;
    Ok(id)
}

fn lineage(origin: Origin) -> Lineage {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Lineage {
        source: Some(origin.name),
        uuid: origin.uuid,
        host: nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()),
        time: since_1970.ok().map(|time| time.as_secs()),
        program: Some(env!("CARGO_PKG_VERSION").into()),
        identity: origin.identity,
    }
}
