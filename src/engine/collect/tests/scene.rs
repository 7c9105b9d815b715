//! A receiver in this process, and links to it whose other ends the tests hold.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};

use super::super::{Collecting, collect};
use super::volume::{MemoryTarget, PART, Volume};
use crate::engine::recv::Receiving;
use crate::engine::{Holds, Received, Record, Workshop};
use crate::error::Result;
use crate::link::{HangUp, Link};
use crate::progress::{Figures, Role, Snapshot};
use crate::stop::Stop;
use crate::volume::Target;
use crate::wire::{Answer, PartSize, Prelude, Welcome, WireError};

/// Nothing here takes that long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What differs from test to test.
pub struct Terms {
    pub buffers: usize,
    pub stall: Duration,
    pub retry_for: Duration,
    pub record: Option<Arc<dyn Record>>,
    pub holds: Option<Arc<dyn Holds>>,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { buffers: 16, stall: PATIENCE, retry_for: PATIENCE, record: None, holds: None }
    }
}

/// A receiver at work.
pub struct Scene {
    pub figures: Arc<Figures>,
    pub stop: Stop,
    pub notices: Arc<Mutex<Vec<String>>>,
    links: Option<Sender<(Link, Prelude)>>,
    receiver: JoinHandle<Result<Received>>,
}

impl Scene {
    /// Starts to receive the volume, and the link that it begins with.
    pub fn start(volume: &Volume, target: Arc<dyn Target>, terms: Terms) -> (Scene, Peer) {
        let (figures, stop) = (Figures::new(Role::Recv), Stop::new());
        let part_size = PartSize::new(PART).expect("a part size");
        let workshop = Workshop { workers: 2, buffers: terms.buffers, part_size, highest_level: 1 };
        let receiving = Receiving {
            prelude: volume.prelude(0),
            stream: "the sender".into(),
            workshop,
            record: terms.record,
            holds: terms.holds,
            figures: figures.clone(),
            stop: stop.clone(),
        };
        let notices = Arc::<Mutex<Vec<String>>>::default();
        let heard = notices.clone();
        let (to, links) = unbounded();
        let (link, first) = pair("first");
        let receiver = std::thread::spawn(move || {
            let notice = Box::new(move |said: &str| heard.lock().expect("no panic").push(said.into()));
            let collecting = Collecting {
                receiving,
                incarnation: [5; 16],
                stall: terms.stall,
                retry_for: terms.retry_for,
                notice,
            };
            collect(link, links, target, collecting)
        });
        (Scene { figures, stop, notices, links: Some(to), receiver }, first)
    }

    /// Another link, with this prelude.
    pub fn link(&self, prelude: Prelude) -> Peer {
        let (link, peer) = pair(&format!("peer{}", prelude.link));
        self.links.as_ref().expect("it listens").send((link, prelude)).expect("it receives");
        peer
    }

    /// Waits until this can be said of the figures: they may be a moment late.
    pub fn expect(&self, what: &str, of: impl Fn(&Snapshot) -> bool) {
        let began = Instant::now();
        while !of(&self.figures.snapshot()) {
            assert!(began.elapsed() < PATIENCE, "not so: {what}: {:?}", self.figures.snapshot());
            std::thread::yield_now();
        }
    }

    /// Waits until the user is told something: the first of it.
    pub fn first_notice(&self) -> String {
        let began = Instant::now();
        loop {
            if let Some(said) = self.notices.lock().expect("no panic").first() {
                return said.clone();
            }
            assert!(began.elapsed() < PATIENCE, "nothing is said");
            std::thread::yield_now();
        }
    }

    /// No more links will come.
    pub fn close_door(&mut self) {
        self.links = None;
    }

    /// What became of it.
    pub fn result(self) -> Result<Received> {
        self.receiver.join().expect("no panic")
    }

    /// All that is still to do where all frames are sent.
    pub fn end(self, volume: &Volume, peer: Peer, target: &MemoryTarget) {
        peer.send(&volume.end);
        peer.expect_done(volume);
        peer.close();
        self.expect_whole(volume, target);
    }

    /// It received all of the volume into this target.
    pub fn expect_whole(self, volume: &Volume, target: &MemoryTarget) {
        let received = self.result().expect("it received all");
        assert_eq!((received.end, received.size), (volume.totals, volume.bytes.len() as u64));
        assert!(target.is_finished());
        assert!(*target.bytes() == volume.bytes, "the target is not the volume");
    }
}

/// The sender's end of a link.
pub struct Peer(pub UnixStream);

impl Peer {
    pub fn send(&self, bytes: &[u8]) {
        (&self.0).write_all(bytes).expect("the receiver reads");
    }

    /// The next answer but signs of life.
    pub fn answer(&self) -> Answer {
        loop {
            match self.any_answer() {
                Ok(Answer::Alive { .. }) => {}
                other => return other.expect("an answer"),
            }
        }
    }

    pub fn any_answer(&self) -> Result<Answer, WireError> {
        Answer::read(&mut &self.0)
    }

    pub fn welcome(&self) -> Welcome {
        match self.answer() {
            Answer::Welcome(welcome) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Reads answers until these offsets are written, in any order.
    pub fn expect_written(&self, offsets: impl IntoIterator<Item = u64>) {
        let mut missing: Vec<u64> = offsets.into_iter().collect();
        while !missing.is_empty() {
            match self.answer() {
                Answer::Written(written) => missing.retain(|offset| !written.contains(offset)),
                other => panic!("{other:?} while {missing:?} are not written"),
            }
        }
    }

    /// The reason of the last answer.
    pub fn expect_failed(&self) -> (crate::error::Status, String) {
        loop {
            match self.answer() {
                Answer::Failed { status, reason } => return (status, reason),
                Answer::Done { .. } => panic!("done"),
                _ => {}
            }
        }
    }

    pub fn expect_done(&self, volume: &Volume) {
        loop {
            match self.answer() {
                Answer::Done { end, size } => {
                    return assert_eq!((end, size), (volume.totals, volume.bytes.len() as u64));
                }
                Answer::Failed { reason, .. } => panic!("failed: {reason}"),
                _ => {}
            }
        }
    }

    /// Waits until the receiver hangs up.
    pub fn expect_hung_up(&self) {
        // Whether it ends with an error or without depends on what was not read.
        let _ = (&self.0).read_to_end(&mut Vec::new());
    }

    pub fn close(self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A link and its other end. Reads of the latter that take too long fail.
pub fn pair(name: &str) -> (Link, Peer) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    theirs.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    theirs.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    let half = || ours.try_clone().expect("a descriptor");
    let (reader, writer, end) = (half(), half(), half());
    let link = Link {
        name: name.into(),
        reader: Box::new(reader),
        writer: Box::new(writer),
        hang_up: HangUp::new(move || _ = end.shutdown(Shutdown::Both)),
    };
    (link, Peer(theirs))
}
