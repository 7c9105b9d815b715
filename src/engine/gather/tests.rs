//! Gathering from servers that the tests play themselves, in this process.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::stream::{Bytes, gather_stream};
use super::*;
use crate::engine::collect::tests::volume::{MemoryTarget, PART};
use crate::engine::{Holds, Record, Workshop};
use crate::error::Status;
use crate::progress::{Figures, Role};
use crate::stop::Stop;
use crate::usedmap::{Extent, MapBuilder, MapSource};
use crate::wire::{Codec, Digest, DigestKind, Lineage, PartSize, Prelude};

/// What a server does with a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Well,
    /// The connection breaks after so many pieces.
    Break(usize),
    /// The first piece's bytes are damaged.
    Damage,
    /// The first part is left out.
    LeaveOut,
    /// A piece of a part that was not asked for.
    Outside,
    /// The first piece comes twice.
    Twice,
    /// A piece that is longer when decoded than it says.
    Bomb,
    /// A byte of the map's is in no piece.
    Gap,
    /// As long as the server is held, nothing.
    Wait,
    /// Never again.
    Refuse,
}

/// A volume, and who serves it.
struct Server {
    bytes: Vec<u8>,
    map: Arc<UsedMap>,
    plan: Box<dyn Fn(usize) -> Does + Send + Sync>,
    requests: AtomicUsize,
    held: (Mutex<bool>, Condvar),
}

struct Client(Arc<Server>);

/// A volume of so many whole parts and a short one, of which these cells hold data, each but the last KiB.
fn server(cells: &[bool], plan: impl Fn(usize) -> Does + Send + Sync + 'static) -> Arc<Server> {
    let size = cells.len() as u64 * PART - 3000;
    let mut builder = MapBuilder::new(MapSource::Peer);
    let mut bytes = vec![0; size as usize];
    for (n, _) in cells.iter().enumerate().filter(|(_, used)| **used) {
        let begin = n as u64 * PART;
        // Two extents in a cell, so that the server sends them as one piece or two.
        for (from, to) in [(begin, begin + 5000), (begin + 9000, (begin + PART - 1024).min(size))] {
            builder.push(from, to - from).expect("in order");
            // Every third is all zeros, though it is used.
            let byte = |at: u64| if n % 3 == 2 { 0 } else { (at / 7 % 255) as u8 + 1 };
            (from..to).for_each(|at| bytes[at as usize] = byte(at));
        }
    }
    let map = Arc::new(builder.finish(size));
    let held = (Mutex::new(true), Condvar::new());
    Arc::new(Server { bytes, map, plan: Box::new(plan), requests: AtomicUsize::new(0), held })
}

impl Server {
    fn release(&self) {
        *self.held.0.lock().expect("no panic") = false;
        self.held.1.notify_all();
    }

    fn wait(&self) {
        let held = self.held.0.lock().expect("no panic");
        let (_free, out) =
            self.held.1.wait_timeout_while(held, Duration::from_secs(20), |held| *held).expect("no panic");
        assert!(!out.timed_out(), "it is never released");
    }

    /// What is sent of a part: one piece of all of it where the cell is even, else one for each extent.
    fn pieces(&self, part: Extent) -> Vec<Extent> {
        match (part.offset / PART).is_multiple_of(2) {
            true => vec![part],
            false => self.map.extents_in(part).collect(),
        }
    }
}

