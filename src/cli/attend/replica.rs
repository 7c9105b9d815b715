//! The orders of a replica: each is carried out and answered, or a transfer is received.

use super::{Attend, Commander, receive};
use crate::cli::recv::Recv;
use crate::error::Result;
use crate::replicate::far;
use crate::replicate::order::Order;
use crate::replicate::put_back::put_back;
use crate::stop::Stop;

impl Attend {
    /// Obeys one order. What fails is answered: the sender decides how to go on. `received` is how the last transfer
    /// ended here: its sender knows whether all of it has arrived, but not whether it could be kept.
    ///
    /// # Errors
    /// When the sender is gone, or the run has ended.
    pub(super) fn replica(
        &self,
        commander: &Commander,
        order: Order,
        received: &mut Result<()>,
        stop: &Stop,
    ) -> Result<()> {
        match order {
            Order::Look { target } => commander.answer(far::look(&target, stop), stop),
            Order::PutBack { target, to } => commander.answer(put_back(&target, to, stop), stop),
            Order::Prepare { target, source, size, becomes_copy } => {
                commander.answer(far::prepare(&target, &source, size, becomes_copy, stop), stop)
            }
            Order::Receive { target, resume } => {
                *received = target.existing().and_then(|target| {
                    let recv = Recv::behind_ssh(target, false, self.both.clone(), self.resources.clone())?;
                    receive(commander, &recv.resuming(resume), stop)
                });
                received.clone().or_else(|error| stop.check().map_err(|_| error))
            }
            Order::Keep { target, source, state, moment } => {
                let received = std::mem::replace(received, Ok(()));
                commander.answer(received.and_then(|()| far::keep(&target, &source, &state, moment, stop)), stop)
            }
            Order::Prune { target, keep } => commander.answer(far::prune(&target, keep), stop),
        }
    }
}
