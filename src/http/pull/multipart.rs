//! Reads a batch: `multipart/mixed` (RFC 2046, section 5.1), byte by byte as it comes, without trust.
//!
//! In: a body's bytes, cut anywhere. Out: [`Event`]s. Every body part says how long it is (`Content-Length`), so that
//! nobody looks for the boundary in data; what follows must be the boundary. Memory: one body part's header, of at
//! most [`MOST_HEADER`] bytes. No I/O, no clock; what a piece may be is the engine's to say.

use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;

use crate::http::digest_field;
use crate::wire::{Codec, Digest};

/// The most bytes of a body part's header.
pub const MOST_HEADER: usize = 4096;
/// The longest boundary, RFC 2046.
const LONGEST_BOUNDARY: usize = 70;

/// What a body part says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHead {
    /// The first byte of the volume that it is of, and how many; from `Content-Range`.
    pub offset: u64,
    /// See `offset`; not 0.
    pub length: u64,
    /// Bytes of the volume, from `Content-Range`.
    pub size: u64,
    /// Bytes that follow.
    pub coded: u64,
    /// From `Content-Encoding`.
    pub codec: Codec,
    /// From `Unencoded-Digest`.
    pub digest: Digest,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A body part begins.
    Part(PartHead),
    /// Some of its bytes.
    Data(&'a [u8]),
    /// The closing boundary: what follows is of no interest.
    End,
}

