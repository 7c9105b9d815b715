//! Writes the inputs that every fuzzing starts from into fuzz/corpus: one of each kind of prelude, frame, answer,
//! journal, token, request and line, as today's code writes them. `cargo run --example corpus` in fuzz/, after a change of the
//! format; a fuzzer's own finds that are worth keeping lie beside them.

use std::fs;
use std::path::Path;

use lvpipe::error::Status;
use lvpipe::http::digest_field;
use lvpipe::http::volume_map::VolumeMap;
use lvpipe::link::key::Key;
use lvpipe::usedmap::UsedMap;
use lvpipe::wire::{
    Answer, Codec, Digest, DigestKind, Encoder, End, FrameHeader, Lineage, PartSize, Prelude, SegmentKind,
    Segments, Welcome,
};
use lvpipe_fuzz::{mend_journal, mend_token};

fn main() {
    for (name, bytes) in preludes() {
        keep("prelude", name, &bytes);
    }
    for (name, bytes) in frames() {
        keep("frames", name, &bytes);
    }
    for (name, answer) in answers() {
        keep("answers", name, &answer.encode());
    }
    keep("answers", "all", &answers().iter().flat_map(|(_, answer)| answer.encode()).collect::<Vec<_>>());
    for (name, bytes) in journals() {
        keep("journal", name, &bytes);
    }
    for (name, bytes) in tokens() {
        keep("token", name, &bytes);
        keep("token", &format!("{name}-text"), mend_token(&bytes).as_bytes());
    }
    for (name, text) in requests() {
        keep("request", name, text.as_bytes());
    }
    for (name, bytes) in batches() {
        keep("batches", name, &[&[7], &bytes[..]].concat());
    }
    for (name, text) in lines() {
        keep("ssh", name, text.as_bytes());
    }
}

fn keep(target: &str, name: &str, bytes: &[u8]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join(name), bytes).expect("a file");
}

fn preludes() -> Vec<(&'static str, Vec<u8>)> {
    let lineage = Lineage { source: Some("vg/vm1".into()), host: Some("host".into()), ..Lineage::default() };
    let volume = Prelude {
        transfer: *b"0123456789abcdef",
        link: 0,
        links: 1,
        part_size: PartSize::default(),
        volume_size: Some(2 << 20),
        used: Some(4096),
        digest: DigestKind::Sha256,
        answers: false,
        resumes: false,
        lineage,
    };
    let stream = Prelude { volume_size: None, used: None, lineage: Lineage::default(), ..volume.clone() };
    let link = Prelude { link: 3, links: 8, answers: true, resumes: true, ..volume.clone() };
    vec![("volume", volume.encode()), ("stream", stream.encode()), ("link", link.encode())]
}

/// The first byte chooses the stream; 6: it has answers and resumes.
fn frames() -> Vec<(&'static str, Vec<u8>)> {
    const PART: u64 = PartSize::MIN;
    let mut segments = Segments::default();
    segments.push(SegmentKind::Data, 4096);
    segments.push(SegmentKind::Hole, PART as u32 - 4096);
    let raw = [b'x'; 4096];
    let digest = DigestKind::None.of(&[]);
    let part = FrameHeader::part(PART, &segments, 4096, Codec::None, &raw, digest);
    let mut out = [0; 4096];
    let length = Encoder::new().expect("memory").encode(3, &raw, &mut out, 4096).expect("it is shorter");
    let zstd = FrameHeader::part(0, &segments, 4096, Codec::Zstd, &out[..length], digest);
    let end = End { parts: 2, data: 8192, holes: PART / 2, root: Digest([7; 32]) }.encode();
    let reason = b"ended by signal 2";
    let whole =
        |header: &FrameHeader, payload: &[u8]| [&header.encode()[..], segments.as_bytes(), payload].concat();
    let bare = |header: FrameHeader, payload: &[u8]| [&header.encode()[..], payload].concat();
    let one_of_each = [
        whole(&zstd, &out[..length]),
        whole(&part, &raw),
        bare(FrameHeader::hole(2 * PART, PART / 2, 0), &[]),
        whole(&part.clone().into_held(), &[]),
        bare(FrameHeader::alive(), &[]),
        bare(FrameHeader::end(PART * 5 / 2, &end), &end),
        bare(FrameHeader::abort(reason), reason),
    ];
    let names = ["zstd", "part", "hole", "held", "alive", "end", "abort"];
    let mut all: Vec<_> =
        names.into_iter().zip(&one_of_each).map(|(name, bytes)| (name, [&[6], &bytes[..]].concat())).collect();
    all.push(("all", [&[6], &one_of_each.concat()[..]].concat()));
    all.push(("unknown-size", [&[7], &one_of_each.concat()[..]].concat()));
    all
}

fn answers() -> Vec<(&'static str, Answer)> {
    let end = End { parts: 3, data: 4, holes: 5, root: Digest([6; 32]) };
    vec![
        ("welcome", Answer::Welcome(Welcome { incarnation: [1; 16], window: 2, most_links: 3, have: 2 })),
        ("have", Answer::Have(vec![(0, 1 << 20), (5 << 20, 1)])),
        ("written", Answer::Written(vec![0, 1 << 40])),
        ("again", Answer::Again(7 << 20)),
        ("done", Answer::Done { end, size: 9 }),
        ("failed", Answer::Failed { status: Status::Guard, reason: "target refused: vg/a: mounted".into() }),
        ("alive", Answer::Alive { received: 1 << 50, hungry: true }),
    ]
}

