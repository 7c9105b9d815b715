//! `lvpipe replicate`: keeps a copy of a thin volume up to date, each run by the next delta.
//!
//! A run looks at both sides, decides what comes first ([`crate::replicate::plan`]), and then makes [legs](leg): the one
//! that broke off before, if there is one, and that to a new snapshot. It is killed at any moment without harm: nothing
//! but LVM's tags and the target's own mark says how far it is, and each of them changes in one step.

mod leg;
mod run;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::links::LinkTimes;
use super::patience::Patience;
use super::shared::{Messages, Resources, name_parser};
use super::ssh_links::SshLinks;
use crate::byte_size::ByteSize;
use crate::engine::Compress;
use crate::error::{Error, Result};
use crate::link::ssh::{Session, SshUrl};
use crate::replicate::near::Near;
use crate::replicate::order::TargetName;
use crate::reserve::{Reservations, TaskLock};
use crate::stop::Stop;
use crate::volume::lvm::{LogicalVolume, Lvm};
use crate::wire::{DigestKind, PartSize};
use run::Run;

/// Keep a copy of a thin volume up to date: each run sends the next delta
///
/// Takes a snapshot of SOURCE, named by the moment (SOURCE.lvpipe-20261123T022506Z), sends what changed since the newest
/// snapshot that both sides hold, all of it when there is none, and keeps the newest snapshots on both sides. A target that
/// is no thin volume has the newest state only. Made to be run by a timer: systemd/ has the units. A run that was killed
/// leaves nothing but what the next one goes on from.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe replicate vg/vm1 ssh://root@host/vg/vm1               to a volume that is there, empty
  lvpipe replicate vg/vm1 ssh://host/vg/pool:vm1 --create      make it there if need be
  lvpipe replicate vg/vm1 ssh://host//srv/vm1.img --keep 1     to an image file
  lvpipe replicate vg/vm1 ssh://host/vg/vm1 --rollback         drop what was written there")]
pub struct Replicate {
    /// What to copy: a thin volume, vg/lv. It may be in use
    #[arg(value_parser = name_parser())]
    source: OsString,

    /// Where its copy is: ssh://[USER@]HOST[:PORT]/TARGET, a volume or with a second slash an absolute path there
    #[arg(value_name = "ssh://HOST/TARGET")]
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets in the help mean what they mean in any help")]
    destination: SshUrl,

    /// TARGET is VG/POOL:NAME, a thin volume that is made if there is none
    #[arg(long)]
    create: bool,

    /// Keep so many snapshots on each side, the newest. One that is in use is kept until a later run; one that is renamed
    /// is kept for good
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    keep: u32,

    /// If somebody has written to the target, put it back first to the newest snapshot that both sides hold. What was
    /// written to it is lost
    #[arg(long, conflicts_with = "full")]
    rollback: bool,

    /// Send all of it, over whatever the target holds, which is lost
    #[arg(long)]
    full: bool,

    /// Wait so long for another run with the same source and destination to end [default: not at all]
    #[arg(long, value_name = "TIME")]
    lock_wait: Option<Patience>,

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
    links: SshLinks,

    #[command(flatten)]
    times: LinkTimes,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    messages: Messages,
}

impl Replicate {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        self.links.refuse_links_beside_none("cannot replicate")?;
        let target = TargetName { name: self.destination.target.clone(), create: self.create };
        let destination = self.destination_name(&target)?;
        let lvm = Lvm::default();
        let volume = self.source(&lvm)?;
        let _lock = self.lock(&volume, &destination, stop)?;
        let near = Near::new(lvm, volume, &destination);
        let options = self.links.options(&self.times, Vec::new(), false)?;
        let session = Arc::new(Session::start(self.destination.clone(), options, stop)?);
        Run { args: &self, near, session, target, destination, stop }.all()
    }

    /// The destination without the user's name: two users may have one copy, and it stays the same when it is made.
    fn destination_name(&self, target: &TargetName) -> Result<String> {
        let url = &self.destination;
        let host = url.host.rsplit_once('@').map_or(&*url.host, |(_, host)| host);
        let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
        if target.name == "-" {
            let why = "a pipe keeps nothing to send a delta to";
            return Err(Error::usage("cannot replicate to", "ssh://HOST/-", why)
                .way_out("name a volume or a file: ssh://HOST/VG/LV, ssh://HOST//PATH"));
        }
        Ok(format!("{host}{port}/{}", target.existing()?))
    }

    fn source(&self, lvm: &Lvm) -> Result<LogicalVolume> {
        let refused = |why: &str| {
            Error::guard("cannot replicate", self.source.display(), why)
                .way_out("lvpipe send copies any volume, in full")
        };
        let found = self.source.to_str().map_or(Ok(None), |name| lvm.resolve(name))?;
        let volume = found.ok_or_else(|| refused("it is no logical volume"))?;
        if volume.is_thin_pool() {
            return Err(Error::guard(
                "cannot replicate",
                volume.full_name(),
                "it is a thin pool, not a volume in it",
            )
            .way_out("name a volume in it; lvs lists them"));
        }
        if !volume.is_thin() {
            return Err(refused("it is no thin volume, so nothing tells what was written to it"));
        }
        Ok(volume)
    }

    /// One run at a time for a source and a destination. Others do not mind each other.
    fn lock(&self, volume: &LogicalVolume, destination: &str, stop: &Stop) -> Result<TaskLock> {
        let patience = self.lock_wait.map_or(Duration::ZERO, |patience| patience.0);
        let name = format!("{} {destination}", volume.uuid);
        let lock = Reservations::open().lock_task("replicate", &name, patience, stop)?;
        lock.ok_or_else(|| {
            let why = format!("another run of it to {destination} has not ended yet");
            Error::guard("cannot replicate", volume.full_name(), why)
                .way_out("let it end; or wait for it: --lock-wait TIME")
        })
    }
}
