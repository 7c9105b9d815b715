//! Streams as bytes, fixed: these may never change, for they are backups that somebody keeps. A format with other
//! bytes is another version.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("two hex digits"))
        .collect()
}

fn prelude() -> Prelude {
    Prelude {
        transfer: *b"0123456789abcdef",
        link: 0,
        links: 1,
        part_size: PartSize::new(1 << 20).expect("a power of two"),
        volume_size: Some(0x20_0000),
        used: Some(0x1000),
        digest: DigestKind::Sha256,
        answers: false,
        resumes: false,
        lineage: Lineage { source: Some("vg/vm1".into()), ..Lineage::default() },
    }
}

fn segments() -> Segments {
    let mut segments = Segments::default();
    segments.push(SegmentKind::Data, 4);
    segments.push(SegmentKind::Hole, 0xf_fffc);
    segments
}

fn part() -> FrameHeader {
    let digest = DigestKind::Sha256.of(&[segments().as_bytes(), b"data"]);
    FrameHeader::part(0x10_0000, &segments(), 0x1000, Codec::None, b"data", digest)
}

fn end() -> End {
    End { parts: 1, data: 4, holes: 0x1f_fffc, root: Digest([0xab; 32]) }
}

/// A prelude: magic, version, length, features; transfer id; link, links, part size, volume size, used; digest,
/// reserved, lineage length and CRC; reserved, CRC; the lineage's one field.
const PRELUDE: &str = "
    894c5650 0d0a1a0a  0100 6000 00000000
    30313233 34353637 38396162 63646566
    0000 0100 00001000  00002000 00000000  00100000 00000000
    01 000000 0a000000 ec229f00
    00000000 00000000 00000000 00000000 00000000 00000000  0f43e272
    0100 0600 76672f766d31";

/// A part: kind, codec, segments, payload length, offset, length, raw length; used, CRCs of table and payload;
/// digest; CRC; the table: 4 bytes of data, a hole to the end of the part; the payload.
const PART: &str = "
    01 00 0200 04000000  0000100000000000  0000100000000000  04000000
    0010000000000000  756d13d0 d17dd8ae
    37d7f5f8 54fbe2f6 23e7f18b 509328c3 015b6244 6aa32ed6 8006cab4 8cc271ea
    b0ad6ecd
    04000000 fcff0f40
    64617461";

/// A hole: kind, offset, length; CRC.
const HOLE: &str = "
    02 00 0000 00000000  0000000000000000  0000100000000000  00000000
    0000000000000000  00000000 00000000
    00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
    ce3b2c61";

/// The end: kind, payload length, volume size; CRC of the payload; CRC; parts, data, holes, reserved; root digest.
const END: &str = "
    03 00 0000 40000000  0000200000000000  0000000000000000  00000000
    0000000000000000  00000000 64efe89e
    00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
    f3a47e27
    01000000 00000000  04000000 00000000  fcff1f00 00000000  00000000 00000000
    abababab abababab abababab abababab abababab abababab abababab abababab";

/// Writes the golden stream with today's code.
fn written() -> [Vec<u8>; 4] {
    let part = [&part().encode()[..], segments().as_bytes(), b"data"].concat();
    let end_frame = FrameHeader::end(0x20_0000, &end().encode()).encode();
    let end_frame = [&end_frame[..], &end().encode()].concat();
    [prelude().encode(), FrameHeader::hole(0, 0x10_0000, 0).encode().to_vec(), part, end_frame]
}

#[derive(Debug, PartialEq)]
struct Stream {
    prelude: Prelude,
    hole: FrameHeader,
    part: FrameHeader,
    segments: Segments,
    payload: Vec<u8>,
    end: End,
}

/// Reads a stream of the golden stream's shape with today's code.
fn read(mut from: &[u8]) -> Result<Stream, WireError> {
    let from = &mut from;
    let prelude = Prelude::read(from)?;
    let hole = FrameHeader::read(from, &prelude)?;
    let part = FrameHeader::read(from, &prelude)?;
    let segments = part.read_segments(from, &prelude)?;
    let mut payload = vec![0; part.payload as usize];
    part.read_payload(from, &mut payload)?;
    part.check_payload(&payload)?;
    let end_frame = FrameHeader::read(from, &prelude)?;
    let end = End::read(&end_frame, from)?;
    Ok(Stream { prelude, hole, part, segments, payload, end })
}

#[test]
fn what_is_written_is_the_golden_stream() {
    for (written, golden) in written().into_iter().zip([PRELUDE, HOLE, PART, END]) {
        assert_eq!(written, hex(golden));
    }
}

#[test]
fn the_golden_stream_reads_as_what_was_meant() {
    let stream = read(&hex(&[PRELUDE, HOLE, PART, END].concat())).expect("the golden stream is whole");
    let meant = Stream {
        prelude: prelude(),
        hole: FrameHeader::hole(0, 0x10_0000, 0),
        part: part(),
        segments: segments(),
        payload: b"data".to_vec(),
        end: end(),
    };
    assert_eq!(stream, meant);
}

#[test]
fn every_truncation_is_seen() {
    let stream = hex(&[PRELUDE, HOLE, PART, END].concat());
    for length in 0..stream.len() {
        match read(&stream[..length]) {
            Err(WireError::Truncated { .. }) => {}
            Err(WireError::Empty) if length == 0 => {}
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    let stream = hex(&[PRELUDE, HOLE, PART, END].concat());
    for bit in 0..stream.len() * 8 {
        let mut damaged = stream.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&damaged).is_err(), "bit {bit} flipped and not seen");
    }
}

/// A header whose checksum fits but whose fields cannot be: what only a hostile sender makes.
#[test]
fn hostile_headers_are_refused() {
    type Spoil = fn(&mut FrameHeader);
    let hole = FrameHeader::hole(0, 0x10_0000, 0);
    let rows: [(FrameHeader, Spoil); 11] = [
        (part(), |h| h.payload = h.raw + 1),
        (part(), |h| h.payload = u32::MAX),
        (part(), |h| h.raw = u32::MAX),
        (part(), |h| h.length = 0x10_0001),
        (part(), |h| h.offset = 4096),
        (part(), |h| h.offset = 0x20_0000),
        (part(), |h| h.segments = 0),
        (part(), |h| h.segments = 515),
        (part(), |h| h.used = h.length + 1),
        (hole.clone(), |h| h.length = u64::MAX),
        (hole, |h| h.payload = 1),
    ];
    for (index, (mut header, spoil)) in rows.into_iter().enumerate() {
        spoil(&mut header);
        assert!(
            matches!(FrameHeader::decode(&header.encode(), &prelude()), Err(WireError::Field { .. })),
            "row {index}"
        );
    }
}

#[test]
fn another_version_says_which_side_is_older() {
    let with_version = |version: u16| {
        let mut bytes = prelude().encode();
        bytes[8..10].copy_from_slice(&version.to_le_bytes());
        Prelude::read(&mut &bytes[..]).expect_err("not our version").to_string()
    };
    assert!(with_version(2).ends_with("this lvpipe is older"));
    assert!(with_version(0).ends_with("the sender is older"));
}
