//! Messages about strangers, so many that somebody reads them: a flood of connections is not one of messages.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages within one period, before the rest is only counted.
const MOST: u32 = 5;
const PERIOD: Duration = Duration::from_secs(10);

/// Passes messages on to `log`, some of them.
pub(crate) struct Complaints<'a> {
    log: Box<dyn Fn(&str) + Send + Sync + 'a>,
    period: Mutex<Period>,
}

#[derive(Default)]
struct Period {
    began: Option<Instant>,
    said: u32,
    unsaid: u32,
}

impl<'a> Complaints<'a> {
    pub(crate) fn new(log: impl Fn(&str) + Send + Sync + 'a) -> Self {
        Complaints { log: Box::new(log), period: Mutex::default() }
    }

    /// Says it, or counts it.
    pub(crate) fn say(&self, message: &str) {
        self.tell_what_was_not_said(PERIOD);
        let say = {
            let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
            period.began.get_or_insert_with(Instant::now);
            let say = period.said < MOST;
            *(if say { &mut period.said } else { &mut period.unsaid }) += 1;
            say
        };
        if say {
            (self.log)(message);
        }
    }

    /// Ends a period that is older than `age`, and says how much of it was only counted. Called now and then.
    pub(crate) fn tell_what_was_not_said(&self, age: Duration) {
        let unsaid = {
            let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
            if period.began.is_none_or(|began| began.elapsed() < age) {
                return;
            }
            std::mem::take(&mut *period).unsaid
        };
        if unsaid > 0 {
            let (s, were) = if unsaid == 1 { ("", "was") } else { ("s", "were") };
            (self.log)(&format!("{unsaid} more connection{s} {were} dropped"));
        }
    }

    /// The same, for those that are passed now and then.
    pub(crate) fn tick(&self) {
        self.tell_what_was_not_said(PERIOD);
    }
}

impl Drop for Complaints<'_> {
    fn drop(&mut self) {
        self.tell_what_was_not_said(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_said_and_the_rest_counted() {
        let said = Mutex::new(Vec::new());
        let log = |message: &str| said.lock().expect("no panic").push(message.to_owned());
        let complaints = Complaints::new(log);
        (0..8).for_each(|number| complaints.say(&format!("no. {number}")));
        complaints.tick();
        drop(complaints);
        let said = said.into_inner().expect("no panic");
        assert_eq!(said, ["no. 0", "no. 1", "no. 2", "no. 3", "no. 4", "3 more connections were dropped"]);
    }
}
