//! Other people's clients read the volume: in one piece, by range, by several ranges, in parallel; plain and with TLS
//! and a token.

use std::path::Path;

use crate::image::{Image, scratch_in_memory};
use crate::server::{client, serve, serve_openly};

const MIB: u64 = 1 << 20;

/// 20 MiB of data and holes, on and off every grid.
fn image() -> Image {
    Image::new(
        20 * MIB + 777,
        &[0..3 * MIB + 4097, 5 * MIB..5 * MIB + 4096, 9 * MIB..17 * MIB, 20 * MIB..20 * MIB + 777],
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn curl_reads_it_whole_by_range_and_by_several() {
    let scratch = scratch_in_memory();
    let (source, bytes) = (scratch.path().join("disk.img"), image().bytes());
    image().write(&source);
    let server = serve_openly(&[], &[&source]);
    let url = server.url("/disk.img");
    image().assert_bytes(&client("curl", &["-sf", &url]));
    for (range, expected) in [
        ("0-0", 0..1),
        ("0-511", 0..512),
        ("3145000-9437190", 3_145_000..9_437_191),
        ("20971520-", 20_971_520..bytes.len()),
        ("-100", bytes.len() - 100..bytes.len()),
        ("4194304-4194400", 4_194_304..4_194_401),
    ] {
        assert!(client("curl", &["-sf", "-r", range, &url]) == bytes[expected], "{range}");
    }
    let several = client("curl", &["-sfi", "-r", "0-9,5000000-6000000,-1", &url]);
    let reply = crate::server::Reply::parse(&several, false);
    assert_eq!(reply.status, 206);
    for part in reply.multipart() {
        let (first, last, size) = part.content_range();
        assert_eq!(size, bytes.len() as u64);
        assert!(part.body == bytes[first as usize..=last as usize], "{first}-{last}");
    }
    assert_eq!(reply.multipart().len(), 3);
}

#[test]
fn curl_goes_on_where_it_was_cut() {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("disk.img"), scratch.path().join("copy"));
    image().write(&source);
    std::fs::write(&copy, &image().bytes()[..7 * MIB as usize + 5]).expect("written");
    let server = serve_openly(&[], &[&source]);
    client("curl", &["-sf", "-C", "-", "-o", text(&copy), &server.url("/disk.img")]);
    image().assert_is(&copy);
}

#[test]
fn curl_decodes_a_part_and_the_map() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("disk.img");
    image().write(&source);
    let server = serve_openly(&[], &[&source]);
    let part = client("curl", &["-sf", "-H", "Accept-Encoding: identity", &server.url("/disk.img/parts/3")]);
    assert!(part == image().bytes()[3 * MIB as usize..4 * MIB as usize]);
    let map = client("curl", &["-sf", &server.url("/disk.img/map")]);
    let map: serde_json::Value = serde_json::from_slice(&map).expect("JSON");
    assert_eq!(map["size"], image().size);
    assert_eq!(map["extents"][1], serde_json::json!([5 * MIB, 4096]));
}

#[test]
fn wget_reads_it_with_a_token() {
    let scratch = scratch_in_memory();
    let (source, copy) = (scratch.path().join("disk.img"), scratch.path().join("copy"));
    image().write(&source);
    let server = serve(&[], &[&source]);
    let header = format!("--header=Authorization: Bearer {}", server.token());
    let args = ["-q", "--no-check-certificate", &header, "-O", text(&copy)];
    client("wget", &[&args[..], &[&server.url("/disk.img")]].concat());
    image().assert_is(&copy);
    // And goes on, with the token as a password.
    std::fs::write(&copy, &image().bytes()[..12_345]).expect("written");
    let password = format!("--password={}", server.token());
    let args = ["-q", "-c", "--no-check-certificate", "--user=anybody", &password, "-O", text(&copy)];
    client("wget", &[&args[..], &[&server.url("/disk.img")]].concat());
    image().assert_is(&copy);
}

#[test]
fn aria2c_reads_it_in_parallel() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("disk.img");
    image().write(&source);
    for (number, server) in [serve_openly(&[], &[&source]), serve(&[], &[&source])].iter().enumerate() {
        let token = if number == 0 { String::new() } else { server.token() };
        let header = format!("--header=Authorization: Bearer {token}");
        let (directory, name) = (text(scratch.path()), format!("copy{number}"));
        let args = ["-q", "--no-conf", "--check-certificate=false", "-x8", "-s8", "-k1M", "--file-allocation=none"];
        let named = [&header, "-d", directory, "-o", &name, &server.url("/disk.img")];
        client("aria2c", &[&args[..], &named].concat());
        image().assert_is(&scratch.path().join(&name));
    }
}

#[test]
fn python_reads_it_in_every_way() {
    const SCRIPT: &str = r#"
import email, http.client, sys, threading
host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
expected = open(path, 'rb').read()

def get(connection, target, **fields):
    connection.request('GET', target, headers={k.replace('_', '-'): v for k, v in fields.items()})
    response = connection.getresponse()
    return response, response.read()

kept = http.client.HTTPConnection(host, port, timeout=30)
response, body = get(kept, '/disk.img')
assert (response.status, body) == (200, expected), 'whole'
etag = response.headers['ETag']
for first in range(0, len(expected), 999_983):
    last = min(first + 70_000, len(expected)) - 1
    response, body = get(kept, '/disk.img', Range=f'bytes={first}-{last}', If_Range=etag)
    assert (response.status, body) == (206, expected[first:last + 1]), first
response, body = get(kept, '/disk.img', Range='bytes=9-20,100000-200000,-7')
message = email.message_from_bytes(b'Content-Type: ' + response.headers['Content-Type'].encode() + b'\r\n\r\n' + body)
parts = [part.get_payload(decode=True) for part in message.get_payload()]
assert parts[0] == expected[9:21] and parts[2] == expected[-7:] and len(parts) == 3, 'several'
response, body = get(kept, '/disk.img', If_None_Match=etag)
assert (response.status, body) == (304, b''), 'not modified'
kept.request('HEAD', '/disk.img')
response = kept.getresponse()
assert response.read() == b'' and int(response.headers['Content-Length']) == len(expected), 'head'

pieces, size = {}, len(expected) // 8 + 1
def piece(number):
    connection = http.client.HTTPConnection(host, port, timeout=30)
    _, pieces[number] = get(connection, '/disk.img', Range=f'bytes={number * size}-{(number + 1) * size - 1}')
threads = [threading.Thread(target=piece, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert b''.join(pieces[number] for number in range(8)) == expected, 'in parallel'
print('all is well')
"#;
    let scratch = scratch_in_memory();
    let source = scratch.path().join("disk.img");
    image().write(&source);
    let server = serve_openly(&[], &[&source]);
    let port = server.address.port().to_string();
    let said = client("python3", &["-c", SCRIPT, "127.0.0.1", &port, text(&source)]);
    assert_eq!(String::from_utf8_lossy(&said), "all is well\n");
}
