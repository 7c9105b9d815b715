//! Memory, clients and their patience are bounded.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::image::{Image, scratch_in_memory};
use crate::process::{Running, wait_until};
use crate::server::{Server, serve_openly};

const MIB: u64 = 1 << 20;

/// The most memory the server has had, in bytes: VmHWM in proc(5).
fn peak(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("in kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// A client with a small window that has asked for this, and takes nothing.
fn asking(address: SocketAddr, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("set");
    socket.connect(&address.into()).expect("it listens");
    let mut stream: TcpStream = socket.into();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: zstd\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    stream
}

fn served(args: &[&str], path: &Path) -> Server {
    Image::full(64 * MIB).write(path);
    serve_openly(args, &[path])
}

#[test]
fn a_hundred_clients_that_take_nothing_have_bounded_memory() {
    let scratch = scratch_in_memory();
    let server = served(&["--max-clients", "100"], &scratch.path().join("disk.img"));
    let paths = ["/disk.img", "/disk.img?", "/disk.img/parts?first=0&last=63", "/disk.img/map"];
    let clients: Vec<TcpStream> = (0..100).map(|number| asking(server.address, paths[number % 4])).collect();
    // What each has got shows that all have begun; then they have time to fill what they can.
    for mut client in &clients {
        client.read_exact(&mut [0; 100]).expect("an answer");
    }
    std::thread::sleep(Duration::from_secs(2));
    // 50 raw ones by 5 chunks of 256 KiB; 25 batches by 8 + 2 parts of 1 MiB; and what the program has itself.
    let most = 50 * 5 * MIB / 4 + 25 * 10 * MIB + 60 * MIB;
    let peak = peak(&server.running);
    println!("{} MiB with 100 clients, bound {} MiB", peak / MIB, most / MIB);
    assert!(peak < most, "{} MiB, and {} would be in order", peak / MIB, most / MIB);
    drop(clients);
    // And the server is as good as new, once it has seen that they are gone.
    wait_until("there is room again", || server.get("/", &[]).status == 200);
    Image::full(64 * MIB).assert_bytes(&server.get("/disk.img", &[]).body);
}

#[test]
fn more_clients_than_there_may_be_are_told_to_come_again() {
    let scratch = scratch_in_memory();
    let server = served(&["--max-clients", "2"], &scratch.path().join("disk.img"));
    let mut clients: Vec<TcpStream> = (0..2).map(|_| asking(server.address, "/disk.img")).collect();
    clients.iter_mut().for_each(|client| client.read_exact(&mut [0; 9]).expect("an answer"));
    let reply = server.get("/disk.img", &[]);
    assert_eq!((reply.status, reply.field("retry-after"), reply.field("connection")), (503, "2", "close"));
    drop(clients);
    wait_until("there is room again", || server.get("/", &[]).status == 200);
}

#[test]
fn a_client_that_takes_nothing_is_dropped() {
    let scratch = scratch_in_memory();
    let server = served(&["-W", "1"], &scratch.path().join("disk.img"));
    let mut client = asking(server.address, "/disk.img");
    client.read_exact(&mut [0; 9]).expect("an answer");
    let began = Instant::now();
    let metrics = || server.get("/index.json", &[]).text();
    // The one that asks is a client too.
    wait_until("it is dropped", || metrics().contains("\"connections\":1"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(rest.len() < 60 * MIB as usize, "{}", rest.len());
}

#[test]
fn a_client_that_is_slow_but_takes_something_is_served() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("disk.img");
    Image::full(3 * MIB).write(&path);
    let server = serve_openly(&["-W", "1"], &[&path]);
    let mut client = asking(server.address, "/disk.img");
    let (mut all, mut piece) = (Vec::new(), vec![0; 256 << 10]);
    let began = Instant::now();
    while all.len() < 3 * MIB as usize {
        let length = client.read(&mut piece).expect("more");
        assert!(length > 0, "cut after {} bytes", all.len());
        all.extend_from_slice(&piece[..length]);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() > Duration::from_secs(1));
}

#[test]
fn connections_are_used_again_and_pipelined_requests_come_in_order() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("disk.img");
    let image = Image::full(MIB);
    image.write(&path);
    let server = serve_openly(&[], &[&path]);
    let mut stream = server.connect();
    let request = |number: u64| {
        let first = number * 1000;
        format!("GET /disk.img HTTP/1.1\r\nHost: localhost\r\nRange: bytes={first}-{}\r\n\r\n", first + 99)
    };
    let requests: String = (0..50).map(request).collect();
    stream.write_all(requests.as_bytes()).expect("written");
    let bytes = image.bytes();
    for number in 0..50 {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let mut body = [0; 100];
        stream.read_exact(&mut body).expect("its body");
        assert!(body[..] == bytes[number * 1000..number * 1000 + 100], "{number}");
    }
}
