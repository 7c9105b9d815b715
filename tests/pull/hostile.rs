//! Servers that mean harm: the run ends, with bounded memory, and the target is not said to be whole.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;

use crate::image::{Image, assert_not_there, scratch_in_memory};
use crate::origin::{Answer, Asked, Origin, answer, raw, well};
use crate::process::{Ran, run};
use crate::server::pull;

const MIB: u64 = 1 << 20;
const MAP: &str = "application/vnd.lvpipe.map";

/// Pulls from it; whatever happens, it takes little memory and leaves no whole target.
#[track_caller]
fn pulled(args: &[&str], respond: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Ran {
    let origin = Origin::start(respond);
    let scratch = scratch_in_memory();
    let all = [&["-n", "2", "--retry-for", "1", "-W", "1", "-m", "32M"], args].concat();
    let ran = run(&mut pull(&all, &origin.url(), &scratch.path().join("copy")));
    assert!(!ran.status.success(), "{ran}");
    assert!(ran.peak_memory < 100 * MIB + own_peak(), "{} bytes:\n{ran}", ran.peak_memory);
    assert_not_there(scratch.path(), &[]);
    ran
}

/// The most memory that this process has had: wait4(2) counts it as a child's, from before that became lvpipe.
fn own_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Writes this again and again.
fn for_ever(beginning: &str, again: &'static [u8]) -> Answer {
    let beginning = beginning.as_bytes().to_vec();
    Box::new(move |to: &mut TcpStream| -> io::Result<()> {
        to.write_all(&beginning)?;
        loop {
            to.write_all(again)?;
        }
    })
}

/// A server that says it is lvpipe's, with this map and these batches.
fn lvpipes(
    map: Vec<u8>,
    batch: impl Fn(&Asked) -> Answer + Send + Sync,
) -> impl Fn(usize, &Asked) -> Answer + Send + Sync {
    move |_, asked| match asked.path.as_str() {
        "/image" => answer(
            "200 OK",
            &[("Link", "</image/map>; rel=\"describedby\""), ("ETag", "\"a\""), ("Content-Length", "0")],
            Vec::new(),
        ),
        "/image/map" => answer("200 OK", &[("Content-Type", MAP), ("ETag", "\"a\"")], map.clone()),
        _ => batch(asked),
    }
}

/// The map of a volume of 4 MiB in parts of 1 MiB, all used: as the format's page has it.
fn whole_map(size: u64) -> Vec<u8> {
    let head = format!(r#"{{"volume":"image","size":{size},"part_size":1048576,"etag":"\"a\""}}"#);
    let mut bytes = b"\x89LVM\r\n\x1a\n\x01\0\0\0".to_vec();
    bytes.extend((head.len() as u32).to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(head.bytes());
    bytes.push(0);
    let mut length = size;
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(crc32c(&bytes).to_le_bytes());
    bytes
}

/// Bit by bit: nothing here is long.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

const ZEROS_DIGEST: &str = "sha-256=:MOFJVevwNSI6VJ6uvgHT+kL2EZBxkgBPsPUVS9lKDoY=:";

fn batch(parts: &[(&str, &str, Vec<u8>)]) -> Answer {
    let mut body = Vec::new();
    for (range, fields, data) in parts {
        let head =
            format!("--b\r\nContent-Range: bytes {range}\r\nContent-Length: {}\r\n{fields}\r\n\r\n", data.len());
        body.extend(head.bytes());
        body.extend_from_slice(data);
        body.extend(b"\r\n");
    }
    body.extend(b"--b--\r\n");
    answer("200 OK", &[("Content-Type", "multipart/mixed; boundary=b")], body)
}

#[test]
fn headers_without_end() {
    pulled(&[], |_, _| for_ever("HTTP/1.1 200 OK\r\n", b"X-Again: and again\r\n"))
        .expect_failure(1, &["the answer is not HTTP as it should be"]);
    pulled(&[], |_, _| for_ever("HTTP/1.1 200 OK\r\nX: ", b"aaaaaaaaaaaaaaaa"));
    pulled(&[], |_, _| for_ever("", b"nonsense "));
}

#[test]
fn redirects_without_end() {
    pulled(&[], |number, _| answer("302 Found", &[("Location", &format!("/again{number}"))], Vec::new()))
        .expect_failure(5, &["more than 10 of them"]);
    pulled(&[], |_, _| answer("302 Found", &[("Location", "file:///etc/passwd")], Vec::new()))
        .expect_failure(5, &["cannot follow the redirect"]);
    pulled(&[], |_, _| answer("302 Found", &[], Vec::new())).expect_failure(5, &["does not say where to"]);
}

#[test]
fn maps_that_never_end_or_lie() {
    let never_ending = |_: usize, asked: &Asked| match asked.path.as_str() {
        "/image/map" => {
            let map = whole_map(4 * MIB);
            let mut begin = map[..16].to_vec();
            begin.extend(u64::MAX.to_le_bytes());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {MAP}\r\n\r\n");
            Box::new(move |to: &mut TcpStream| -> io::Result<()> {
                to.write_all(head.as_bytes())?;
                to.write_all(&begin)?;
                to.write_all(&map[24..])?;
                loop {
                    to.write_all(&[1, 1, 1, 1, 1, 1, 1, 1])?;
                }
            }) as Answer
        }
        _ => answer("200 OK", &[("Link", "<image/map>; rel=describedby"), ("ETag", "\"a\"")], Vec::new()),
    };
    pulled(&[], never_ending).expect_failure(3, &["cannot read the map", "number of extents"]);
    let nothing = |_: &Asked| answer("404 Not Found", &[], Vec::new());
    for cut in [0, 1, 20, 60] {
        let map = whole_map(4 * MIB);
        pulled(&[], lvpipes(map[..cut].to_vec(), nothing)).expect_failure(3, &["cannot read the map"]);
    }
    let mut damaged = whole_map(4 * MIB);
    damaged[40] ^= 1;
    pulled(&[], lvpipes(damaged, nothing)).expect_failure(3, &["cannot read the map"]);
    // 32 KiB that decompress to 1 GiB of nonsense.
    let bomb = zstd_of_zeros();
    let compressed = move |number: usize, asked: &Asked| match asked.path.as_str() {
        "/image/map" => answer("200 OK", &[("Content-Type", MAP), ("Content-Encoding", "zstd")], bomb.clone()),
        _ => lvpipes(Vec::new(), |_| answer("404 Not Found", &[], Vec::new()))(number, asked),
    };
    pulled(&[], compressed).expect_failure(3, &["cannot read the map", "it is not a map"]);
}

/// A zstd frame of 1 GiB of zeros, in blocks of one byte that is repeated: RFC 8878, section 3.1.1.2.
fn zstd_of_zeros() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for n in 0..8192u32 {
        let block = (128 << 10) << 3 | 1 << 1 | u32::from(n == 8191);
        frame.extend_from_slice(&block.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn pieces_that_were_not_asked_for_or_cannot_be() {
    let part = vec![0; 1 << 20];
    let good = format!("Unencoded-Digest: {ZEROS_DIGEST}");
    let rows: [(&str, String, Vec<u8>, &str); 8] = [
        ("99-1048674/4194304", good.clone(), part.clone(), "not of a part that was asked for"),
        ("8388608-9437183/4194304", good.clone(), part.clone(), "Content-Range"),
        ("0-1048575/4194305", good.clone(), part.clone(), "a volume of 4194305 bytes"),
        ("0-9/4194304", good.clone(), part.clone(), "1048576 bytes come for it"),
        ("0-1048575/4194304", good.clone(), part[1..].to_vec(), "1048575 bytes come for it"),
        ("0-1048575/4194304", "X: y".into(), part.clone(), "without Unencoded-Digest"),
        ("0-1048575/4194304", format!("{good}\r\nContent-Encoding: gzip"), part.clone(), "Content-Encoding"),
        ("0-1048575/4194304", format!("X: {}", "y".repeat(5000)), part, "header of more than"),
    ];
    for (range, fields, data, said) in rows {
        let batches = move |_: &Asked| batch(&[(range, &fields, data.clone())]);
        let ran = pulled(&[], lvpipes(whole_map(4 * MIB), batches));
        assert_eq!(ran.status.code(), Some(3), "{ran}");
        assert!(ran.stderr.contains(said), "expected {said:?}:\n{ran}");
    }
}

/// All parts that were asked for, with these fields and bytes for each.
fn each_part(asked: &Asked, fields: &str, data: &[u8]) -> Answer {
    let numbers: Vec<u64> = asked.path.split(['=', '&']).filter_map(|word| word.parse().ok()).collect();
    let &[first, last] = &numbers[..] else { panic!("{}", asked.path) };
    let ranges: Vec<String> =
        (first..=last).map(|n| format!("{}-{}/4194304", n * MIB, (n + 1) * MIB - 1)).collect();
    let parts: Vec<_> = ranges.iter().map(|range| (range.as_str(), fields, data.to_vec())).collect();
    batch(&parts)
}

#[test]
fn bombs_and_damaged_parts() {
    let zstd = format!("Unencoded-Digest: {ZEROS_DIGEST}\r\nContent-Encoding: zstd");
    let bomb = move |asked: &Asked| each_part(asked, &zstd, &zstd_of_zeros());
    pulled(&[], lvpipes(whole_map(4 * MIB), bomb)).expect_failure(3, &["stream is corrupt", "does not decompress"]);
    let plain = format!("Unencoded-Digest: {ZEROS_DIGEST}");
    let wrong = move |asked: &Asked| each_part(asked, &plain, &[7; 1 << 20]);
    pulled(&[], lvpipes(whole_map(4 * MIB), wrong))
        .expect_failure(3, &["stream is corrupt", "does not match its digest"]);
}

#[test]
fn batches_that_are_empty_cut_or_never_end() {
    let map = || whole_map(4 * MIB);
    pulled(&[], lvpipes(map(), |_| batch(&[]))).expect_failure(3, &["the server leaves something out"]);
    let kind = "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    pulled(&[], lvpipes(map(), move |_| for_ever(kind, b"--b\r\nX: y\r\n\r\n")))
        .expect_failure(3, &["a header without"]);
    pulled(&[], lvpipes(map(), move |_| for_ever(kind, b"aaaaaaaa"))).expect_failure(3, &["no boundary"]);
    let html = |_: &Asked| answer("200 OK", &[("Content-Type", "text/plain")], b"hello".to_vec());
    pulled(&[], lvpipes(map(), html)).expect_failure(3, &["what is no batch of parts"]);
}

#[test]
fn a_size_that_no_target_has_room_for() {
    let nothing = |_: &Asked| answer("404 Not Found", &[], Vec::new());
    let ran = pulled(&[], lvpipes(whole_map(i64::MAX as u64), nothing));
    assert_ne!(ran.status.code(), Some(0), "{ran}");
}

#[test]
fn ranges_that_lie() {
    let bytes = Arc::new(Image::full(24 * MIB).bytes());
    type Twist = fn(&Asked, &[u8]) -> Answer;
    let twists: [(Twist, &str); 5] = [
        (
            |asked, bytes| {
                let (first, last) = asked.range().expect("a range");
                let range = format!("bytes {}-{}/{}", first + 1, last + 1, bytes.len());
                answer(
                    "206 Partial Content",
                    &[("ETag", "\"a\""), ("Content-Range", &range)],
                    bytes[..(last - first + 1) as usize].to_vec(),
                )
            },
            "another range",
        ),
        (
            |asked, bytes| {
                let (first, last) = asked.range().expect("a range");
                let range = format!("bytes {first}-{last}/{}", bytes.len());
                answer(
                    "206 Partial Content",
                    &[("ETag", "\"a\""), ("Content-Range", &range)],
                    vec![1; (last - first + 2) as usize],
                )
            },
            "more than it was asked for",
        ),
        (
            |asked, bytes| {
                let (first, last) = asked.range().expect("a range");
                let range = format!("bytes {first}-{last}/{}", bytes.len());
                raw(
                    "206 Partial Content",
                    &[("ETag", "\"a\""), ("Content-Range", &range), ("Content-Length", "5")],
                    vec![1; 5],
                )
            },
            "ends before all has come",
        ),
        (|_, bytes| answer("200 OK", &[("ETag", "\"a\"")], bytes.to_vec()), "to a question for a range"),
        (
            |asked, bytes| {
                let (first, last) = asked.range().expect("a range");
                let range = format!("bytes {first}-{last}/{}", bytes.len());
                let fields = [("ETag", "\"a\""), ("Content-Range", range.as_str()), ("Content-Encoding", "gzip")];
                answer("206 Partial Content", &fields, vec![1; (last - first + 1) as usize])
            },
            "encoded",
        ),
    ];
    for (twist, said) in twists {
        let bytes = bytes.clone();
        let ran = pulled(&[], move |number, asked| match number {
            0 | 1 => well(asked, &bytes, "\"a\""),
            _ => twist(asked, &bytes),
        });
        assert!(ran.stderr.contains(said), "expected {said:?}:\n{ran}");
    }
}

/// Half of a file, after which the connection is closed: without a length that looks like all of it.
#[test]
fn an_end_that_nothing_says() {
    let half = |_: usize, asked: &Asked| {
        raw("200 OK", &[], if asked.method == "HEAD" { Vec::new() } else { vec![1; 5000] })
    };
    pulled(&[], half).expect_failure(3, &["does not say how long it is"]);
}

/// A byte now and then is no answer either.
#[test]
fn a_server_that_drips() {
    let bytes = Arc::new(Image::full(8 * MIB).bytes());
    let began = std::time::Instant::now();
    let ran = pulled(&[], move |number, asked| match number {
        0 | 1 => well(asked, &bytes, "\"a\""),
        _ => {
            let (first, last) = asked.range().expect("a range");
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\nContent-Range: bytes {first}-{last}/{}\r\n\
                 Content-Length: {}\r\n\r\n",
                bytes.len(),
                last - first + 1
            );
            Box::new(move |to: &mut TcpStream| {
                to.write_all(head.as_bytes())?;
                for _ in 0..400 {
                    to.write_all(b"x")?;
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                Ok(())
            })
        }
    });
    ran.expect_failure(1, &["next to nothing came for 1 s"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

/// A server that is busy is come back to.
#[test]
fn a_server_that_is_busy_at_first() {
    let bytes = Image::full(2 * MIB).bytes();
    let expected = bytes.clone();
    let origin = Origin::start(move |number, asked| match number {
        0 | 1 => raw("503 Service Unavailable", &[("Retry-After", "0"), ("Content-Length", "0")], Vec::new()),
        _ => well(asked, &bytes, "\"a\""),
    });
    let scratch = scratch_in_memory();
    let target = scratch.path().join("copy");
    let ran = run(&mut pull(&["--retry-for", "20"], &origin.url(), &target)).expect_ok();
    assert!(ran.stderr.contains("trying again"), "{ran}");
    assert!(std::fs::read(&target).expect("it is there") == expected);
}
