//! How a server ends, and what it does not start to serve.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::image::{Image, scratch_in_memory};
use crate::process::{lvpipe, start};
use crate::server::{Server, serve, serve_openly};

const MIB: u64 = 1 << 20;

/// A response under way, of which nothing but the first bytes have been read.
fn under_way(server: &Server) -> (std::net::TcpStream, Vec<u8>) {
    let mut stream = server.connect();
    stream.write_all(b"GET /disk.img HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
    let mut first = vec![0; 1000];
    stream.read_exact(&mut first).expect("an answer");
    (stream, first)
}

fn served(args: &[&str]) -> (Server, tempfile::TempDir) {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("disk.img");
    Image::full(64 * MIB).write(&path);
    (serve_openly(args, &[&path]), scratch)
}

#[test]
fn without_clients_it_ends_at_once_and_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (server, _scratch) = served(&[]);
        let mut idle = server.connect();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
        idle.read_exact(&mut [0; 9]).expect("an answer");
        let began = Instant::now();
        server.running.signal(signal);
        server.running.end().expect_ok();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn another_signal_that_ends_it_is_its_status() {
    let (server, _scratch) = served(&[]);
    server.running.signal(Signal::SIGHUP);
    server.running.end().expect_failure(129, &["SIGHUP"]);
}

#[test]
fn what_is_being_sent_comes_to_its_end() {
    let (server, _scratch) = served(&[]);
    let (mut stream, mut all) = under_way(&server);
    server.running.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(std::net::TcpStream::connect(server.address).is_err(), "nobody else is let in");
    stream.read_to_end(&mut all).expect("the rest");
    let reply = crate::server::Reply::parse(&all, false);
    Image::full(64 * MIB).assert_bytes(&reply.body);
    server.running.end().expect_ok();
}

#[test]
fn what_takes_longer_is_cut_and_a_second_signal_does_not_wait() {
    let (server, _scratch) = served(&["--grace", "1"]);
    let (_stream, _) = under_way(&server);
    let began = Instant::now();
    server.running.signal(Signal::SIGTERM);
    server.running.end().expect_ok();
    assert!((1..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());

    let (server, _scratch) = served(&["--grace", "60"]);
    let (_stream, _) = under_way(&server);
    let began = Instant::now();
    server.running.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(!server.running.has_ended(), "{}", server.running.said());
    server.running.signal(Signal::SIGTERM);
    server.running.end().expect_failure(143, &["SIGTERM"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_certificate_that_is_kept_makes_a_server_that_is_started_again_the_same() {
    let scratch = scratch_in_memory();
    let path = |name: &str| scratch.path().join(name);
    Image::sample().write(&path("disk.img"));
    let (cert, key) = (path("c.pem"), path("k.pem"));
    let fingerprint = || {
        let args = ["--cert", cert.to_str().expect("UTF-8"), "--cert-key", key.to_str().expect("UTF-8")];
        let said = serve(&args, &[&path("disk.img")]).running.said();
        let found = said.split_whitespace().find(|word| word.starts_with("sha256:")).map(String::from);
        found.unwrap_or_else(|| panic!("no fingerprint: {said}"))
    };
    assert_eq!(fingerprint(), fingerprint());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key).expect("it was made"));
    assert_eq!(mode & 0o777, 0o600);
    // One without the other is not made again.
    std::fs::remove_file(&key).expect("removed");
    let mut command = lvpipe(["serve", "--listen", "127.0.0.1:0", "--cert"]);
    let command = command.arg(&cert).arg("--cert-key").arg(&key).arg(path("disk.img"));
    start(command).end().expect_failure(2, &["cannot use the certificate", "k.pem"]);
}

#[test]
fn what_cannot_be_served_is_said() {
    let scratch = scratch_in_memory();
    let path = |name: &str| scratch.path().join(name).to_str().expect("UTF-8").to_string();
    let (image, fifo, device) = (path("disk.img"), path("fifo"), "/dev/zero".to_string());
    Image::sample().write(image.as_ref());
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let fails = |args: &[&str], status: i32, words: &[&str]| {
        let mut command = lvpipe(["serve", "--listen", "127.0.0.1:0"]);
        start(command.args(args)).end().expect_failure(status, words);
    };
    for stream in ["-", &fifo, &device] {
        fails(&["--insecure", stream], 2, &["cannot serve", "read only once", "send"]);
    }
    fails(&["--insecure", &image, &path("none")], 1, &["cannot open source", "none"]);
    fails(&["--insecure", &path(".")], 2, &["directory"]);
    fails(&["--insecure", "-s", "16M", &image], 2, &["at most 8M"]);
    fails(&["--insecure", "--token-file", "x", &image], 2, &["--token-file"]);
    fails(&["--cert", "x", &image], 2, &["--cert-key"]);
    fails(&[], 2, &["VOLUME"]);
    let ran = start(lvpipe(["serve", "--insecure", "--listen", "systemd"]).arg(&image)).end();
    ran.expect_failure(2, &["no socket was handed over", "--listen PORT"]);
}

#[test]
fn open_to_other_hosts_must_be_said_twice() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("disk.img");
    Image::sample().write(&path);
    for listen in ["0.0.0.0:0", "0", ":0"] {
        let ran = start(lvpipe(["serve", "--insecure", "--listen", listen]).arg(&path)).end();
        ran.expect_failure(2, &["whoever can connect may read", "--insecure --insecure"]);
    }
    let twice = ["serve", "--insecure", "--insecure", "--listen", "0.0.0.0:0"];
    let server = crate::server::serve_as(lvpipe(twice).arg(&path));
    assert!(server.running.said().contains("not encrypted"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").to_string();
    let ran = start(lvpipe(["serve", "--insecure", "--listen", &port]).arg(&path)).end();
    ran.expect_failure(1, &["already in use"]);
}

#[test]
fn names_that_are_the_same_are_told_apart() {
    let scratch = scratch_in_memory();
    let paths = ["a", "b", "c"].map(|directory| scratch.path().join(directory).join("disk"));
    for (number, path) in (1..).zip(&paths) {
        std::fs::create_dir(path.parent().expect("a directory")).expect("made");
        Image { seed: number, ..Image::sample() }.write(path);
    }
    let server = serve_openly(&[], &[&paths[0], &paths[1]]);
    for (number, path) in (1..).zip(&paths[..2]) {
        let name = path.to_str().expect("UTF-8").trim_start_matches('/').replace('/', "-");
        Image { seed: number, ..Image::sample() }.assert_bytes(&server.get(&format!("/{name}"), &[]).body);
    }
}
