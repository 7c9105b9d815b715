//! A server of the tests' own: a thread that takes one request after the other and answers each as the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Fields, their names in small letters.
    pub fields: Vec<(String, String)>,
}

impl Asked {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Of `Range: bytes=A-B`.
    pub fn range(&self) -> Option<(u64, u64)> {
        let (first, last) = self.field("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// How a connection goes on after an answer.
pub type Answer = Box<dyn FnOnce(&mut TcpStream) -> std::io::Result<()> + Send>;

/// A running server, for as long as the test is.
pub struct Origin {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Origin {
    /// Answers as `answer` says; the number counts requests from 0.
    pub fn start(answer: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (heard, answer) = (asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, answer) = (heard.clone(), answer.clone());
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
                    let mut stream = stream;
                    while let Some(request) = read(&mut reader) {
                        let number = {
                            let mut heard = heard.lock().expect("no panic");
                            heard.push(request.clone());
                            heard.len() - 1
                        };
                        // The client may have gone.
                        if answer(number, &request)(&mut stream).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Origin { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}/image", self.address)
    }

    /// All that has been asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn read(from: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let mut asked = Asked { method: words.next()?.into(), path: words.next()?.into(), fields: Vec::new() };
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => asked.fields.push((name.to_ascii_lowercase(), value.into())),
            None => return Some(asked),
        }
    }
}

/// An answer with these fields and this body, whose length is told.
pub fn answer(status: &str, fields: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let length = body.len().to_string();
    let mut fields: Vec<(&str, &str)> = fields.to_vec();
    if !fields.iter().any(|(name, _)| *name == "Content-Length") {
        fields.push(("Content-Length", &length));
    }
    raw(status, &fields, body)
}

/// The same, as it is.
pub fn raw(status: &str, fields: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
    Box::new(move |to| {
        to.write_all(head.as_bytes())?;
        to.write_all(&body)
    })
}

/// As any good server answers: by `HEAD`, whole, and by one range.
pub fn well(asked: &Asked, bytes: &[u8], etag: &str) -> Answer {
    let size = bytes.len();
    let length = size.to_string();
    let fields = [("ETag", etag), ("Accept-Ranges", "bytes"), ("Content-Length", length.as_str())];
    match asked.range() {
        _ if asked.field("if-match").is_some_and(|wanted| wanted != etag) => {
            answer("412 Precondition Failed", &[], Vec::new())
        }
        _ if asked.method == "HEAD" => raw("200 OK", &fields, Vec::new()),
        Some((first, last)) => {
            let range = format!("bytes {first}-{last}/{size}");
            let body = bytes[first as usize..=last as usize].to_vec();
            answer("206 Partial Content", &[("ETag", etag), ("Content-Range", &range)], body)
        }
        None => raw("200 OK", &fields, bytes.to_vec()),
    }
}