impl Client {
    fn send(&self, delivery: &mut Delivery<'_>, place: Extent, does: Does) -> Result<(), Failure> {
        let data = &self.0.bytes[place.offset as usize..place.end() as usize];
        let digest = Some(DigestKind::Sha256.of(&[data]));
        let packed = zstd::bulk::compress(data, 1).expect("it compresses");
        let (codec, mut coded) = match packed.len() < data.len() {
            true => (Codec::Zstd, packed),
            false => (Codec::None, data.to_vec()),
        };
        match does {
            Does::Damage => *coded.last_mut().expect("some bytes") ^= 1,
            Does::Bomb => coded = zstd::bulk::compress(&vec![0; 1 << 20], 1).expect("it compresses"),
            _ => {}
        }
        let codec = if does == Does::Bomb { Codec::Zstd } else { codec };
        delivery.piece(Piece { place, coded: coded.len() as u64, codec, digest })?;
        for some in coded.chunks(10_000) {
            assert_eq!(delivery.fill(some)?, some.len());
        }
        Ok(())
    }
}

impl Fetch for Client {
    fn fetch(&mut self, batch: &Batch, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        let does = (self.0.plan)(self.0.requests.fetch_add(1, Ordering::SeqCst));
        delivery.from("the server");
        let broken = || Failure::passing(Error::new(Status::Io, "the connection broke", "the server", "cut"), None);
        match does {
            Does::Wait => self.0.wait(),
            Does::Refuse => return Err(Failure::last(Error::new(Status::Peer, "refused", "the server", "no"))),
            Does::Outside => {
                let beyond = batch.span().end();
                let place = Extent { offset: beyond, length: 1 };
                delivery.piece(Piece { place, coded: 1, codec: Codec::None, digest: None })?;
            }
            _ => {}
        }
        let mut sent = 0;
        for part in batch.parts.iter().skip(usize::from(does == Does::LeaveOut)) {
            for place in self.0.pieces(*part) {
                if does == Does::Break(sent) {
                    return Err(broken());
                }
                let place = match does {
                    Does::Gap => Extent { offset: place.offset + 1, length: place.length - 1 },
                    _ => place,
                };
                self.send(delivery, place, if sent == 0 { does } else { Does::Well })?;
                if does == Does::Twice {
                    self.send(delivery, place, Does::Well)?;
                }
                sent += 1;
            }
        }
        Ok(())
    }
}

/// How a volume is gathered here.
struct Terms {
    connections: usize,
    buffers: usize,
    record: Option<Arc<dyn Record>>,
    holds: Option<Arc<dyn Holds>>,
    retry_for: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { connections: 4, buffers: 16, record: None, holds: None, retry_for: Duration::from_secs(20) }
    }
}

fn receiving(size: Option<u64>, terms: &Terms, stop: &Stop) -> Receiving {
    let part_size = PartSize::new(PART).expect("a part size");
    Receiving {
        prelude: Prelude {
            transfer: [1; 16],
            link: 0,
            links: 1,
            part_size,
            volume_size: size,
            used: None,
            digest: DigestKind::Sha256,
            answers: true,
            resumes: terms.holds.is_some(),
            lineage: Lineage::default(),
        },
        stream: "the server".into(),
        workshop: Workshop { workers: 2, buffers: terms.buffers, part_size, highest_level: 1 },
        record: terms.record.clone(),
        holds: terms.holds.clone(),
        figures: Figures::new(Role::Pull),
        stop: stop.clone(),
    }
}

fn run(server: &Arc<Server>, target: &Arc<MemoryTarget>, terms: Terms) -> Result<()> {
    let stop = Stop::new();
    let gathering = Gathering {
        receiving: receiving(Some(server.map.size()), &terms, &stop),
        map: server.map.clone(),
        most_bytes: 8 * PART,
        most_cells: 16,
        retry_for: terms.retry_for,
        notice: Arc::new(|_| {}),
    };
    let fetches = (0..terms.connections).map(|_| Box::new(Client(server.clone())) as Box<dyn Fetch>).collect();
    gather(fetches, target.clone(), gathering)
}

fn target(in_order: bool) -> Arc<MemoryTarget> {
    Arc::new(MemoryTarget { in_order, ..MemoryTarget::default() })
}

#[track_caller]
fn assert_whole(server: &Server, target: &MemoryTarget) {
    assert!(target.is_finished());
    assert!(*target.bytes() == server.bytes, "the target is not the volume");
}

