//! Who has no token, speaks no HTTP, or tries tricks: told so or dropped, and the others are served as before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::image::{Image, scratch_in_memory};
use crate::process::{Running, wait_until};
use crate::server::{Server, client, serve, serve_openly};

fn served(serve: impl Fn(&[&std::path::Path]) -> Server) -> (Server, tempfile::TempDir) {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("disk.img");
    Image::sample().write(&path);
    (serve(&[&path]), scratch)
}

/// What curl got: the status, over TLS.
fn status(server: &Server, path: &str, more: &[&str]) -> String {
    let args = ["-sk", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}"];
    String::from_utf8(client("curl", &[&args[..], more, &[&server.url(path)]].concat())).expect("digits")
}

fn still_serves(server: &Server) {
    let bytes = client(
        "curl",
        &["-sfk", "-H", &format!("Authorization: Bearer {}", server.token()), &server.url("/disk.img")],
    );
    Image::sample().assert_bytes(&bytes);
}

fn said(running: &Running, words: &str) {
    wait_until(words, || running.said().contains(words));
}

#[test]
fn without_the_token_nothing_is_told() {
    let (server, _scratch) = served(|volumes| serve(&[], volumes));
    let token = server.token();
    for path in [
        "/",
        "/disk.img",
        "/disk.img/map",
        "/disk.img/parts/0",
        "/metrics",
        "/index.json",
        "/nothing",
        "/disk.img/parts?first=0&last=0",
    ] {
        assert_eq!(status(&server, path, &[]), "401", "{path}");
    }
    let short = &token[..token.len() - 1];
    for wrong in [
        "Bearer x",
        "Bearer",
        &format!("Bearer {short}"),
        &format!("Basic {token}"),
        &format!("Bearer {token}x"),
        "Basic eDp4",
    ] {
        assert_eq!(status(&server, "/disk.img", &["-H", &format!("Authorization: {wrong}")]), "401", "{wrong}");
    }
    assert_eq!(status(&server, "/disk.img", &["-H", &format!("Authorization: Bearer {token}"), "-I"]), "200");
    assert_eq!(status(&server, "/disk.img", &["-u", &format!("me:{token}"), "-I"]), "200");
    let head = client("curl", &["-ski", &server.url("/disk.img")]);
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.contains("www-authenticate: bearer") && head.contains("www-authenticate: basic"), "{head}");
    said(&server.running, "a wrong token");
}

#[test]
fn a_token_from_a_file_or_the_environment_is_not_printed() {
    let scratch = scratch_in_memory();
    let (path, file) = (scratch.path().join("disk.img"), scratch.path().join("token"));
    Image::sample().write(&path);
    let server = serve(&["--token-file", file.to_str().expect("UTF-8")], &[&path]);
    let token = std::fs::read_to_string(&file).expect("it was written").trim().to_string();
    assert!(!server.running.said().contains(&token) && server.running.said().contains("--token-file"));
    assert_eq!(status(&server, "/disk.img", &["-I", "-H", &format!("Authorization: Bearer {token}")]), "200");
    let mut command = crate::process::lvpipe(["serve", "--listen", "127.0.0.1:0"]);
    let server = crate::server::serve_as(command.arg(&path).env("LVPIPE_TOKEN", "my-own-secret-of-24-bytes"));
    assert!(!server.running.said().contains("my-own"), "{}", server.running.said());
    assert_eq!(status(&server, "/", &["-u", "x:my-own-secret-of-24-bytes"]), "200");
}

#[test]
fn path_tricks_lead_nowhere() {
    let (server, _scratch) = served(|volumes| serve_openly(&[], volumes));
    let tricks = [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/disk.img/../disk.img",
        "/disk.img%00",
        "/%00",
        "/disk.img%2fmap",
        "//disk.img",
        "/disk.img/",
        "/./disk.img",
        "/etc/passwd",
        "/disk.img/parts/../map",
        "/%",
        "/%zz",
        "/%c0%ae%c0%ae/",
        "/disk.img/parts/0/0",
        "/disk.img;x",
        "/disk.img\\..",
    ];
    for path in tricks {
        let status = server.get(path, &[]).status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(server.get("/disk.img?x=/../..", &[]).status, 200, "a query is no path");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        let reply = server.ask(method, "/disk.img", &[]);
        assert_eq!((reply.status, reply.field("allow")), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(server.get("/disk.img", &["Content-Length: 5", "", "hello"]).status, 413);
}

#[test]
fn a_page_elsewhere_cannot_read_from_an_open_server() {
    let (server, _scratch) = served(|volumes| serve_openly(&[], volumes));
    for (host, expected) in
        [("evil.example:80", 421), ("localhost:1234", 200), ("127.0.0.1", 200), ("[::1]:1", 200)]
    {
        let mut stream = server.connect();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("written");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        assert_eq!(crate::server::Reply::parse(&bytes, false).status, expected, "{host}");
    }
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    assert_eq!(crate::server::Reply::parse(&bytes, false).status, 400, "no host");
}

/// What the server does with these bytes: what it answers until it hangs up.
fn answer_to(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = server.connect();
    // It may hang up in the middle.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn garbage_and_floods_are_dropped() {
    let (open, _scratch) = served(|volumes| serve_openly(&[], volumes));
    let flood: String = (0..100_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let rows: [(&str, Vec<u8>); 6] = [
        ("400", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n".to_vec()),
        ("400", b"HELO there\r\n\r\n".to_vec()),
        ("400", b"GET / HTTP/1.1\r\nHost: localhost\r\nA b: c\r\n\r\n".to_vec()),
        ("431", format!("GET / HTTP/1.1\r\nHost: localhost\r\n{flood}\r\n").into_bytes()),
        ("431", format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).into_bytes()),
        ("414", format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(1 << 20)).into_bytes()),
    ];
    for (expected, bytes) in rows {
        let answer = answer_to(&open, &bytes);
        let answer = String::from_utf8_lossy(&answer);
        // Hung up on in the middle of a flood, it may not get to read the answer.
        let fits = answer.starts_with(&format!("HTTP/1.1 {expected}")) || answer.starts_with("HTTP/1.1 431");
        assert!(fits || (bytes.len() > 20_000 && answer.is_empty()), "{expected}: {answer}");
    }
    said(&open.running, "no HTTP");
    let (encrypted, _scratch) = served(|volumes| serve(&[], volumes));
    assert!(!answer_to(&encrypted, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with(b"HTTP"));
    said(&encrypted.running, "no TLS");
    still_serves(&encrypted);
}

#[test]
fn the_silent_and_the_slow_hold_nobody_up() {
    let (server, _scratch) = served(|volumes| serve(&[], volumes));
    let silent: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    let began = Instant::now();
    still_serves(&server);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(silent);
    // A handshake that does not come is not waited for for long.
    let mut one = server.connect();
    let began = Instant::now();
    assert!(matches!(one.read(&mut [0; 10]), Ok(0) | Err(_)));
    assert!((4..9).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[test]
fn a_request_that_trickles_is_cut() {
    let (server, _scratch) = served(|volumes| serve_openly(&[], volumes));
    let mut stream = server.connect();
    let began = Instant::now();
    let mut cut = false;
    for byte in b"GET /disk.img HTTP/1.1\r\nHost: localhost\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
        std::thread::sleep(Duration::from_millis(100));
        if stream.write_all(&[*byte]).is_err() {
            cut = true;
            break;
        }
        if began.elapsed() > Duration::from_secs(25) {
            break;
        }
    }
    assert!(cut && began.elapsed() < Duration::from_secs(15), "{cut} after {:?}", began.elapsed());
}
