//! A delta from one volume to another by the engine: whatever was written and discarded, a copy of the base becomes the
//! new volume, and nothing of what is the same is sent or touched.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use lvpipe::engine::recv::{Receiving, recv};
use lvpipe::engine::send::{Input, Sending, send};
use lvpipe::engine::walk::walk;
use lvpipe::engine::{Compress, HeldAtTarget, Work, Workshop};
use lvpipe::progress::{Figures, Role};
use lvpipe::stop::Stop;
use lvpipe::usedmap::{Delta, MapBuilder, MapSource, UsedMap};
use lvpipe::volume::{FileSource, FileTarget, Target};
use lvpipe::wire::{DigestKind, Lineage, PartSize, Prelude};
use proptest::prelude::*;

const BLOCK: usize = 16 << 10;

/// What became of a block since the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Written,
    /// Written, with nothing but zeros.
    Zeroed,
    Discarded,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![6 => Just(Fate::Kept), 1 => Just(Fate::Written), 1 => Just(Fate::Zeroed), 1 => Just(Fate::Discarded)];
    // Runs, so that whole parts are of a kind too.
    proptest::collection::vec((fate, 1..12_usize), 0..40)
        .prop_map(|runs| runs.into_iter().flat_map(|(fate, length)| vec![fate; length]).collect())
}

fn map(fates: &[Fate], size: u64, wanted: &[Fate]) -> UsedMap {
    let mut map = MapBuilder::new(MapSource::Thin);
    for (block, _) in fates.iter().enumerate().filter(|(_, fate)| wanted.contains(fate)) {
        map.push((block * BLOCK) as u64, BLOCK as u64).expect("in order");
    }
    map.finish(size)
}

fn workshop(part_size: PartSize, work: Work) -> Workshop {
    Workshop::plan(64 << 20, Some(2), part_size, work).expect("enough memory")
}

fn prelude(part_size: PartSize, size: u64, base: Option<&str>) -> Prelude {
    Prelude {
        transfer: [7; 16],
        link: 0,
        links: 1,
        part_size,
        volume_size: Some(size),
        used: None,
        digest: DigestKind::Sha256,
        answers: false,
        resumes: false,
        lineage: Lineage { base: base.map(Into::into), ..Lineage::default() },
    }
}

fn send_to(path: &Path, prelude: &Prelude, source: &Path, delta: Delta) {
    let name = source.display().to_string();
    let source = FileSource::new(File::open(source).expect("there"), &name).expect("a file");
    let input = Input::Volume {
        source: Arc::new(source),
        map: Arc::new(delta.written),
        discarded: Some(Arc::new(delta.discarded)),
    };
    let sending = Sending {
        prelude: prelude.clone(),
        workshop: workshop(prelude.part_size, Work::Decompress),
        compress: Compress::None,
        source_may_change: false,
        held: HeldAtTarget::default(),
        rate: None,
        figures: Figures::new(Role::Send),
        stop: Stop::new(),
    };
    send(input, File::create(path).expect("a stream"), "stream", sending).expect("sent");
}

