//! One transfer of a run: a snapshot, all of it or since another one.

use std::sync::Arc;

use clap::ValueEnum;

use super::run::Run;
use crate::byte_size::ByteSize;
use crate::cli::shared::{left_behind, random_id};
use crate::engine::send::{Input, Sending};
use crate::engine::spread::{Terms, send_over};
use crate::engine::{HeldAtTarget, Rate, lineage};
use crate::error::{Error, Result};
use crate::link::Dial;
use crate::migrate;
use crate::progress::{Figures, Outcome, Reporter, Role};
use crate::replicate::order::{Begun, Keep, Order};
use crate::usedmap::UsedMap;
use crate::volume::lvm::{Kept, LogicalVolume};
use crate::volume::{OpenSource, Since, SourceOptions, State, What, open_source};
use crate::wire::{DigestKind, Lineage, PartSize, Prelude};

/// What is sent.
pub(super) struct Leg {
    /// The snapshot.
    pub(super) snapshot: Kept,
    /// What the target holds, if only what changed since is sent.
    pub(super) base: Option<LogicalVolume>,
    /// Whether all of it is sent, to a target that was a copy before or held nothing.
    pub(super) becomes_copy: bool,
    /// Whether the target is smaller than the source.
    pub(super) grows: bool,
    /// With what it goes on, if some of it is there already.
    pub(super) rest: Option<Rest>,
}

/// How the rest of a transfer has to be sent: as that was begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    part_size: PartSize,
    digest: DigestKind,
}

impl Rest {
    /// `None` where it was begun as none is any more.
    pub(super) fn of(begun: &Begun) -> Option<Self> {
        Some(Rest {
            part_size: PartSize::new(begun.part_size)?,
            digest: DigestKind::from_str(&begun.digest, false).ok()?,
        })
    }
}

impl Run<'_> {
    /// Makes a leg: when it returns, the far side holds the snapshot's state, and keeps it.
    pub(super) fn leg(&self, leg: &Leg) -> Result<Keep> {
        let state = self.bring(leg)?;
        self.keep(leg, state)
    }

    /// When it returns, the far side has all of it verified on stable storage: this state.
    pub(super) fn bring(&self, leg: &Leg) -> Result<State> {
        let options = SourceOptions {
            since: leg.base.as_ref().map(|base| Since::Volume(base.full_name().into())),
            // The snapshot is one.
            no_snapshot: true,
            ..SourceOptions::default()
        };
        let name = leg.snapshot.volume.full_name();
        let OpenSource { held, what, origin, notices } = open_source(name.as_ref(), &options, self.stop)?;
        self.say(notices);
        let What::Volume { source, map, discarded } = what else {
            return Err(Error::usage("cannot replicate", name, "it is no volume"));
        };
        let state = origin.state.clone().ok_or_else(|| {
            let why = "nothing tells its states apart: it has an external origin, or somebody has written to it";
            Error::guard("cannot replicate", &name, why)
        })?;
        if let Some(base) = leg.base.as_ref().filter(|_| origin.base.is_none()) {
            let why = "somebody has written to it since it was taken: no target can be known to hold it";
            return Err(Error::guard("cannot send a delta", base.full_name(), why)
                .way_out("--full sends all of it, over whatever the target holds"));
        }
        self.say([told(leg, &map, discarded.as_deref())]);
        let input = Input::Volume { source, map: map.clone(), discarded };
        let sending = self.sending(leg, lineage(origin), &map)?;
        let reporter = self.args.messages.report(sending.figures.clone());
        // The source is closed when this returns, so that what is held for it can be let go.
        let released = match self.transfer(leg, input, sending, &reporter) {
            Ok(()) => held.release(),
            Err(error) => {
                left_behind(&held.abandon());
                Err(error)
            }
        };
        match released {
            Ok(notice) => {
                self.args.messages.notices(&reporter, notice.as_slice());
                reporter.finish(Outcome::Done("the far side has verified it".into()));
                Ok(state)
            }
            Err(error) => {
                reporter.finish(Outcome::Failed);
                Err(error)
            }
        }
    }

    fn sending(&self, leg: &Leg, lineage: Lineage, map: &UsedMap) -> Result<Sending> {
        let args = self.args;
        let (part_size, digest) =
            leg.rest.map_or((args.part_size, args.digest), |rest| (rest.part_size, rest.digest));
        let figures = Figures::new(Role::Send);
        figures.set_volume(Some(map.size()));
        figures.set_used(Some(map.used_bytes()));
        let prelude = Prelude {
            transfer: random_id("cannot make a transfer id")?,
            link: 0,
            links: args.links.count(true).most() + 1,
            part_size,
            volume_size: Some(map.size()),
            used: Some(map.used_bytes()),
            digest,
            answers: true,
            resumes: leg.rest.is_some(),
            lineage,
        };
        Ok(Sending {
            prelude,
            workshop: args.resources.workshop(part_size, args.compress.work())?,
            compress: args.compress,
            source_may_change: false,
            held: HeldAtTarget::default(),
            rate: args.rate.map(|ByteSize(bytes)| Arc::new(Rate::new(bytes))),
            figures,
            stop: self.stop.clone(),
        })
    }

    fn transfer(&self, leg: &Leg, input: Input, mut sending: Sending, reporter: &Reporter) -> Result<()> {
        let (target, source) = (self.target.clone(), self.near.volume.uuid.clone());
        let size = sending.prelude.volume_size.unwrap_or_default();
        let becomes_copy = leg.becomes_copy;
        if becomes_copy || leg.grows {
            let prepare = Order::Prepare { target: target.clone(), source, size, becomes_copy };
            let notices: Vec<String> = self.ask(prepare)?;
            self.args.messages.notices(reporter, &notices);
        }
        let receive = migrate::Order::Replica(Order::Receive { target, resume: leg.rest.is_some() });
        self.session.begin_transfer(&receive, self.stop)?;
        let (console, quiet) = (reporter.console(), self.args.messages.quiet);
        let terms = Terms {
            links: self.args.links.count(true),
            retry_for: self.args.times.retry_for(),
            stall: self.args.times.stall_timeout(),
            rate: sending.rate.take(),
            notice: Arc::new(move |notice: &str| {
                if !quiet {
                    console.println(&format!("lvpipe: {notice}"));
                }
            }),
        };
        let session: Arc<dyn Dial> = self.session.clone();
        send_over(input, &[session], sending, &terms)?.by_all().map(drop)
    }

    /// Both sides note that the target holds this state now.
    pub(super) fn keep(&self, leg: &Leg, state: State) -> Result<Keep> {
        let (target, source) = (self.target.clone(), self.near.volume.uuid.clone());
        let keep = self.ask(Order::Keep { target, source, state, moment: leg.snapshot.moment })?;
        self.near.was_sent(&leg.snapshot)?;
        Ok(keep)
    }
}

/// What is sent, in a line.
fn told(leg: &Leg, map: &UsedMap, discarded: Option<&UsedMap>) -> String {
    let (name, written) = (leg.snapshot.volume.full_name(), ByteSize(map.used_bytes()));
    match (&leg.base, discarded) {
        (Some(base), Some(discarded)) => {
            let discarded = ByteSize(discarded.used_bytes());
            format!("{name}: since {}: {written} written, {discarded} discarded", base.name)
        }
        _ => format!("{name}: all of it: {written} of {}", ByteSize(map.size())),
    }
}
