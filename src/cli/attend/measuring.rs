//! The far side of `lvpipe bench`: it measures what it has, and takes transfers that go nowhere.

use std::sync::Arc;

use super::{Attend, Commander};
use crate::cli::recv::{Arrivals, RETRY_BEHIND_SSH};
use crate::cli::shared::random_id;
use crate::engine::Work;
use crate::engine::collect::{Collecting, collect};
use crate::engine::recv::Receiving;
use crate::error::Result;
use crate::measure::far::Wanted;
use crate::measure::figures::FarFigures;
use crate::progress::{Figures, Role};
use crate::stop::Stop;
use crate::volume::NullTarget;

impl Attend {
    /// Measures the processors, and where a target is or would be. It ends when the sender is gone.
    ///
    /// # Errors
    /// What cannot be measured, or what ended the run.
    pub(super) fn measure(&self, commander: &Commander, wanted: &Wanted, stop: &Stop) -> Result<FarFigures> {
        let workshop = self.resources.workshop(wanted.part_size()?, Work::CompressAdaptively)?;
        let stop = stop.child();
        commander.while_it_is_there(&stop, || wanted.measure(&workshop, &stop))
    }

    /// Receives a transfer into nothing.
    ///
    /// # Errors
    /// What ended it.
    pub(super) fn swallow(&self, commander: &Commander, stop: &Stop) -> Result<()> {
        let stop = stop.child();
        let Arrivals { first: (link, prelude), more, .. } = commander.arrivals(&stop)?;
        let receiving = Receiving {
            workshop: self.resources.workshop(prelude.part_size, Work::Decompress)?,
            prelude,
            stream: link.name.clone(),
            record: None,
            holds: None,
            figures: Figures::new(Role::Recv),
            stop,
        };
        let collecting = Collecting {
            receiving,
            incarnation: random_id("cannot begin")?,
            stall: self.both.stall_timeout(),
            retry_for: RETRY_BEHIND_SSH,
            notice: Box::new(|_| {}),
        };
        collect(link, more, Arc::new(NullTarget::default()), collecting).map(drop)
    }
}