fn recv_from(path: &Path, target: Arc<dyn Target>) -> lvpipe::error::Result<()> {
    let mut stream = File::open(path).expect("there");
    let prelude = Prelude::read(&mut stream).expect("a prelude");
    let receiving = Receiving {
        workshop: workshop(prelude.part_size, Work::Decompress),
        prelude,
        stream: "stream".into(),
        record: None,
        holds: None,
        figures: Figures::new(Role::Recv),
        stop: Stop::new(),
    };
    recv(stream, target, receiving).map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_of_the_base_becomes_the_new_volume(fates in fates(), part in 16..20_u32, tail in 0..BLOCK) {
        let dir = tempfile::tempdir().expect("scratch directory");
        let path = |name: &str| dir.path().join(name);
        let size = fates.len() * BLOCK + tail;
        // Each block of the base has its own number in it.
        let base: Vec<u8> = (0..size).map(|at| (at / BLOCK % 251 + 1) as u8).collect();
        let (mut new, mut expected) = (base.clone(), base.clone());
        for (block, fate) in fates.iter().enumerate() {
            let bytes = block * BLOCK..(block + 1) * BLOCK;
            match fate {
                // What is the same is not even read: the source has something else there.
                Fate::Kept => new[bytes].fill(0xee),
                Fate::Written => {
                    new[bytes.clone()].fill(0xff);
                    expected[bytes].fill(0xff);
                }
                Fate::Zeroed | Fate::Discarded => {
                    new[bytes.clone()].fill(0);
                    expected[bytes].fill(0);
                }
            }
        }
        fs::write(path("new"), &new).expect("written");
        fs::write(path("copy"), &base).expect("written");
        let size = size as u64;
        let delta = Delta {
            written: map(&fates, size, &[Fate::Written, Fate::Zeroed]),
            discarded: map(&fates, size, &[Fate::Discarded]),
        };
        let changed = delta.written.used_bytes() + delta.discarded.used_bytes();
        let prelude = prelude(PartSize::new(1 << part).expect("a power of two"), size, Some("base:1"));
        send_to(&path("stream"), &prelude, &path("new"), delta);

        let mut stream = File::open(path("stream")).expect("there");
        Prelude::read(&mut stream).expect("a prelude");
        let walked = walk(stream, &prelude, "stream", &Stop::new()).expect("whole");
        prop_assert_eq!(walked.kept, size - changed);

        let target = FileTarget::open(&path("copy"), "copy").expect("a target");
        recv_from(&path("stream"), Arc::new(target)).expect("received");
        prop_assert!(fs::read(path("copy")).expect("read") == expected);
    }
}

#[test]
fn inspect_tells_what_a_delta_keeps_and_since_what_it_is() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = |name: &str| dir.path().join(name);
    let size = 4 << 20;
    fs::write(path("new"), vec![1; size as usize]).expect("written");
    let mut fates = vec![Fate::Kept; size as usize / BLOCK];
    fates[3] = Fate::Written;
    fates[5] = Fate::Discarded;
    fates[200] = Fate::Discarded;
    let delta =
        Delta { written: map(&fates, size, &[Fate::Written]), discarded: map(&fates, size, &[Fate::Discarded]) };
    send_to(&path("stream"), &prelude(PartSize::default(), size, Some("base:1")), &path("new"), delta);
    for how in [&["--json"][..], &["--json", "--verify"]] {
        let output = assert_cmd::Command::cargo_bin("lvpipe")
            .expect("built")
            .arg("inspect")
            .args(how)
            .arg(path("stream"))
            .output()
            .expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("an object");
        let of = |name: &str| report[name].as_u64().expect("a number");
        let block = BLOCK as u64;
        assert_eq!((of("data"), of("holes"), of("kept")), (block, 2 * block, size - 3 * block), "{how:?}");
        assert_eq!(report["lineage"]["base"], "base:1");
    }
}

#[test]
fn what_is_no_delta_keeps_nothing() {
    let dir = tempfile::tempdir().expect("scratch directory");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("new"), vec![1; 1 << 20]).expect("written");
    let delta =
        || Delta { written: map(&[Fate::Written], 1 << 20, &[Fate::Written]), discarded: map(&[], 1 << 20, &[]) };
    send_to(&path("stream"), &prelude(PartSize::default(), 1 << 20, None), &path("new"), delta());
    let target = FileTarget::open(&path("copy"), "copy").expect("a target");
    let error = recv_from(&path("stream"), Arc::new(target)).expect_err("it keeps what is not there");
    assert!(error.to_string().contains("kind of a segment cannot be 2"), "{error}");
}

#[test]
fn a_delta_without_its_base_or_its_bit_is_refused() {
    let whole = prelude(PartSize::default(), 1 << 20, Some("base:1")).encode();
    for (bit, refused) in [(4_u32, false), (0, true), (12, true)] {
        let mut bytes = whole.clone();
        bytes[12..16].copy_from_slice(&bit.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..92]);
        bytes[92..96].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Prelude::read(&mut &bytes[..]).is_err(), refused, "features {bit}");
    }
}
