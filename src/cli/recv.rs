//! `lvpipe recv`: a stream from stdin to a volume.

use std::ffi::OsString;
use std::fs::File;

use clap::Args;

use super::shared::{Messages, Resources, left_behind, name_parser};
use crate::engine::Work;
use crate::engine::recv::{Receiving, recv};
use crate::error::{Error, Result, Status};
use crate::link::pipe;
use crate::progress::{Figures, Outcome, Role};
use crate::stop::{Interruptible, Stop};
use crate::volume::{Expected, NewVolume, OpenTarget, create_target, open_target};
use crate::wire::{DigestKind, Prelude};

/// Receive a stream from standard input into a volume, sparse and verified
///
/// Before the first byte is written, the target is checked: it must not be mounted or in use, nor be smaller than
/// the source. Success is said when all of it is verified and on stable storage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe send vg/vm1 | ssh host lvpipe recv vg/vm1      copy a volume to another host
  lvpipe recv vg/vm1 < vm1.lvp                          restore a backup
  lvpipe recv --create vg/pool:vm1 < vm1.lvp            restore it into a new thin volume
  lvpipe recv - < vm1.lvp | sha256sum                   the volume as it was, holes as zeros")]
pub struct Recv {
    /// Where to write: vg/lv, a device, a file, or - for standard output
    #[arg(required_unless_present = "create", conflicts_with = "create", value_parser = name_parser())]
    target: Option<OsString>,

    /// Make a thin volume of the right size in a pool, and remove it again if the transfer fails
    #[arg(long, value_name = "VG/POOL:NAME")]
    create: Option<NewVolume>,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    messages: Messages,
}

impl Recv {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        let link = pipe::stdin()?;
        let stream = link.metadata().ok();
        let prelude = read_prelude(&link, "stdin", stop)?;
        let workshop = self.resources.workshop(prelude.part_size, Work::Decompress)?;
        let expected = Expected {
            source: prelude.lineage.identity.as_deref(),
            size: prelude.volume_size,
            used: prelude.used,
            stream: stream.as_ref(),
        };
        let OpenTarget { held, target, in_place, notices, .. } = match (&self.create, &self.target) {
            (Some(new), _) => create_target(new, expected, stop)?,
            (None, Some(name)) => open_target(name, expected, stop)?,
            (None, None) => return Err(Error::usage("no target", "recv", "neither TARGET nor --create is given")),
        };
        let figures = Figures::new(Role::Recv);
        figures.set_volume(prelude.volume_size);
        figures.set_used(prelude.used);
        let digest = prelude.digest;
        let reporter = self.messages.report(figures.clone());
        self.messages.notices(&reporter, &notices);
        let receiving = Receiving {
            prelude,
            stream: "stdin".into(),
            workshop,
            record: None,
            holds: None,
            figures,
            stop: stop.clone(),
        };
        // The target is closed when this returns, so that what is held for it can be let go.
        if let Err(error) = recv(link, target, receiving) {
            reporter.finish(Outcome::Failed);
            let mut left = held.abandon();
            if in_place && error.status() != Status::Guard {
                left.push(
                    "the target holds only a part of the volume now: receive it again before it is used".into(),
                );
            }
            left_behind(&left);
            return Err(error);
        }
        match held.keep() {
            Ok(notice) => {
                self.messages.notices(&reporter, notice.as_slice());
                reporter.finish(Outcome::Done(verified_by(digest)));
                Ok(())
            }
            Err(error) => {
                reporter.finish(Outcome::Failed);
                Err(error)
            }
        }
    }
}

/// What a summary says of how it was verified.
fn verified_by(digest: DigestKind) -> String {
    match digest {
        DigestKind::None => "not verified by a digest".into(),
        digest => format!("{digest} verified"),
    }
}

/// Reads a link's first bytes; of several links' streams there is only one here.
pub(super) fn read_prelude(link: &File, name: &str, stop: &Stop) -> Result<Prelude> {
    let prelude = Prelude::read(&mut Interruptible::new(link, stop)).map_err(|e| e.at(name, ""))?;
    if prelude.links != 1 {
        return Err(Error::stream(
            "cannot read stream",
            name,
            format_args!("it is link {} of a transfer over {}", prelude.link + 1, prelude.links),
        ));
    }
    Ok(prelude)
}
