//! A run of `replicate`: looks, decides, makes the legs, and removes what is old.

use std::io::{self, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Replicate;
use super::leg::{Leg, Rest};
use crate::error::{Result, Status};
use crate::link::ssh::Session;
use crate::migrate;
use crate::replicate::near::Near;
use crate::replicate::order::{Found, Holds, Keep, Order, TargetName};
use crate::replicate::plan::{First, Here, first};
use crate::stop::Stop;
use crate::volume::TargetKind;
use crate::volume::lvm::{Kept, LogicalVolume};

/// A run, once the far side is there.
pub(super) struct Run<'a> {
    pub(super) args: &'a Replicate,
    pub(super) near: Near,
    pub(super) session: Arc<Session>,
    pub(super) target: TargetName,
    /// In messages.
    pub(super) destination: String,
    pub(super) stop: &'a Stop,
}

impl Run<'_> {
    pub(super) fn all(&self) -> Result<()> {
        let found: Found = self.ask(Order::Look { target: self.target.clone() })?;
        self.say(found.notices.iter().map(|notice| format!("there: {notice}")));
        let kept = self.near.snapshots()?;
        let first = self.decide(&found, &kept)?;
        let (mut kept, left) = self.near.discard_unsent(kept, &first);
        self.say(left);
        self.make_up_for(&found, &kept)?;
        let base = self.begin(first, &found, &kept)?;
        let snapshot = self.near.take(&kept, &found, self.stop)?;
        let grows = found.target.as_ref().is_some_and(|there| there.size < snapshot.volume.size);
        let keep = self.new_leg(&snapshot, base, grows, &found)?;
        if keep == Keep::NewestOnly {
            self.say([format!("{} is no thin volume: only the newest state is there", self.destination)]);
        }
        let left: Vec<String> = self.ask(Order::Prune { target: self.target.clone(), keep: self.args.keep })?;
        self.say(left.iter().map(|left| format!("there: {left}")));
        kept.push(snapshot);
        self.say(self.near.prune(kept, self.args.keep));
        self.session.ask(&migrate::Order::End, self.stop)
    }

    fn decide(&self, found: &Found, kept: &[Kept]) -> Result<First> {
        let here = Here {
            source: &self.near.volume.uuid,
            snapshots: &self.near.bases(kept, found)?,
            full: self.args.full,
            rollback: self.args.rollback,
        };
        let (first, notice) = first(found, &self.destination, here)?;
        self.say(notice);
        Ok(first)
    }

    /// What a run that was killed had left to do for the state that it had sent: that is kept on the far side.
    fn make_up_for(&self, found: &Found, kept: &[Kept]) -> Result<()> {
        let Some(there) = &found.target else { return Ok(()) };
        let Holds::At(state) = &there.holds else { return Ok(()) };
        let Some(sent) = kept.iter().find(|kept| kept.volume.uuid == state.volume()) else { return Ok(()) };
        // A file keeps no note of it, and what it holds is all that is needed.
        let is_file = there.kind == TargetKind::File;
        let is_noted =
            is_file || there.copy_of.as_ref().is_some_and(|copy_of| copy_of.state.as_ref() == Some(state));
        let is_kept = there.kind != TargetKind::Thin || there.snapshots.iter().any(|there| there.state == *state);
        if !(is_noted && is_kept) && there.is_as_it_was != Some(false) {
            let (target, source) = (self.target.clone(), self.near.volume.uuid.clone());
            let _: Keep = self.ask(Order::Keep { target, source, state: state.clone(), moment: sent.moment })?;
        }
        self.near.was_sent(sent)
    }

    /// Does what comes first, up to the delta to a new snapshot; its base, unless all of it is to be sent.
    fn begin(&self, first: First, found: &Found, kept: &[Kept]) -> Result<Option<LogicalVolume>> {
        let earlier = |uuid: &str| -> Result<Leg> {
            let is_it = |kept: &&Kept| kept.volume.uuid == uuid;
            let snapshot = kept.iter().find(is_it).ok_or_else(|| self.near.gone(uuid))?.clone();
            Ok(Leg { snapshot, base: None, becomes_copy: false, grows: false, rest: None })
        };
        match first {
            First::Full => Ok(None),
            First::Delta { base } => self.near.by_uuid(kept, &base).map(Some),
            First::PutBack { to, base } => {
                let notices: Vec<String> = self.ask(Order::PutBack { target: self.target.clone(), to })?;
                self.say(notices.iter().map(|notice| format!("there: {notice}")));
                self.near.by_uuid(kept, &base).map(Some)
            }
            First::Rest { snapshot } => {
                let rest = found.begun.as_ref().and_then(Rest::of);
                let leg = Leg { rest, ..earlier(&snapshot)? };
                self.say([format!("a copy to {} broke off: it is gone on with", self.destination)]);
                self.leg(&leg)?;
                Ok(Some(leg.snapshot.volume))
            }
            First::Again { base, snapshot } => {
                let begun = found.begun.as_ref().filter(|begun| begun.snapshot == snapshot);
                let rest = begun.filter(|begun| begun.base.is_some()).and_then(Rest::of);
                let how = if rest.is_some() { "it is gone on with" } else { "it is sent again" };
                self.say([format!("a delta to {} broke off: {how}", self.destination)]);
                let leg = Leg { base: Some(self.near.by_uuid(kept, &base)?), rest, ..earlier(&snapshot)? };
                self.leg(&leg)?;
                Ok(Some(leg.snapshot.volume))
            }
        }
    }

    /// Sends a new snapshot. One that is of no use to a later run is removed when that fails.
    fn new_leg(&self, snapshot: &Kept, base: Option<LogicalVolume>, grows: bool, found: &Found) -> Result<Keep> {
        let source = &self.near.volume.uuid;
        let becomes_copy =
            found.target.as_ref().is_none_or(|there| there.is_empty || there.is_copy_of(source)) && base.is_none();
        let leg = Leg { snapshot: snapshot.clone(), base, becomes_copy, grows, rest: None };
        let state = self.bring(&leg).inspect_err(|error| {
            // Whatever else it was, the target may have come to hold it, or a part of it: then the next run goes on
            // from there, and otherwise removes it.
            if matches!(error.status(), Status::Guard | Status::Peer | Status::Usage) {
                self.say(self.near.discard(snapshot));
            }
        })?;
        // The target holds it now: whatever is the matter with keeping it, the next run sends the delta since.
        self.keep(&leg, state)
    }

    /// Asks the far side.
    pub(super) fn ask<A: DeserializeOwned>(&self, order: Order) -> Result<A> {
        self.session.ask(&migrate::Order::Replica(order), self.stop)
    }

    /// Tells the user, between two legs.
    pub(super) fn say(&self, notices: impl IntoIterator<Item = String>) {
        if !self.args.messages.quiet {
            // Standard error may be closed.
            notices.into_iter().for_each(|notice| _ = writeln!(io::stderr(), "lvpipe: {notice}"));
        }
    }
}
