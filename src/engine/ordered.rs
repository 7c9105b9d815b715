//! A bounded queue whose places are reserved in order and filled in any order.
//!
//! The one who reserves decides the order; workers fill the places as they get done; those who take from the queue
//! get them in order, several of them each the next.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::stop::{Stop, Stopped};

/// A queue that holds at most `capacity` places.
pub(super) fn ordered<T>(capacity: usize) -> (Reserver<T>, Taker<T>) {
    let (sender, receiver) = bounded(capacity);
    (Reserver { places: sender, next: 0 }, Taker { places: receiver })
}

/// Where places are reserved.
pub(super) struct Reserver<T> {
    places: Sender<(u64, Receiver<T>)>,
    next: u64,
}

/// A place to be filled once.
pub(super) struct Place<T>(Sender<T>);

/// Where places are taken in order; clones take turns.
pub(super) struct Taker<T> {
    places: Receiver<(u64, Receiver<T>)>,
}

impl<T> Clone for Taker<T> {
    fn clone(&self) -> Self {
        Taker { places: self.places.clone() }
    }
}

impl<T> Reserver<T> {
    /// The next place.
    pub(super) fn reserve(&mut self, stop: &Stop) -> Result<Place<T>, Stopped> {
        let (sender, receiver) = bounded(1);
        stop.send(&self.places, (self.next, receiver))?;
        self.next += 1;
        Ok(Place(sender))
    }
}

impl<T> Place<T> {
    /// Fills the place. When nobody waits for it any more the run is over, and the value goes.
    pub(super) fn fill(self, value: T) {
        let _ = self.0.try_send(value);
    }
}

impl<T> Taker<T> {
    /// The next place's value with its turn, counted from 0; `None` after the last.
    pub(super) fn take(&self, stop: &Stop) -> Result<Option<(u64, T)>, Stopped> {
        let Some((turn, value)) = stop.recv(&self.places)? else { return Ok(None) };
        // A place that is dropped unfilled was a failing worker's.
        Ok(Some((turn, stop.recv(&value)?.ok_or(Stopped)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_in_the_order_of_reservation() {
        let stop = Stop::new();
        let (mut reserver, taker) = ordered(8);
        let places: Vec<_> = (0..8).map(|_| reserver.reserve(&stop).expect("room")).collect();
        for (number, place) in places.into_iter().enumerate().rev() {
            place.fill(number);
        }
        drop(reserver);
        for number in 0..8 {
            assert_eq!(taker.take(&stop), Ok(Some((number as u64, number))));
        }
        assert_eq!(taker.take(&stop), Ok(None));
    }

    #[test]
    fn a_place_dropped_unfilled_ends_the_queue() {
        let stop = Stop::new();
        let (mut reserver, taker) = ordered::<u8>(1);
        drop(reserver.reserve(&stop));
        assert_eq!(taker.take(&stop), Err(Stopped));
    }
}
