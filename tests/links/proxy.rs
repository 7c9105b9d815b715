//! A network between sender and receiver that does to chosen connections what networks do: cut them, turn bits over,
//! go silent, crawl.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What happens to a connection on its way from the sender to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Both directions are cut after so many bytes.
    CutAfter(u64),
    /// Every bit whose number is a multiple of this is turned over, the first excepted.
    FlipEvery(u64),
    /// Nothing gets through after so many bytes, and nobody is told.
    SilentAfter(u64),
    /// So many bytes a second.
    Crawl(u64),
    /// It is refused.
    Refused,
}

/// A running proxy. Dropped, it cuts all connections and takes no more.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    closed: AtomicBool,
    connections: AtomicUsize,
    flipped: AtomicU64,
}

impl Proxy {
    /// Leads to `to`; `plan` says what happens to which connection, counted from 0.
    pub fn start(to: SocketAddr, plan: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            to,
            closed: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            flipped: AtomicU64::new(0),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { continue };
                if serving.closed.load(Ordering::SeqCst) {
                    return;
                }
                let number = serving.connections.fetch_add(1, Ordering::SeqCst);
                let (serving, fault) = (serving.clone(), plan(number));
                thread::spawn(move || serving.connection(near, fault));
            }
        });
        Proxy { address, shared }
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bits have been turned over.
    pub fn flipped(&self) -> u64 {
        self.shared.flipped.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn connection(&self, near: TcpStream, fault: Fault) {
        if fault == Fault::Refused {
            return;
        }
        let Ok(far) = TcpStream::connect(self.to) else { return };
        let both = || Some((near.try_clone().ok()?, far.try_clone().ok()?));
        let Some((mut back_to, mut back_from)) = both() else { return };
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = io::copy(&mut back_from, &mut back_to);
                let _ = near.shutdown(Shutdown::Write);
            });
            let _ = self.forward(&near, &far, fault);
            // Where the sender's side has ended, the receiver hears of it and may still answer.
            let how = if matches!(fault, Fault::CutAfter(_)) { Shutdown::Both } else { Shutdown::Write };
            let _ = (far.shutdown(how), near.shutdown(if how == Shutdown::Both { how } else { Shutdown::Read }));
        });
    }

    fn forward(&self, mut near: &TcpStream, mut far: &TcpStream, fault: Fault) -> io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        let (mut passed, begun) = (0, Instant::now());
        loop {
            let step = match fault {
                Fault::CutAfter(limit) | Fault::SilentAfter(limit) => (limit - passed).min(bytes.len() as u64),
                Fault::Crawl(rate) => (rate / 20).clamp(1, bytes.len() as u64),
                _ => bytes.len() as u64,
            };
            if step == 0 && matches!(fault, Fault::CutAfter(_)) {
                return Ok(());
            }
            while step == 0 {
                if self.closed.load(Ordering::SeqCst) {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(20));
            }
            let length = near.read(&mut bytes[..step as usize])?;
            if length == 0 {
                return Ok(());
            }
            if let Fault::FlipEvery(bits) = fault {
                self.flip(&mut bytes[..length], passed, bits);
            }
            far.write_all(&bytes[..length])?;
            passed += length as u64;
            if let Fault::Crawl(rate) = fault {
                let due = Duration::from_secs_f64(passed as f64 / rate as f64);
                thread::sleep(due.saturating_sub(begun.elapsed()));
            }
        }
    }

    /// Turns over the bits whose number, counted over the connection, is a multiple of `every`.
    fn flip(&self, bytes: &mut [u8], passed: u64, every: u64) {
        let (first, end) = (passed * 8, (passed + bytes.len() as u64) * 8);
        let mut bit = first.next_multiple_of(every).max(every);
        while bit < end {
            bytes[((bit - first) / 8) as usize] ^= 1 << (bit % 8);
            self.flipped.fetch_add(1, Ordering::SeqCst);
            bit += every;
        }
    }
}
