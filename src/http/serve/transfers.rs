//! Who is reading what, how fast: for the index page and the metrics.
//!
//! A transfer is what one host reads of one volume, over however many connections and requests; it is over when
//! nothing of it has been under way for [`LINGER`]. Their number is bounded: beyond [`MOST`], those that rest go.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::tuner::Tuner;
use crate::engine::Compress;

/// How long a transfer is shown after its last response.
const LINGER: Duration = Duration::from_secs(10);
const MOST: usize = 1024;
/// Rates are means over so many whole seconds.
const WINDOW: u64 = 4;

/// All of them.
pub struct Transfers {
    compress: Compress,
    all: Mutex<Vec<Arc<Transfer>>>,
}

/// What one host reads of one volume.
pub struct Transfer {
    client: IpAddr,
    volume: usize,
    began: Instant,
    under_way: AtomicUsize,
    sent: AtomicU64,
    pace: Mutex<Pace>,
    tuner: Arc<Tuner>,
}

/// Bytes of the last seconds.
struct Pace {
    /// Whole seconds since the transfer began; index of the last one in `bytes`.
    second: u64,
    bytes: [u64; WINDOW as usize + 1],
    last: Instant,
}

/// A transfer as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Whose.
    pub client: IpAddr,
    /// Which of the server's volumes.
    pub volume: usize,
    /// How long it lasts.
    pub for_time: Duration,
    /// Responses that are being sent.
    pub responses: usize,
    /// Bytes on the wire.
    pub sent: u64,
    /// Bytes a second, over the last seconds.
    pub rate: u64,
}

impl Transfers {
    /// None yet. Each has a tuner for this.
    pub fn new(compress: Compress) -> Self {
        Transfers { compress, all: Mutex::default() }
    }

    /// A response begins.
    pub fn begin(&self, client: IpAddr, volume: usize) -> Meter {
        let mut all = self.lock();
        let known = all.iter().find(|transfer| transfer.client == client && transfer.volume == volume);
        let transfer = known.cloned().unwrap_or_else(|| {
            all.retain(|transfer| !transfer.is_over());
            if all.len() >= MOST {
                all.retain(|transfer| transfer.under_way.load(Ordering::Relaxed) > 0);
            }
            let transfer = Arc::new(Transfer::new(client, volume, self.compress));
            all.push(transfer.clone());
            transfer
        });
        transfer.under_way.fetch_add(1, Ordering::Relaxed);
        Meter(transfer)
    }

    /// Those that are under way, the fastest first.
    pub fn see(&self) -> Vec<Seen> {
        let mut all = self.lock();
        all.retain(|transfer| !transfer.is_over());
        let mut seen: Vec<Seen> = all.iter().map(|transfer| transfer.see()).collect();
        drop(all);
        seen.sort_by_key(|transfer| (std::cmp::Reverse(transfer.rate), transfer.client, transfer.volume));
        seen
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Transfer>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfer {
    fn new(client: IpAddr, volume: usize, compress: Compress) -> Self {
        let now = Instant::now();
        Transfer {
            client,
            volume,
            began: now,
            under_way: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            pace: Mutex::new(Pace { second: 0, bytes: [0; WINDOW as usize + 1], last: now }),
            tuner: Arc::new(Tuner::new(compress)),
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0 && self.pace().last.elapsed() > LINGER
    }

    fn see(&self) -> Seen {
        let for_time = self.began.elapsed();
        let mut pace = self.pace();
        pace.turn(for_time.as_secs());
        Seen {
            client: self.client,
            volume: self.volume,
            for_time,
            responses: self.under_way.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            rate: pace.rate(for_time),
        }
    }
}

impl Pace {
    /// Goes on to this second; those between are of no bytes.
    fn turn(&mut self, second: u64) {
        let places = self.bytes.len() as u64;
        for passed in self.second + 1..=second.min(self.second + places) {
            self.bytes[(passed % places) as usize] = 0;
        }
        if second > self.second + places {
            self.bytes = [0; WINDOW as usize + 1];
        }
        self.second = self.second.max(second);
    }

    /// The mean of the last whole seconds, or of all the time there was.
    fn rate(&self, for_time: Duration) -> u64 {
        let sum: u64 = self.bytes.iter().sum();
        let fraction = for_time.as_secs_f64() - self.second as f64;
        let time = (self.second.min(WINDOW) as f64 + fraction).max(0.1);
        (sum as f64 / time) as u64
    }
}

/// Counts for a response; its end is the response's.
pub struct Meter(Arc<Transfer>);

impl Meter {
    /// What chooses the transfer's level.
    pub fn tuner(&self) -> Arc<Tuner> {
        self.0.tuner.clone()
    }

    /// So many bytes are being sent.
    pub fn add(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
        let mut pace = self.0.pace();
        pace.turn(self.0.began.elapsed().as_secs());
        let place = (pace.second % pace.bytes.len() as u64) as usize;
        pace.bytes[place] += bytes;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.pace().last = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn host(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    #[test]
    fn requests_of_one_host_for_one_volume_are_one_transfer() {
        let transfers = Transfers::new(Compress::Auto);
        let first = transfers.begin(host(1), 0);
        let second = transfers.begin(host(1), 0);
        let other = transfers.begin(host(1), 1);
        first.add(1000);
        second.add(500);
        other.add(1);
        drop(first);
        let seen = transfers.see();
        let told: Vec<_> = seen.iter().map(|s| (s.volume, s.responses, s.sent)).collect();
        assert_eq!(told, [(0, 1, 1500), (1, 1, 1)]);
        assert!(seen[0].rate > 1500, "within its first second: {seen:?}");
    }

    #[test]
    fn rates_are_of_the_last_seconds() {
        let mut pace = Pace { second: 0, bytes: [0; 5], last: Instant::now() };
        for second in 0..60 {
            pace.turn(second);
            pace.bytes[(second % 5) as usize] += 1000;
        }
        let rate = pace.rate(Duration::from_secs(60));
        assert!((900..=1100).contains(&rate), "{rate}");
        pace.turn(62);
        assert!(
            (300..=700).contains(&pace.rate(Duration::from_secs(62))),
            "{pace_rate}",
            pace_rate = pace.rate(Duration::from_secs(62))
        );
        pace.turn(500);
        assert_eq!(pace.rate(Duration::from_secs(500)), 0);
    }

    #[test]
    fn their_number_is_bounded() {
        let transfers = Transfers::new(Compress::Auto);
        for number in 0..=u16::MAX {
            let [high, low] = number.to_be_bytes();
            drop(transfers.begin(Ipv4Addr::new(10, 0, high, low).into(), 0));
        }
        assert!(transfers.see().len() <= MOST);
    }
}
