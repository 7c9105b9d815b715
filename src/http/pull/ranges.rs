//! Fetching from any server that has ranges: some MiB with each request.

use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HeaderValue, RANGE};
use hyper::{Method, StatusCode};

use super::answer::{Version, changed, refusal};
use super::client::{Head, Line};
use super::multipart::range;
use super::url::Url;
use crate::engine::gather::{Batch, Delivery, Failure, Fetch, Piece};
use crate::error::{Error, Status};
use crate::usedmap::Extent;
use crate::wire::Codec;

/// The most bytes to a request.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// One connection's.
pub(super) struct Ranges {
    pub(super) line: Line,
    pub(super) url: Url,
    pub(super) version: Version,
    pub(super) size: u64,
    pub(super) has_token: bool,
}

impl Fetch for Ranges {
    fn fetch(&mut self, batch: &Batch, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        delivery.from(&self.url.to_string());
        let fetched = self.ask(batch.span()).and_then(|()| self.read(batch, delivery));
        if fetched.is_err() {
            self.line.hang_up();
        }
        fetched
    }
}

impl Ranges {
    fn ask(&mut self, span: Extent) -> Result<(), Failure> {
        let (first, last) = (span.offset, span.end().saturating_sub(1));
        let wanted = HeaderValue::from_str(&format!("bytes={first}-{last}"));
        let wanted = wanted.map_err(|e| Failure::last(Error::usage("cannot ask for", &self.url, e)))?;
        let mut fields = vec![(RANGE, wanted), (ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
        fields.extend(self.version.condition());
        let head = self.line.request(&Method::GET, &self.url, &fields)?;
        if let Some(failure) = refusal(&head, &self.url, self.has_token) {
            return Err(failure);
        }
        self.refuse_other(&head)?;
        let said = head.field(CONTENT_RANGE).and_then(range);
        match (head.status, said) {
            (StatusCode::PARTIAL_CONTENT, Some(said)) if said == (first, last, self.size) => Ok(()),
            (StatusCode::PARTIAL_CONTENT, Some((.., size))) if size != self.size => {
                Err(changed(&self.url, format!("it has {size} bytes now, and had {}", self.size)))
            }
            (StatusCode::PARTIAL_CONTENT, _) => {
                Err(self.wrong("it sends another range than the one asked for".into()))
            }
            (status, _) => Err(self.wrong(format!("it answers {status} to a question for a range"))),
        }
    }

    /// Not every server knows conditions: what it says of itself is looked at, too.
    fn refuse_other(&self, head: &Head) -> Result<(), Failure> {
        if head.headers.contains_key(CONTENT_ENCODING) && head.field(CONTENT_ENCODING) != Some("identity") {
            return Err(self.wrong("it sends the volume encoded, which was not asked for".into()));
        }
        match Version::of(head) {
            Some(version) if version == self.version => Ok(()),
            Some(version) => Err(changed(
                &self.url,
                format!("it is of {} now, and was of {}", version.text(), self.version.text()),
            )),
            None => Err(self.wrong("it does not say any more which version of the volume it sends".into())),
        }
    }

    fn read(&mut self, batch: &Batch, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        let mut parts = batch.parts.iter();
        let mut left = 0;
        while let Some(bytes) = self.line.read()? {
            let mut bytes = &bytes[..];
            while !bytes.is_empty() {
                if left == 0 {
                    let Some(part) = parts.next() else {
                        return Err(self.wrong("it sends more than it was asked for".into()));
                    };
                    left = part.length as usize;
                    delivery.piece(Piece { place: *part, coded: part.length, codec: Codec::None, digest: None })?;
                }
                let taken = delivery.fill(bytes)?;
                left -= taken;
                bytes = &bytes[taken..];
            }
        }
        if delivery.is_complete() {
            return Ok(());
        }
        let why = "it ends before all has come";
        Err(Failure::passing(Error::new(Status::Io, "the answer is cut short", &self.url, why), None))
    }

    fn wrong(&self, why: String) -> Failure {
        Failure::wrong(Error::stream("cannot read the answer", &self.url, why))
    }
}