const SOME: [bool; 40] = {
    let mut cells = [true; 40];
    let mut n = 3;
    while n < 40 {
        cells[n] = false;
        n += if n % 2 == 0 { 5 } else { 1 };
    }
    cells
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is used, whatever breaks: what is there in the end is the volume, for a pipe too.
    #[test]
    fn every_volume_arrives_over_connections_that_break(
        cells in proptest::collection::vec(any::<bool>(), 1..40),
        faults in proptest::collection::vec(0usize..8, 0..6),
        connections in 1usize..6, in_order: bool,
    ) {
        let does = move |request: usize| match faults.get(request) {
            Some(5) => Does::Damage,
            Some(6) => Does::LeaveOut,
            Some(7) | None => Does::Well,
            Some(pieces) => Does::Break(*pieces),
        };
        let (server, target) = (server(&cells, does), target(in_order));
        let terms = Terms { connections, buffers: 6, ..Terms::default() };
        run(&server, &target, terms).expect("it arrives");
        assert_whole(&server, &target);
    }
}

#[test]
fn a_connection_that_is_stalled_does_not_hold_up_a_pipe_for_ever() {
    // The first batch waits, all others come: the window is full of what the pipe cannot take yet. Then it breaks.
    let server = server(&[true; 64], |request| if request == 0 { Does::Wait } else { Does::Well });
    let (target, held) = (target(true), server.clone());
    let began = Instant::now();
    let releasing = std::thread::spawn(move || {
        while held.requests.load(Ordering::SeqCst) < 4 && began.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        held.release();
    });
    run(&server, &target, Terms { buffers: 8, ..Terms::default() }).expect("it arrives");
    releasing.join().expect("no panic");
    assert_whole(&server, &target);
}

#[test]
fn what_no_accident_does_ends_the_run() {
    let rows = [
        (Does::Outside, "the server sends a wrong piece"),
        (Does::Twice, "the server sends a wrong piece"),
        (Does::Gap, "the server sends a wrong piece"),
        (Does::LeaveOut, "the server leaves something out"),
        (Does::Damage, "stream is corrupt"),
        (Does::Bomb, "stream is corrupt"),
        (Does::Refuse, "refused"),
    ];
    for (does, said) in rows {
        let (server, target) = (server(&[true; 8], move |_| does), target(false));
        let error = run(&server, &target, Terms { connections: 1, ..Terms::default() }).expect_err("it cannot be");
        assert!(error.to_string().starts_with(said), "{does:?}: {error}");
        assert!(!target.is_finished(), "{does:?}");
    }
}

#[test]
fn patience_ends_where_nothing_comes() {
    let (server, target) =
        (server(&SOME, |request| if request < 2 { Does::Well } else { Does::Break(0) }), target(false));
    let terms = Terms { retry_for: Duration::from_millis(300), ..Terms::default() };
    let error = run(&server, &target, terms).expect_err("nothing comes");
    assert_eq!(error.to_string(), "the connection broke: the server: cut");
    assert!(server.requests.load(Ordering::SeqCst) > 5, "it tried again");
}

#[test]
fn a_target_that_fails_ends_the_run() {
    let server = server(&SOME, |_| Does::Well);
    let target = Arc::new(MemoryTarget { fails_at: Some(PART + 17), ..MemoryTarget::default() });
    let error = run(&server, &target, Terms::default()).expect_err("it is full");
    assert!(error.to_string().contains("No space left on device"), "{error}");
}

/// Remembers parts with their digests.
#[derive(Default)]
struct Memory {
    parts: Mutex<Vec<(u64, u64, Option<Digest>)>>,
    wrong: AtomicBool,
}

impl Record for Memory {
    fn written(&self, offset: u64, length: u64, digest: Option<Digest>) -> Result<()> {
        self.parts.lock().expect("no panic").push((offset, length, digest));
        Ok(())
    }
}

