//! What the server has done since it began: counters that anybody adds to, for the metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Why a connection was dropped or a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or a wrong one.
    Token,
    /// Too many clients.
    Clients,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// It was pushed out at the gate by those who came after.
    PushedOut,
    /// A host name that is not this host's, on a server that is open on loopback alone.
    Host,
    /// What was no HTTP.
    Protocol,
}

impl Refusal {
    /// All of them, with their names in the metrics.
    pub const ALL: [(Refusal, &'static str); 6] = [
        (Refusal::Token, "token"),
        (Refusal::Clients, "clients"),
        (Refusal::Handshake, "handshake"),
        (Refusal::PushedOut, "pushed_out"),
        (Refusal::Host, "host"),
        (Refusal::Protocol, "protocol"),
    ];
}

/// The counters.
#[derive(Default)]
pub struct Tally {
    /// Connections that were accepted.
    pub connections: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    /// By resource and status; both are of few.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Tally {
    /// Counts a refusal.
    pub fn refuse(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was answered.
    pub fn request(&self, resource: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((resource, status)).or_default() += 1;
    }

    /// How many were refused so.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }

    /// How many requests there were, by resource and status.
    pub fn requests(&self) -> Vec<((&'static str, u16), u64)> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(|(key, count)| (*key, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_as_itself() {
        let tally = Tally::default();
        for (number, (why, _)) in Refusal::ALL.into_iter().enumerate() {
            (0..=number).for_each(|_| tally.refuse(why));
        }
        for (number, (why, name)) in (1..).zip(Refusal::ALL) {
            assert_eq!(tally.refused(why), number, "{name}");
        }
        tally.request("raw", 206);
        tally.request("raw", 206);
        assert_eq!(tally.requests(), [(("raw", 206), 2)]);
    }
}
