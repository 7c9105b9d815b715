//! Whether a link is alive: how much has come over it, and since when somebody waits for its other side.
//!
//! Kept by the two threads of a link with a store or two for each call into the system; looked at by others.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::progress::{Figures, Stage};

/// What the link's threads are doing.
pub(super) struct Pulse {
    begin: Instant,
    received: AtomicU64,
    /// When the call began that is waiting now, in milliseconds after `begin`, from 1; 0 when none is.
    reading: AtomicU64,
    writing: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse { begin: Instant::now(), received: 0.into(), reading: 0.into(), writing: 0.into() }
    }
}

impl Pulse {
    /// Bytes that have come.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Whether more is waited for, rather than that what came finds its way.
    pub(super) fn hungry(&self) -> bool {
        self.reading.load(Relaxed) != 0
    }

    /// How long the other side has sent nothing, or taken nothing, while that was waited for.
    pub(super) fn silent(&self) -> Duration {
        let now = self.now();
        let since = |call: &AtomicU64| match call.load(Relaxed) {
            0 => 0,
            began => now.saturating_sub(began),
        };
        Duration::from_millis(since(&self.reading).max(since(&self.writing)))
    }

    fn now(&self) -> u64 {
        // 2^64 ms are longer than any run.
        self.begin.elapsed().as_millis() as u64 + 1
    }
}

/// The reading half of a link.
pub(super) struct Counted<R> {
    pub(super) link: R,
    pub(super) figures: Arc<Figures>,
    pub(super) pulse: Arc<Pulse>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let _busy = self.figures.busy(Stage::Link);
        self.pulse.reading.store(self.pulse.now(), Relaxed);
        let read = self.link.read(into);
        self.pulse.reading.store(0, Relaxed);
        let length = read? as u64;
        self.pulse.received.fetch_add(length, Relaxed);
        self.figures.add_wire(length);
        Ok(length as usize)
    }
}

/// The writing half of a link: each piece is seen by the other side at once.
pub(super) struct Answering<W> {
    pub(super) link: W,
    pub(super) pulse: Arc<Pulse>,
}

impl<W: Write> Answering<W> {
    /// Writes all of it.
    ///
    /// # Errors
    /// The link's.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pulse.writing.store(self.pulse.now(), Relaxed);
        let written = self.link.write_all(bytes).and_then(|()| self.link.flush());
        self.pulse.writing.store(0, Relaxed);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Role;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_silent_peer_is_seen_while_it_is_waited_for() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let pulse = Arc::new(Pulse::default());
        let mut link = Counted { link: ours, figures: Figures::new(Role::Recv), pulse: pulse.clone() };
        assert!(!pulse.hungry() && pulse.silent().is_zero());
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| link.read(&mut [0; 8]).expect("it reads"));
            while pulse.silent() < Duration::from_millis(20) {
                std::thread::yield_now();
            }
            assert!(pulse.hungry());
            (&theirs).write_all(b"abc").expect("it writes");
            assert_eq!(reading.join().expect("no panic"), 3);
        });
        assert!(!pulse.hungry() && pulse.silent().is_zero());
        assert_eq!(pulse.received(), 3);
    }
}
