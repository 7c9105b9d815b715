//! `migrate --dry-run`: what would be done, by what is there on both sides.

use super::Migrate;
use crate::byte_size::ByteSize;
use crate::cli::shared::print;
use crate::error::Result;
use crate::link::ssh::Session;
use crate::migrate::{Order, Places};
use crate::stop::Stop;
use crate::volume::Rounds;

impl Migrate {
    /// Has the far side look at the target, and says what would be done. Nothing is written on either side.
    pub(super) fn only_look(&self, rounds: &Rounds, places: &Places, session: &Session, stop: &Stop) -> Result<()> {
        let used = rounds.used(stop)?;
        let order = Order::Consider {
            target: places.target.clone(),
            create: self.create,
            size: rounds.size(),
            identity: rounds.identity(),
        };
        let notices: Vec<String> = session.ask(&order, stop)?;
        session.ask::<()>(&Order::End, stop)?;
        let mut text = format!(
            "round 1 would carry {} of {}'s {}, to {} at {}\n",
            ByteSize(used),
            rounds.name(),
            ByteSize(rounds.size()),
            places.pause.about.target,
            places.pause.about.host
        );
        let limit = self.downtime.0.as_secs_f64();
        text += &format!("further rounds what is written meanwhile, until that would take {limit} s or less\n");
        if let Some(most) = self.max_downtime {
            text +=
                &format!("or, where that cannot be had, until it would take {} s or less\n", most.0.as_secs_f64());
        }
        let commands = [
            ("to pause, here", Some(&self.pause)),
            ("then, there", self.done.as_ref()),
            ("and here", self.resume.as_ref()),
            ("if it fails before the far side has taken over, here", self.unpause.as_ref()),
        ];
        for (when, command) in commands.iter().filter_map(|(when, command)| Some((when, (*command)?))) {
            text += &format!("{when}: {command}\n");
        }
        if self.unpause.is_none() {
            text +=
                &format!("if it fails after the pause, {} stays paused: there is no --unpause\n", rounds.name());
        }
        notices.iter().for_each(|notice| text += &format!("there: {notice}\n"));
        print(&text)
    }
}
