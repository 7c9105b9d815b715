//! A server on a free port, and requests to it, written and read byte by byte.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Running, lvpipe, start, wait_until};

/// A running `lvpipe serve`.
pub struct Server {
    pub running: Running,
    pub address: SocketAddr,
}

/// Starts `lvpipe serve --listen 127.0.0.1:0 ARGS VOLUMES`.
#[track_caller]
pub fn serve(args: &[&str], volumes: &[&Path]) -> Server {
    let mut command = lvpipe(["serve", "--listen", "127.0.0.1:0"]);
    serve_as(command.args(args).args(volumes))
}

/// Starts one that is plain HTTP and open.
#[track_caller]
pub fn serve_openly(args: &[&str], volumes: &[&Path]) -> Server {
    serve(&[&["--insecure"], args].concat(), volumes)
}

/// Starts a server and waits until it listens.
#[track_caller]
pub fn serve_as(command: &mut Command) -> Server {
    let running = start(command);
    wait_until("the server has told all", || running.has_ended() || running.said().contains("lvpipe pull"));
    let said = running.said();
    let address = said.split_once("serving on ").and_then(|(_, rest)| rest.split_once(": "));
    let address = address.and_then(|(address, _)| address.parse().ok());
    Server { address: address.unwrap_or_else(|| panic!("no address: {said}")), running }
}

impl Server {
    /// `http://127.0.0.1:PORT/PATH`, or https.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.running.said().contains("https://") { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// The token that it has printed.
    #[track_caller]
    pub fn token(&self) -> String {
        let said = self.running.said();
        let token = said.split_whitespace().find(|word| word.starts_with("lvt1-"));
        token.unwrap_or_else(|| panic!("no token: {said}")).to_string()
    }

    /// A connection whose reads and writes do not wait for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(Duration::from_secs(30))).expect("set");
        }
        stream
    }

    /// Asks by GET with these lines beside what must be there, on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str, fields: &[&str]) -> Reply {
        self.ask("GET", path, fields)
    }

    /// Asks by any method.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, fields: &[&str]) -> Reply {
        let mut stream = self.connect();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}\r\n", self.address);
        stream.write_all(head.as_bytes()).expect("written");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        Reply::parse(&bytes, method == "HEAD")
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// By name in small letters; fields of the same name are joined.
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub fn parse(bytes: &[u8], is_head: bool) -> Reply {
        let end = find(bytes, b"\r\n\r\n").unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).expect("ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let field = fields.entry(name.to_ascii_lowercase()).or_default();
            *field = if field.is_empty() { value.to_string() } else { format!("{field}, {value}") };
        }
        let body = &bytes[end + 4..];
        let body = if fields.get("transfer-encoding").is_some_and(|coding| coding == "chunked") && !is_head {
            unchunked(body)
        } else {
            body.to_vec()
        };
        if let Some(length) = fields.get("content-length").filter(|_| !is_head) {
            assert_eq!(*length, body.len().to_string(), "the length that was announced");
        }
        Reply { status: status.expect("a status"), fields, body }
    }

    /// A field's value.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.fields))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The parts of a multipart body: their fields by name, and their bytes.
    #[track_caller]
    pub fn multipart(&self) -> Vec<Reply> {
        let (_, boundary) = self.field("content-type").split_once("boundary=").expect("a boundary");
        let delimiter = format!("\r\n--{boundary}");
        let body = [b"\r\n".as_slice(), &self.body].concat();
        let mut rest = body.as_slice();
        let mut parts = Vec::new();
        let skip = |rest: &[u8]| find(rest, delimiter.as_bytes()).expect("a delimiter") + delimiter.len();
        rest = &rest[skip(rest)..];
        while !rest.starts_with(b"--") {
            rest = rest.strip_prefix(b"\r\n").expect("a line's end");
            let end = find(rest, delimiter.as_bytes()).expect("a delimiter");
            parts.push(Reply::parse(&[b"HTTP/1.1 200 OK\r\n", &rest[..end]].concat(), false));
            rest = &rest[end + delimiter.len()..];
        }
        assert_eq!(rest, b"--\r\n", "the end");
        parts
    }

    /// First and last byte of `Content-Range`, and the size.
    #[track_caller]
    pub fn content_range(&self) -> (u64, u64, u64) {
        let text = self.field("content-range").strip_prefix("bytes ").expect("the unit");
        let numbers: Vec<u64> = text.split(['-', '/']).map(|number| number.parse().expect("a number")).collect();
        (numbers[0], numbers[1], numbers[2])
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = find(bytes, b"\r\n").expect("a chunk's length");
        let length = std::str::from_utf8(&bytes[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let length = length.expect("in hexadecimal");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Runs somebody else's client to its end; what it printed.
#[track_caller]
pub fn client(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}: cargo xtask setup"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
    output.stdout
}
