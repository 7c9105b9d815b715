//! Dialling and listening over loopback, with real sockets; strangers and faults among them.

mod activation;
mod encrypted;
mod plain;
mod strangers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::dial::Dialer;
use super::key::Key;
use super::listen::{Closer, Listener};
use super::{Link, Security};
use crate::error::Result;
use crate::stop::Stop;
use crate::wire::{DigestKind, Lineage, PartSize, Prelude};

/// Long enough for a busy machine; nothing waits for it when all is well.
const LONG: Duration = Duration::from_secs(20);

fn prelude(link: u16) -> Prelude {
    Prelude {
        transfer: [7; 16],
        link,
        links: 64,
        part_size: PartSize::default(),
        volume_size: Some(1 << 20),
        used: None,
        digest: DigestKind::Sha256,
        answers: true,
        resumes: false,
        lineage: Lineage::default(),
    }
}

/// A listener that is served by a thread, until dropped.
struct Serving {
    place: SocketAddr,
    links: Receiver<(Link, Prelude)>,
    log: Arc<Mutex<Vec<String>>>,
    closer: Closer,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Serving {
    fn at(place: &str, security: Security) -> Self {
        let listener = Listener::bind(&place.parse().expect("a place")).expect("loopback");
        let place = listener.local_addresses()[0];
        let closer = listener.closer();
        let (to, links) = bounded(64);
        let log = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&log);
        let thread = thread::spawn(move || {
            let log = |message: &str| said.lock().expect("no panic").push(message.to_owned());
            listener.serve(&security, &to, &log, &Stop::new())
        });
        Serving { place, links, log, closer, thread: Some(thread) }
    }

    fn insecure() -> Self {
        Self::at("127.0.0.1:0", Security::Insecure)
    }

    /// One that wants this key.
    fn keyed(key: &Key) -> Self {
        Self::at("127.0.0.1:0", Security::Key(key.clone()))
    }

    fn dialer(&self, security: Security) -> Dialer {
        let address = self.place.to_string().parse().expect("an address");
        Dialer::new(vec![address], Vec::new(), LONG, security).expect("one address")
    }

    /// The next link that was let in.
    fn next(&self) -> (Link, Prelude) {
        self.links.recv_timeout(LONG).unwrap_or_else(|_| panic!("no link came; said: {:?}", self.said()))
    }

    fn said(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }

    /// Waits until something like this is said.
    fn says(&self, what: &str) {
        let until = Instant::now() + LONG;
        while !self.said().iter().any(|line| line.contains(what)) {
            assert!(Instant::now() < until, "{what:?} was not said, but {:?}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn stranger(&self) -> TcpStream {
        let stream = TcpStream::connect(self.place).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        stream
    }

    fn close(&mut self) {
        self.closer.close();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic").expect("served");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.close();
        }
    }
}

fn new_key() -> Key {
    Key::generate().expect("random numbers")
}

/// Both ends of a link that works; the prelude has arrived.
fn joined(serving: &Serving, dialer: &Dialer, number: u16) -> (Link, Link) {
    let mut near = dialer.dial(number, &Stop::new()).expect("it listens");
    near.writer.write_all(&prelude(number).encode()).and_then(|()| near.writer.flush()).expect("it is read");
    let (far, arrived) = serving.next();
    assert_eq!(arrived, prelude(number));
    (near, far)
}

/// Bytes that differ wherever one looks.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// Sends `length` bytes both ways at once, from four threads; what arrives is what was sent.
fn full_both_ways(near: Link, far: Link, length: usize) {
    let (near_reader, near_writer, far_reader, far_writer) = (near.reader, near.writer, far.reader, far.writer);
    let write = |mut to: Box<dyn Write + Send>, seed| {
        move || {
            to.write_all(&pattern(length, seed)).and_then(|()| to.flush()).expect("it is read");
            to
        }
    };
    let read = |mut from: Box<dyn Read + Send>, seed| {
        move || {
            let mut got = vec![0; length];
            from.read_exact(&mut got).expect("it is written");
            assert!(got == pattern(length, seed), "other bytes arrived");
            from
        }
    };
    thread::scope(|scope| {
        let writers = [scope.spawn(write(near_writer, 3)), scope.spawn(write(far_writer, 4))];
        // Both directions are full before anybody reads.
        thread::sleep(Duration::from_millis(200));
        let readers = [scope.spawn(read(far_reader, 3)), scope.spawn(read(near_reader, 4))];
        let writers = writers.map(|writer| writer.join().expect("no panic"));
        let readers = readers.map(|reader| reader.join().expect("no panic"));
        // Dropped writers are seen as the end by the readers.
        drop(writers);
        for mut reader in readers {
            assert_eq!(reader.read(&mut [0; 8]).expect("a clean end"), 0);
        }
    });
}
