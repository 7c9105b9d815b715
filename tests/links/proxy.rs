//! A network between who connects and who listens that does to chosen connections what networks do: cut them, turn bits over,
//! go silent, crawl; and to all of them at once: cut them for a while.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What happens to a connection on the way that its data takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Both directions are cut after so many bytes.
    CutAfter(u64),
    /// So many neighbouring bits are turned over, again and again after so many bytes.
    Flip { bits: u64, every: u64 },
    /// After so many bytes nothing gets through any more, in either direction, and nobody is told.
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
    /// Whether data comes from who listens, to who has connected.
    pulled: bool,
    closed: AtomicBool,
    /// All connections are cut, and new ones refused.
    down: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    from: Mutex<Vec<IpAddr>>,
    connections: AtomicUsize,
    passed: AtomicU64,
    flipped: AtomicU64,
}

impl Proxy {
    /// Leads to `to`, a receiver; `plan` says what happens to which connection, counted from 0.
    #[allow(dead_code, reason = "shared by those who push and those who pull")]
    pub fn start(to: SocketAddr, plan: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Proxy {
        Self::run(to, false, plan)
    }

    /// Leads to `to`, a server that data is pulled from.
    #[allow(dead_code, reason = "shared by those who push and those who pull")]
    pub fn pulling(to: SocketAddr, plan: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Proxy {
        Self::run(to, true, plan)
    }

    fn run(to: SocketAddr, pulled: bool, plan: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            to,
            pulled,
            closed: AtomicBool::new(false),
            down: AtomicBool::new(false),
            open: Mutex::default(),
            from: Mutex::default(),
            connections: AtomicUsize::new(0),
            passed: AtomicU64::new(0),
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

    /// One that does no harm.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn to(to: SocketAddr) -> Proxy {
        Proxy::start(to, |_| Fault::None)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The addresses that they came from.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn peers(&self) -> Vec<IpAddr> {
        let mut peers = self.shared.from.lock().expect("no panic").clone();
        peers.sort();
        peers.dedup();
        peers
    }

    /// How many bytes of data have been passed on.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// How many bits have been turned over.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn flipped(&self) -> u64 {
        self.shared.flipped.load(Ordering::SeqCst)
    }

    /// Cuts all connections, and refuses new ones until it is [`up`](Proxy::up) again.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn down(&self) {
        self.shared.down.store(true, Ordering::SeqCst);
        self.shared.cut_all();
    }

    #[allow(dead_code, reason = "not every test needs it")]
    pub fn up(&self) {
        self.shared.down.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        self.shared.cut_all();
    }
}

impl Shared {
    fn cut_all(&self) {
        self.open.lock().expect("no panic").drain(..).for_each(|socket| _ = socket.shutdown(Shutdown::Both));
    }

    fn connection(&self, near: TcpStream, fault: Fault) {
        if fault == Fault::Refused || self.down.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(peer) = near.peer_addr() {
            self.from.lock().expect("no panic").push(peer.ip());
        }
        let Ok(far) = TcpStream::connect(self.to) else { return };
        let both = || Some((near.try_clone().ok()?, far.try_clone().ok()?));
        let (Some(back), Some(kept)) = (both(), both()) else { return };
        self.open.lock().expect("no panic").extend([kept.0, kept.1]);
        // Taken down in between.
        if self.down.load(Ordering::SeqCst) {
            self.cut_all();
        }
        let silent = AtomicBool::new(false);
        // From here on near is where data comes from, and far where it goes.
        let (near, far, back) = if self.pulled { (far, near, (back.1, back.0)) } else { (near, far, back) };
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = answers(&back.1, &back.0, &silent);
                let _ = near.shutdown(Shutdown::Write);
            });
            let _ = self.forward(&near, &far, fault, &silent);
            // Where the sender's side has ended, the receiver hears of it and may still answer.
            let how = if matches!(fault, Fault::CutAfter(_)) { Shutdown::Both } else { Shutdown::Write };
            let _ = (far.shutdown(how), near.shutdown(if how == Shutdown::Both { how } else { Shutdown::Read }));
        });
    }

    fn forward(
        &self,
        mut near: &TcpStream,
        mut far: &TcpStream,
        fault: Fault,
        silent: &AtomicBool,
    ) -> io::Result<()> {
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
            if step == 0 {
                silent.store(true, Ordering::SeqCst);
                // What comes is lost, up to the end of it.
                io::copy(&mut near, &mut io::sink())?;
                return Ok(());
            }
            let length = near.read(&mut bytes[..step as usize])?;
            if length == 0 {
                return Ok(());
            }
            if let Fault::Flip { bits, every } = fault {
                self.flip(&mut bytes[..length], passed, bits, every);
            }
            far.write_all(&bytes[..length])?;
            passed += length as u64;
            self.passed.fetch_add(length as u64, Ordering::SeqCst);
            if let Fault::Crawl(rate) = fault {
                let due = Duration::from_secs_f64(passed as f64 / rate as f64);
                thread::sleep(due.saturating_sub(begun.elapsed()));
            }
        }
    }

    /// Turns over the last bit of `bits` bytes behind every multiple of `every`, the first excepted.
    fn flip(&self, bytes: &mut [u8], passed: u64, bits: u64, every: u64) {
        for (byte, at) in bytes.iter_mut().zip(passed..).filter(|(_, at)| *at >= every && at % every < bits) {
            *byte ^= 1 << (at / every % 8);
            self.flipped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Passes answers on until the connection is silent.
fn answers(mut from: &TcpStream, mut to: &TcpStream, silent: &AtomicBool) -> io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        if !silent.load(Ordering::SeqCst) {
            to.write_all(&bytes[..length])?;
        }
    }
}