/// Why it is no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not where a boundary should be.
    #[error("there is no boundary where one should be")]
    NoBoundary,
    /// A header without end.
    #[error("a header of more than {MOST_HEADER} bytes")]
    LongHeader,
    /// A line of it that is none, or with a value that cannot be.
    #[error("a header field that cannot be: {0}")]
    Field(&'static str),
    /// A field that must be there.
    #[error("a header without {0}")]
    Missing(&'static str),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Reader {
    /// With its two dashes.
    delimiter: Vec<u8>,
    state: State,
    /// The line that is being read, without its end.
    line: Vec<u8>,
    /// Bytes of the header so far.
    header: usize,
    fields: Fields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A line that is a delimiter; before the first one and behind each body an empty line may come.
    Delimiter {
        may_be_empty: bool,
    },
    Header,
    Body(u64),
    End,
}

/// What has been read of a body part's header.
#[derive(Debug, Default)]
struct Fields {
    range: Option<(u64, u64, u64)>,
    coded: Option<u64>,
    codec: Option<Codec>,
    digest: Option<Digest>,
}

/// The boundary in a response's `Content-Type`; `None` where it is not multipart.
pub fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let (name, value) = parameters
        .split(';')
        .filter_map(|one| one.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let _ = name;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let is_legal = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let fits = (1..=LONGEST_BOUNDARY).contains(&value.len()) && value.bytes().all(is_legal);
    fits.then(|| value.to_owned())
}

impl Reader {
    /// Of a body whose parts this stands between.
    pub fn new(boundary: &str) -> Self {
        Reader {
            delimiter: format!("--{boundary}").into_bytes(),
            state: State::Delimiter { may_be_empty: true },
            line: Vec::new(),
            header: 0,
            fields: Fields::default(),
        }
    }

    /// Reads on in `input`, which is moved behind what was read; `None` when that is empty.
    ///
    /// # Errors
    /// What is not as it should be. There is no reading on then.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Malformed> {
        while !input.is_empty() {
            match self.state {
                State::End => return Ok(None),
                State::Body(left) => {
                    let length = left.min(input.len() as u64);
                    // No longer than the input.
                    let (data, rest) = input.split_at(length as usize);
                    *input = rest;
                    self.state = match left - length {
                        0 => State::Delimiter { may_be_empty: true },
                        left => State::Body(left),
                    };
                    return Ok(Some(Event::Data(data)));
                }
                State::Delimiter { .. } | State::Header => {
                    if self.line(input)?
                        && let Some(event) = self.end_of_line()?
                    {
                        return Ok(Some(event));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether the closing boundary has come.
    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Adds to the line; whether it is whole. A closing delimiter is, without a line's end.
    fn line(&mut self, input: &mut &[u8]) -> Result<bool, Malformed> {
        let most = match self.state {
            State::Header => MOST_HEADER.saturating_sub(self.header),
            _ => self.delimiter.len() + 2,
        };
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            match byte {
                b'\n' if self.line.last() == Some(&b'\r') => {
                    self.line.pop();
                    return Ok(true);
                }
                byte => self.line.push(*byte),
            }
            if self.state != State::Header && self.is_closing() {
                return Ok(true);
            }
            if self.line.len() > most {
                return Err(if self.state == State::Header {
                    Malformed::LongHeader
                } else {
                    Malformed::NoBoundary
                });
            }
        }
        Ok(false)
    }

    fn is_closing(&self) -> bool {
        self.line.strip_prefix(&self.delimiter[..]) == Some(b"--")
    }

    fn end_of_line(&mut self) -> Result<Option<Event<'static>>, Malformed> {
        let line = std::mem::take(&mut self.line);
        match self.state {
            State::Delimiter { .. } if line.strip_prefix(&self.delimiter[..]) == Some(b"--") => {
                self.state = State::End;
                return Ok(Some(Event::End));
            }
            State::Delimiter { .. } if line == self.delimiter => {
                (self.state, self.header, self.fields) = (State::Header, 0, Fields::default());
            }
            State::Delimiter { may_be_empty: true } if line.is_empty() => {
                self.state = State::Delimiter { may_be_empty: false };
            }
            State::Header if line.is_empty() => {
                let head = std::mem::take(&mut self.fields).head()?;
                self.state = State::Body(head.coded);
                return Ok(Some(Event::Part(head)));
            }
            State::Header => {
                self.header += line.len() + 2;
                self.fields.add(&line)?;
            }
            _ => return Err(Malformed::NoBoundary),
        }
        Ok(None)
    }
}

impl Fields {
    fn add(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let line = str::from_utf8(line).map_err(|_| Malformed::Field("it is not text"))?;
        let (name, value) = line.split_once(':').ok_or(Malformed::Field("it has no colon"))?;
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "content-range" => self.range = Some(range(value).ok_or(Malformed::Field("Content-Range"))?),
            "content-length" => {
                let length = number(value).filter(|length| *length > 0);
                self.coded = Some(length.ok_or(Malformed::Field("Content-Length"))?);
            }
            "content-encoding" => {
                self.codec = Some(match value.to_ascii_lowercase().as_str() {
                    "zstd" => Codec::Zstd,
                    "identity" => Codec::None,
                    _ => return Err(Malformed::Field("Content-Encoding")),
                });
            }
            digest_field::UNENCODED_DIGEST => {
                self.digest = Some(digest_field::parse(value).ok_or(Malformed::Field("Unencoded-Digest"))?);
            }
            _ => {}
        }
        Ok(())
    }

    fn head(self) -> Result<PartHead, Malformed> {
        let (first, last, size) = self.range.ok_or(Malformed::Missing("Content-Range"))?;
        Ok(PartHead {
            offset: first,
            length: last - first + 1,
            size,
            coded: self.coded.ok_or(Malformed::Missing("Content-Length"))?,
            codec: self.codec.unwrap_or(Codec::None),
            digest: self.digest.ok_or(Malformed::Missing("Unencoded-Digest"))?,
        })
    }
}

/// `bytes FIRST-LAST/SIZE` of a `Content-Range` field (RFC 9110, section 14.4), which cannot be empty, nor beyond the
/// size.
pub fn range(value: &str) -> Option<(u64, u64, u64)> {
    let (unit, rest) = value.split_once(' ')?;
    let (range, size) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size) = (number(first)?, number(last)?, number(size)?);
    (unit.eq_ignore_ascii_case("bytes") && first <= last && last < size).then_some((first, last, size))
}

/// Digits, and nothing else: not the sign that `parse` would take.
pub fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DigestKind;
    use proptest::prelude::*;

    const BOUNDARY: &str = "lvpipe-1";

    fn part(offset: u64, data: &[u8]) -> Vec<u8> {
        let digest = digest_field::encode(&DigestKind::Sha256.of(&[data]));
        let last = offset + data.len() as u64 - 1;
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\ncontent-range: bytes {offset}-{last}/100000\r\n\
             Content-Length:{}\r\nContent-Encoding: identity\r\nUnencoded-Digest:\t{digest}\r\n\r\n",
            data.len()
        );
        [head.as_bytes(), data, b"\r\n"].concat()
    }

    /// Offsets and data.
    type Parts = Vec<(u64, Vec<u8>)>;

    /// Of input cut at these places; and whether the end came.
    fn read(bytes: &[u8], cuts: &[usize]) -> Result<(Parts, bool), Malformed> {
        let mut reader = Reader::new(BOUNDARY);
        let mut parts = Parts::new();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for cut in cuts.windows(2) {
            let mut input = &bytes[cut[0]..cut[1]];
            while let Some(event) = reader.next(&mut input)? {
                match event {
                    Event::Part(head) => parts.push((head.offset, Vec::new())),
                    Event::Data(data) => parts.last_mut().expect("a part before data").1.extend(data),
                    Event::End => {}
                }
            }
        }
        Ok((parts, reader.is_at_end()))
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_body_is_cut(
            datas in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..5),
            cuts in proptest::collection::vec(any::<usize>(), 0..40), leading in any::<bool>(),
        ) {
            let parts: Vec<(u64, Vec<u8>)> = datas.into_iter().enumerate().map(|(n, data)| (n as u64 * 1000, data)).collect();
            let mut bytes = if leading { b"\r\n".to_vec() } else { Vec::new() };
            parts.iter().for_each(|(offset, data)| bytes.extend(part(*offset, data)));
            bytes.extend(format!("--{BOUNDARY}--\r\n").bytes());
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(read(&bytes, &cuts), Ok((parts.clone(), true)));
            prop_assert_eq!(read(&bytes, &every), Ok((parts.clone(), true)));
            // One that is cut short has no end, and no part that was not sent.
            let short = read(&bytes[..bytes.len() - 4], &cuts).expect("not malformed");
            prop_assert!(!short.1);
        }

        #[test]
        fn no_bytes_panic_or_are_kept(bytes: Vec<u8>, begun in any::<bool>()) {
            let begin = if begun { format!("--{BOUNDARY}\r\n") } else { String::new() };
            let _ = read(&[begin.as_bytes(), &bytes].concat(), &[]);
        }
    }

    #[test]
    fn a_header_without_end_is_left_alone() {
        let mut reader = Reader::new(BOUNDARY);
        let begin = format!("--{BOUNDARY}\r\n");
        assert_eq!(reader.next(&mut begin.as_bytes()), Ok(None));
        let mut given = 0;
        let error = loop {
            match reader.next(&mut &b"X-Y: z\r\n"[..]) {
                Ok(_) => given += 8,
                Err(error) => break error,
            }
            assert!(given <= MOST_HEADER, "{given} bytes were taken");
        };
        assert_eq!(error, Malformed::LongHeader);
        assert_eq!(read(&[begin.as_bytes(), &[b'a'; 5000]].concat(), &[]), Err(Malformed::LongHeader));
        assert_eq!(read(&[b'-'; 100], &[]), Err(Malformed::NoBoundary));
    }

    #[test]
    fn what_a_header_lacks_is_named() {
        let whole = String::from_utf8(part(0, b"abc")).expect("text");
        let without = |start: &str| {
            let lines: Vec<&str> = whole.split("\r\n").filter(|line| !line.starts_with(start)).collect();
            read(lines.join("\r\n").as_bytes(), &[])
        };
        assert!(without("Content-Type").is_ok() && without("Content-Encoding").is_ok());
        assert_eq!(without("content-range"), Err(Malformed::Missing("Content-Range")));
        assert_eq!(without("Content-Length"), Err(Malformed::Missing("Content-Length")));
        assert_eq!(without("Unencoded-Digest"), Err(Malformed::Missing("Unencoded-Digest")));
        let with = |from: &str, to: &str| read(whole.replace(from, to).as_bytes(), &[]);
        for (from, to) in [
            ("bytes 0-2/", "bytes 2-0/"),
            ("bytes 0-2/", "bytes */"),
            ("/100000", "/2"),
            ("h:3", "h:0"),
            ("h:3", "h:+3"),
            ("identity", "gzip"),
            ("sha-256", "md5"),
            ("Content-Length:", "Content-Length"),
        ] {
            assert!(matches!(with(from, to), Err(Malformed::Field(_))), "{from} {to}");
        }
        assert_eq!(with("h:3", "h:2"), Err(Malformed::NoBoundary), "a length that lies");
    }

    #[test]
    fn boundaries_are_those_of_the_rfc() {
        let of = |value: &str| {
            let value = value.parse().expect("a field's value");
            boundary(&HeaderMap::from_iter([(CONTENT_TYPE, value)]))
        };
        assert_eq!(of("multipart/mixed; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(of("Multipart/Mixed;charset=x; BOUNDARY=\"a'b\"").as_deref(), Some("a'b"));
        for none in
            ["multipart/mixed", "multipart/byteranges; boundary=a", "multipart/mixed; boundary=", "text/html"]
        {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of(&format!("multipart/mixed; boundary={}", "a".repeat(71))), None);
    }
}
