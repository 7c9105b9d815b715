//! The map, parts, and batches of them.

use data_encoding::BASE64;
use lvpipe::http::volume_map::VolumeMap;
use sha2::{Digest, Sha256};

use crate::image::{Image, scratch_in_memory};
use crate::process::wait_until;
use crate::server::{Reply, Server, serve_openly};

const KIB: u64 = 1 << 10;
const PART: u64 = 256 * KIB;

fn image() -> Image {
    let data = [
        0..100 * KIB,
        256 * KIB..260 * KIB,
        300 * KIB..304 * KIB,
        400 * KIB..404 * KIB,
        600 * KIB..1100 * KIB + 17,
    ];
    Image::new(2300 * KIB + 5, &data)
}

fn served(args: &[&str]) -> (Server, tempfile::TempDir) {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("disk.img");
    image().write(&path);
    (serve_openly(&[&["-s", "256k"], args].concat(), &[&path]), scratch)
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(bytes)))
}

/// The bytes before the coding, the digests checked.
#[track_caller]
fn plain(reply: &Reply) -> Vec<u8> {
    let plain = match reply.fields.get("content-encoding").map(String::as_str) {
        Some("zstd") => zstd::decode_all(&reply.body[..]).expect("a zstd frame"),
        None => reply.body.clone(),
        Some(other) => panic!("{other}"),
    };
    assert_eq!(reply.field("unencoded-digest"), sha256(&plain));
    if let Some(digest) = reply.fields.get("repr-digest") {
        assert_eq!(*digest, sha256(&reply.body));
    }
    plain
}

#[test]
fn both_forms_of_the_map_are_the_same_map() {
    let (server, _scratch) = served(&[]);
    let json = server.get("/disk.img/map", &[]);
    assert_eq!(json.field("content-type"), "application/json");
    let map = VolumeMap::read_json(&json.body[..]).expect("a map");
    assert_eq!(
        (map.map.size(), map.part_size.bytes() as u64, map.volume.as_str()),
        (image().size, PART, "disk.img")
    );
    assert_eq!(map.etag, server.get("/disk.img", &[]).field("etag"));
    let compact = "Accept: application/vnd.lvpipe.map";
    for (path, fields) in [
        ("/disk.img/map?format=compact", &[][..]),
        ("/disk.img/map", &[compact]),
        ("/disk.img/map", &[compact, "Accept-Encoding: gzip, zstd"]),
    ] {
        let reply = server.get(path, fields);
        assert_eq!(reply.field("content-type"), "application/vnd.lvpipe.map");
        let is_zstd = reply.fields.contains_key("content-encoding");
        assert_eq!(is_zstd, fields.len() == 2);
        let bytes = if is_zstd { zstd::decode_all(&reply.body[..]).expect("zstd") } else { reply.body.clone() };
        assert_eq!(VolumeMap::read_compact(&bytes[..]).expect("a map"), map, "{path} {fields:?}");
    }
    let zipped = server.get("/disk.img/map", &["Accept-Encoding: zstd"]);
    assert!(zstd::decode_all(&zipped.body[..]).expect("zstd") == json.body);
    assert_ne!(zipped.field("etag"), json.field("etag"), "a representation of its own");
    assert!(server.ask("HEAD", "/disk.img/map", &[]).body.is_empty());
    assert_eq!(server.get("/disk.img/map?format=xml", &[]).status, 400);
}

#[test]
fn a_part_is_whole_with_zeros_for_holes() {
    let (server, _scratch) = served(&[]);
    let bytes = image().bytes();
    for number in 0..9 {
        let place = (number * PART) as usize..((number + 1) * PART).min(image().size) as usize;
        let path = format!("/disk.img/parts/{number}");
        let as_it_is = server.get(&path, &[]);
        assert!(as_it_is.body == bytes[place.clone()] && plain(&as_it_is).len() == place.len(), "part {number}");
        assert!(as_it_is.fields.contains_key("repr-digest") && !as_it_is.fields.contains_key("content-encoding"));
        let coded = server.get(&path, &["Accept-Encoding: zstd, gzip;q=0.5"]);
        assert!(plain(&coded) == bytes[place], "part {number}");
        assert_eq!(coded.field("vary"), "accept-encoding");
        if coded.fields.contains_key("content-encoding") {
            assert_ne!(coded.field("etag"), as_it_is.field("etag"));
            assert!(coded.body.len() < as_it_is.body.len());
        }
        let known = format!("If-None-Match: {}", as_it_is.field("etag"));
        assert_eq!(server.get(&path, &[&known]).status, 304);
    }
    for beyond in ["9", "99999999999999999999", "-1", "x", ""] {
        assert_eq!(server.get(&format!("/disk.img/parts/{beyond}"), &[]).status, 404, "{beyond}");
    }
}

#[test]
fn a_batch_has_all_data_of_its_parts_in_order_and_nothing_else() {
    for args in [&["--compress", "none"][..], &[], &["--compress", "zstd:7"]] {
        let (server, _scratch) = served(args);
        for accept in [&[][..], &["Accept-Encoding: zstd"]] {
            let reply = server.get("/disk.img/parts?first=0&last=8", accept);
            assert_eq!(reply.status, 200);
            assert!(reply.field("content-type").starts_with("multipart/mixed; boundary="));
            let parts = reply.multipart();
            let mut found = vec![0; image().size as usize];
            let mut places = Vec::new();
            for part in &parts {
                let (first, last, size) = part.content_range();
                assert_eq!((size, part.field("content-type")), (image().size, "application/octet-stream"));
                found[first as usize..=last as usize].copy_from_slice(&plain(part));
                places.push((first / KIB, (last + 1).div_ceil(KIB)));
            }
            image().assert_bytes(&found);
            // Those in part 1 that are less than 64 KiB apart are one, and pieces are cut at parts.
            assert_eq!(places, [(0, 100), (256, 304), (400, 404), (600, 768), (768, 1024), (1024, 1104)]);
            let is_coded = parts.iter().any(|part| part.fields.contains_key("content-encoding"));
            assert_eq!(is_coded, !accept.is_empty() && args != ["--compress", "none"]);
        }
    }
}

#[test]
fn a_batch_of_holes_is_empty_and_one_that_cannot_be_is_told_why() {
    let (server, _scratch) = served(&[]);
    assert!(server.get("/disk.img/parts?first=6&last=8", &[]).multipart().is_empty());
    for query in
        ["", "?first=1", "?last=1", "?first=2&last=1", "?first=0&last=9", "?first=a&last=b", "?first=-1&last=0"]
    {
        let reply = server.get(&format!("/disk.img/parts{query}"), &[]);
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains("batch"), "{query}: {}", reply.text());
    }
}

#[test]
fn a_file_that_changes_is_not_served_any_more() {
    let (server, scratch) = served(&[]);
    assert_eq!(server.get("/disk.img/parts/0", &[]).status, 200);
    std::thread::sleep(std::time::Duration::from_millis(20));
    Image { seed: 2, ..image() }.write(&scratch.path().join("disk.img"));
    for path in ["/disk.img", "/disk.img/parts/0", "/disk.img/map", "/disk.img/parts?first=0&last=1"] {
        assert_eq!(server.get(path, &[]).status, 410, "{path}");
    }
    let words = "it changed while it was served";
    wait_until(words, || server.running.said().contains(words));
}
