//! Fetching from a server without ranges: all of it in one response, in order. A connection that is lost means that it
//! begins at the start again, and what was there is read over; only where the server says which version it sends.

use std::time::{Duration, Instant};

use hyper::body::Bytes as Chunk;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, StatusCode};

use super::answer::{Version, changed, refusal};
use super::client::Line;
use super::multipart::number;
use super::url::Url;
use crate::engine::gather::Failure;
use crate::engine::gather::stream::Bytes;
use crate::error::{Error, Result, Status};
use crate::stop::Stop;

/// How long the first wait before a new attempt is; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The stream.
pub(super) struct Whole {
    line: Line,
    url: Url,
    size: Option<u64>,
    version: Option<Version>,
    retry_for: Duration,
    notice: Box<dyn Fn(&str) + Send>,
    stop: Stop,
    /// Bytes that were given out.
    position: u64,
    /// Bytes of the response that has been begun: how far it has come.
    reached: Option<u64>,
    rest: Chunk,
    /// When something new came last.
    last: Instant,
    pause: Duration,
}

impl Whole {
    /// Of a resource with so many bytes, if it says so, of this version, if it says that.
    pub(super) fn new(
        line: Line,
        url: Url,
        (size, version): (Option<u64>, Option<Version>),
        retry_for: Duration,
        notice: Box<dyn Fn(&str) + Send>,
        stop: Stop,
    ) -> Self {
        let (last, rest) = (Instant::now(), Chunk::new());
        let (position, reached, pause) = (0, None, FIRST_PAUSE);
        Whole { line, url, size, version, retry_for, notice, stop, position, reached, rest, last, pause }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let fields = [(ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
        let head = self.line.request(&Method::GET, &self.url, &fields)?;
        if let Some(failure) = refusal(&head, &self.url, false) {
            return Err(failure);
        }
        let coding = head.field(CONTENT_ENCODING).filter(|coding| *coding != "identity");
        if head.status != StatusCode::OK || coding.is_some() {
            let why = format!("it answers {} with something else than the volume", head.status);
            return Err(Failure::last(Error::stream("cannot read the answer", &self.url, why)));
        }
        let size = head.field(CONTENT_LENGTH).and_then(number);
        // Over TLS an end is said, and a connection that breaks is none.
        if size.is_none() && head.field(TRANSFER_ENCODING).is_none() && !self.url.is_https() {
            let why = "it does not say how long it is: its end could not be told from a connection that broke";
            return Err(Failure::last(
                Error::stream("cannot read the answer", &self.url, why)
                    .way_out("have it served with its length, as by lvpipe serve or nginx"),
            ));
        }
        if Version::of(&head) != self.version || size != self.size {
            return Err(changed(&self.url, "size or version are not what they were"));
        }
        (self.reached, self.rest) = (Some(0), Chunk::new());
        Ok(())
    }

    /// The next new bytes, up to this many; none at the end.
    fn more(&mut self, most: usize) -> Result<Chunk, Failure> {
        loop {
            let reached = match self.reached {
                Some(reached) => reached,
                None => {
                    self.begin()?;
                    0
                }
            };
            if self.rest.is_empty() {
                match self.line.read()? {
                    Some(bytes) => self.rest = bytes,
                    None if self.size.is_none_or(|size| size == reached) && reached >= self.position => {
                        return Ok(Chunk::new());
                    }
                    None => {
                        let why = format!("it ends after {reached} bytes");
                        return Err(Failure::passing(
                            Error::new(Status::Io, "the answer is cut short", &self.url, why),
                            None,
                        ));
                    }
                }
            }
            // What was there before a connection was lost.
            let known = self.position.saturating_sub(reached).min(self.rest.len() as u64);
            drop(self.rest.split_to(known as usize));
            let length = self.rest.len().min(most);
            let new = self.rest.split_to(length);
            self.reached = Some(reached + known + length as u64);
            if !new.is_empty() {
                return Ok(new);
            }
        }
    }

    /// Whether to try again, after a wait.
    fn recover(&mut self, failure: Failure) -> Result<()> {
        self.line.hang_up();
        self.reached = None;
        let (error, after) = match failure {
            Failure::Passing(error, after) => (*error, after),
            Failure::Wrong(error) | Failure::Final(error) => return Err(*error),
            Failure::Stopped => return self.stop.check().and(Err(Error::signal(0))),
        };
        if self.version.is_none() && self.position > 0 {
            let why = "the server has no ranges, and does not say which version it sends: begin anew";
            return Err(error.way_out(why));
        }
        let left = self.retry_for.saturating_sub(self.last.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        (self.notice)(&format!("{error}; trying again"));
        let slept = self.stop.sleep(after.unwrap_or(self.pause).min(left));
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        slept.or_else(|_| self.stop.check())
    }
}

impl Bytes for Whole {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.more(into.len()) {
                Ok(bytes) => {
                    into[..bytes.len()].copy_from_slice(&bytes);
                    self.position += bytes.len() as u64;
                    (self.last, self.pause) = (Instant::now(), FIRST_PAUSE);
                    return Ok(bytes.len());
                }
                Err(failure) => self.recover(failure)?,
            }
        }
    }
}