impl Holds for Memory {
    fn extents(&self) -> Vec<(u64, u64)> {
        self.parts.lock().expect("no panic").iter().map(|(offset, length, _)| (*offset, *length)).collect()
    }

    fn contains(&self, offset: u64, length: u64) -> bool {
        self.parts.lock().expect("no panic").iter().any(|part| (part.0, part.1) == (offset, length))
    }

    fn digest_of(&self, offset: u64) -> Option<Digest> {
        let parts = self.parts.lock().expect("no panic");
        let digest = parts.iter().find(|part| part.0 == offset)?.2?;
        // A byte that is turned over in the target, to the one that compares.
        Some(if self.wrong.load(Ordering::SeqCst) { Digest([9; 32]) } else { digest })
    }
}

#[test]
fn what_is_on_record_is_compared_and_not_fetched() {
    let (first, target) = (server(&SOME, |_| Does::Well), target(false));
    let memory = Arc::new(Memory::default());
    run(&first, &target, Terms { record: Some(memory.clone()), ..Terms::default() }).expect("it arrives");
    let used = SOME.iter().filter(|used| **used).count();
    assert_eq!(memory.parts.lock().expect("no panic").iter().filter(|part| part.2.is_some()).count(), used);
    // Of what was recorded half is kept, and one of it damaged in the target.
    let half = memory.parts.lock().expect("no panic").clone();
    let mut kept: Vec<_> = half.into_iter().filter(|part| part.0 / PART % 4 < 2 && part.2.is_some()).collect();
    kept.sort_by_key(|part| part.0);
    let damaged = kept[1].0 as usize;
    let mut bytes = target.bytes().clone();
    bytes[damaged] ^= 1;
    let again = Arc::new(MemoryTarget::holding(bytes));
    let held = Arc::new(Memory { parts: Mutex::new(kept.clone()), wrong: AtomicBool::new(false) });
    let second = server(&SOME, |_| Does::Well);
    run(&second, &again, Terms { holds: Some(held), ..Terms::default() }).expect("it arrives");
    assert_whole(&second, &again);
    assert!(again.resumed.load(Ordering::SeqCst));
}

#[test]
fn what_does_not_compare_is_fetched() {
    let (first, target) = (server(&SOME, |_| Does::Well), target(false));
    let memory = Arc::new(Memory::default());
    run(&first, &target, Terms { record: Some(memory.clone()), ..Terms::default() }).expect("it arrives");
    memory.wrong.store(true, Ordering::SeqCst);
    let (second, again) = (server(&SOME, |_| Does::Well), Arc::new(MemoryTarget::holding(target.bytes().clone())));
    run(&second, &again, Terms { holds: Some(memory), ..Terms::default() }).expect("it arrives");
    assert_whole(&second, &again);
    assert!(second.requests.load(Ordering::SeqCst) > 0, "nothing was fetched");
}

struct Slices(Vec<Vec<u8>>);

impl Bytes for Slices {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let Some(mut first) = self.0.pop() else { return Ok(0) };
        let length = first.len().min(into.len());
        into[..length].copy_from_slice(&first[..length]);
        if length < first.len() {
            self.0.push(first.split_off(length));
        }
        Ok(length)
    }
}

#[test]
fn a_stream_of_unknown_length_arrives() {
    let bytes: Vec<u8> =
        (0..PART as u32 * 5 / 2).map(|at| if at < 80_000 { 0 } else { (at % 251) as u8 }).collect();
    for in_order in [true, false] {
        let slices = bytes.rchunks(7777).map(<[u8]>::to_vec).collect();
        let target = target(in_order);
        let receiving = receiving(None, &Terms::default(), &Stop::new());
        let length = gather_stream(Slices(slices), target.clone(), receiving).expect("it arrives");
        assert_eq!(length, bytes.len() as u64);
        assert!(*target.bytes() == bytes && target.is_finished());
    }
}
