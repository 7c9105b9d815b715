//! Ranges and conditions, by RFC 9110.

use crate::image::{Image, scratch_in_memory};
use crate::server::{Server, serve_openly};

const SIZE: u64 = 1 << 20;

fn served() -> (Server, Vec<u8>, tempfile::TempDir) {
    let scratch = scratch_in_memory();
    let image = Image::new(SIZE, &[0..100_000, 500_000..900_000]);
    let path = scratch.path().join("disk.img");
    image.write(&path);
    (serve_openly(&[], &[&path]), image.bytes(), scratch)
}

#[test]
fn the_whole_says_what_it_is() {
    let (server, bytes, _scratch) = served();
    for method in ["GET", "HEAD"] {
        let reply = server.ask(method, "/disk.img", &[]);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.field("content-length"), SIZE.to_string());
        assert_eq!(reply.field("accept-ranges"), "bytes");
        assert_eq!(reply.field("content-type"), "application/octet-stream");
        assert_eq!(reply.field("link"), "</disk.img/map>; rel=\"describedby\"");
        assert!(reply.field("etag").starts_with('"'), "{reply:?}");
        assert!(reply.body == if method == "GET" { bytes.clone() } else { Vec::new() });
    }
    let unchanged = server.get("/disk.img", &[]).field("etag").to_string();
    drop(server);
    let again = serve_openly(&[], &[&_scratch.path().join("disk.img")]);
    assert_eq!(again.get("/disk.img", &[]).field("etag"), unchanged, "of a server that is started again");
}

#[test]
fn a_range_is_partial_content() {
    let (server, bytes, _scratch) = served();
    for (range, first, last) in
        [("0-0", 0, 0), ("99990-500010", 99_990, 500_010), ("-5", SIZE - 5, SIZE - 1), ("7-9999999", 7, SIZE - 1)]
    {
        let field = format!("Range: bytes={range}");
        let reply = server.get("/disk.img", &[&field]);
        assert_eq!((reply.status, reply.content_range()), (206, (first, last, SIZE)), "{range}");
        assert!(reply.body == bytes[first as usize..=last as usize], "{range}");
        let head = server.ask("HEAD", "/disk.img", &[&field]);
        assert_eq!((head.status, head.field("content-length")), (206, (last - first + 1).to_string().as_str()));
    }
    let ignored = server.get("/disk.img", &["Range: sectors=1-2"]);
    assert_eq!((ignored.status, ignored.body.len() as u64), (200, SIZE));
}

#[test]
fn several_ranges_come_in_their_order() {
    let (server, bytes, _scratch) = served();
    let reply = server.get("/disk.img", &["Range: bytes=600000-700000,0-99,300000-300099"]);
    assert_eq!(reply.status, 206);
    assert!(reply.field("content-type").starts_with("multipart/byteranges; boundary="));
    let parts = reply.multipart();
    let places: Vec<_> = parts.iter().map(|part| part.content_range()).collect();
    assert_eq!(places, [(600_000, 700_000, SIZE), (0, 99, SIZE), (300_000, 300_099, SIZE)]);
    for part in parts {
        let (first, last, _) = part.content_range();
        assert!(part.body == bytes[first as usize..=last as usize]);
    }
    // One that can be served is served alone.
    let one = server.get("/disk.img", &["Range: bytes=5-6,9999999-"]);
    assert_eq!((one.status, one.content_range()), (206, (5, 6, SIZE)));
}

#[test]
fn what_cannot_be_served_is_416_with_the_size() {
    let (server, _, _scratch) = served();
    let many = vec!["0-"; 1000].join(",");
    let small = (0..65).map(|n| format!("{}-{}", n * 2, n * 2)).collect::<Vec<_>>().join(",");
    for range in ["1048576-", "-0", "5-1", "a-b", &many, &small, "0-,0-,0-"] {
        let reply = server.get("/disk.img", &[&format!("Range: bytes={range}")]);
        assert_eq!((reply.status, reply.field("content-range")), (416, "bytes */1048576"), "{range}");
    }
}

#[test]
fn conditions_are_kept() {
    let (server, _, _scratch) = served();
    let tag = server.get("/disk.img", &[]).field("etag").to_string();
    let status = |fields: &[&str]| server.get("/disk.img", fields).status;
    assert_eq!(status(&[&format!("If-Match: {tag}")]), 200);
    assert_eq!(status(&["If-Match: \"other\""]), 412);
    assert_eq!(status(&[&format!("If-None-Match: W/{tag}")]), 304);
    assert_eq!(status(&["If-None-Match: \"other\""]), 200);
    assert_eq!(status(&["Range: bytes=0-9", &format!("If-Range: {tag}")]), 206);
    assert_eq!(status(&["Range: bytes=0-9", "If-Range: \"other\""]), 200);
    assert_eq!(status(&["Range: bytes=0-9", "If-Range: Sat, 29 Oct 2039 19:43:31 GMT"]), 200);
    let unmodified = server.get("/disk.img", &[&format!("If-None-Match: {tag}")]);
    assert!(unmodified.body.is_empty() && unmodified.field("etag") == tag);
    // The volume's tag is one of all that belongs to it.
    for path in ["/disk.img/map", "/disk.img/parts/0", "/disk.img/parts?first=0&last=0"] {
        assert_eq!(server.get(path, &[&format!("If-Match: {tag}")]).status, 200, "{path}");
        assert_eq!(server.get(path, &["If-Match: \"other\""]).status, 412, "{path}");
    }
}

#[test]
fn an_empty_volume_is_served() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("empty");
    Image::new(0, &[]).write(&path);
    let server = serve_openly(&[], &[&path]);
    let reply = server.get("/empty", &[]);
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(server.get("/empty", &["Range: bytes=0-"]).status, 416);
    assert_eq!(server.get("/empty/parts/0", &[]).status, 404);
    assert_eq!(server.get("/", &["Accept: text/html"]).status, 200);
}

#[test]
fn holes_are_not_read() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("sparse");
    // Two blocks in 8 GiB, of which 1 GiB is asked for.
    Image::new(8 << 30, &[0..4096, (7 << 30)..(7 << 30) + 4096]).write(&path);
    let server = serve_openly(&[], &[&path]);
    let reply = server.get("/sparse", &["Range: bytes=7000000000-7600000000"]);
    assert_eq!(reply.body.len(), 600_000_001);
    assert!(reply.body.iter().filter(|byte| **byte != 0).count() <= 4096);
    let metrics = server.get("/metrics", &[]).text();
    let read = metrics.lines().find_map(|line| line.strip_prefix("lvpipe_read_bytes_total{volume=\"sparse\"} "));
    let read: u64 = read.and_then(|number| number.parse().ok()).expect("counted");
    assert!(read <= 1 << 18, "{read} bytes were read");
}