/// By the table of `lvpipe::journal`: three parts, a hole, and one part again.
fn journals() -> Vec<(&'static str, Vec<u8>)> {
    const PART: u64 = 1 << 20;
    let lineage = Lineage { source: Some("vg/vm1".into()), ..Lineage::default() }.encode();
    let target = b"lv:0123";
    let mut header = b"\x89LVJ\r\n\x1a\n\x01\0\0\0".to_vec();
    header.extend((PART as u32).to_le_bytes());
    header.extend([9; 16]);
    header.extend((5 * PART / 2).to_le_bytes());
    header.extend([1, 0, 0, 0]);
    header.extend((lineage.len() as u32).to_le_bytes());
    header.extend((target.len() as u32).to_le_bytes());
    header.extend([0; 12]);
    header.extend(lineage);
    header.extend(target);
    header.resize(header.len().next_multiple_of(64), 0);
    let record = |offset: u64, length: u64, kind: u8| {
        let mut bytes = [offset.to_le_bytes(), length.to_le_bytes()].concat();
        bytes.push(kind);
        bytes.extend([0; 11]);
        bytes.extend([if kind == 1 { 0xaa } else { 0 }; 32]);
        bytes.extend([0; 4]);
        bytes
    };
    let records =
        [record(PART, PART, 1), record(0, 4096, 2), record(2 * PART, PART / 2, 1), record(PART, PART, 1)].concat();
    let whole = mend_journal(&[header.clone(), records].concat());
    let torn = whole[..whole.len() - 30].to_vec();
    assert_eq!(lvpipe::journal::parse(&whole).expect("a journal").1.len(), 2);
    vec![("whole", whole), ("torn", torn), ("empty", mend_journal(&header))]
}

/// What stands before the checksum: id, size, part size, digest, three names, how many extents, the extents.
fn tokens() -> Vec<(&'static str, Vec<u8>)> {
    let mut volume = vec![9; 16];
    volume.extend((10u64 << 20).to_le_bytes());
    volume.extend([20, 1, 6]);
    volume.extend(b"vg/vm1");
    volume.extend([0, 4]);
    volume.extend(b"host");
    volume.extend([2, 0, 0, 3, 1, 4]);
    let mut stream = vec![9; 16];
    stream.extend(u64::MAX.to_le_bytes());
    stream.extend([16, 0, 0, 0, 0, 1, 0, 0x80, 1, 0xff, 0xff, 3]);
    for bytes in [&volume, &stream] {
        mend_token(bytes).parse::<lvpipe::journal::Token>().expect("a token");
    }
    vec![("volume", volume), ("stream", stream)]
}

/// Target, `Range`, `Accept-Encoding`, `If-Match`, `If-None-Match`, `If-Range`, `Authorization`.
fn requests() -> Vec<(&'static str, String)> {
    let request = |lines: [&str; 7]| lines.join("\n");
    vec![
        ("whole", request(["/vm%201", "", "gzip, zstd;q=0.5", "*", "W/\"x\", \"y\"", "", "Bearer lvt1-abc"])),
        ("range", request(["/vm%201", "bytes=0-499", "", "\"tag\"", "", "\"tag\"", "Basic eDp5"])),
        ("ranges", request(["/a/map?format=compact", "bytes=0-0, 5-,-1", "*;q=0", "", "*", "", ""])),
        ("batch", request(["/a/parts?first=0&last=9", "lines=1", "text/*", "", "", "", ""])),
        ("part", request(["/a/parts/7", "bytes=9999999999999999999999-", "", "", "", "", ""])),
        ("trick", request(["/%2e%2e/%00/..", "bytes=-0,1-0", "zstd;q=2", "\"", "W/", "x", "Basic"])),
    ]
}

/// Behind a byte that says how they are cut.
fn batches() -> Vec<(&'static str, Vec<u8>)> {
    let digest = digest_field::encode(&DigestKind::Sha256.of(&[b"data"]));
    let part = |range: &str, coding: &str| {
        format!(
            "--b\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {range}/8192\r\n{coding}\
             Content-Length: 4\r\nUnencoded-Digest: {digest}\r\n\r\ndata\r\n"
        )
    };
    let two = format!("{}{}--b--\r\n", part("0-3", ""), part("4096-8191", "Content-Encoding: zstd\r\n"));
    let map = VolumeMap {
        volume: "vm1".into(),
        etag: "\"a\"".into(),
        part_size: PartSize::default(),
        lineage: Lineage { source: Some("vg/vm1".into()), ..Lineage::default() },
        map: UsedMap::everything(8192).into(),
    };
    let (mut compact, mut json) = (Vec::new(), Vec::new());
    map.write_compact(&mut compact).expect("memory");
    map.write_json(&mut json).expect("memory");
    vec![("two", two.into_bytes()), ("none", b"--b--".to_vec()), ("map", compact), ("map-json", json)]
}

fn lines() -> Vec<(&'static str, String)> {
    // Of nothing: made for this.
    let key = "lvk1-numjrct3yrearzgw7rnozc54kjxdjtf7a2ujhehx2avvo33qf2vxj2ma".to_string();
    key.parse::<Key>().expect("a key");
    vec![
        ("request", format!(r#"{{"key":"{key}","ports":"7000-7010","listen":true}}"#)),
        ("greeting", r#"{"lvpipe":"0.1.0","wire":1,"port":7777}"#.into()),
        ("key", key),
        ("url", "ssh://root@host:2222//srv/vm1.img".into()),
        ("url-ipv6", "ssh://[fe80::1]:22/vg/vm1".into()),
    ]
}
