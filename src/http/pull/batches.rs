//! Fetching from a server of lvpipe's: a batch of parts with each request, as one multipart response.

use hyper::Method;
use hyper::header::{ACCEPT_ENCODING, HeaderValue};

use super::answer::{Version, refusal};
use super::client::Line;
use super::multipart::{self, Event, PartHead, Reader};
use super::url::Url;
use crate::engine::gather::{Batch, Delivery, Failure, Fetch, Piece};
use crate::error::{Error, Status};
use crate::usedmap::Extent;
use crate::wire::PartSize;

/// The most cells of the grid that a server takes in one request.
pub(super) const MOST_CELLS: u64 = 256;
/// The most bytes of the volume to a request: enough that a round trip more does not count.
pub(super) const MOST_BYTES: u64 = 32 << 20;

/// One connection's.
pub(super) struct Batches {
    pub(super) line: Line,
    /// The volume's.
    pub(super) url: Url,
    pub(super) version: Version,
    pub(super) size: u64,
    pub(super) part_size: PartSize,
    pub(super) has_token: bool,
}

impl Fetch for Batches {
    fn fetch(&mut self, batch: &Batch, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        let fetched = self.ask(batch, delivery);
        if fetched.is_err() {
            self.line.hang_up();
        }
        fetched
    }
}

impl Batches {
    fn ask(&mut self, batch: &Batch, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        let (span, part_size) = (batch.span(), self.part_size.bytes() as u64);
        let (first, last) = (span.offset / part_size, span.end().saturating_sub(1) / part_size);
        let unusable = |why: String| Failure::last(Error::usage("cannot ask for", &self.url, why));
        let url = self.url.below(&format!("parts?first={first}&last={last}")).map_err(unusable)?;
        delivery.from(&url.to_string());
        let mut fields = vec![(ACCEPT_ENCODING, HeaderValue::from_static("zstd"))];
        fields.extend(self.version.condition());
        let head = self.line.request(&Method::GET, &url, &fields)?;
        if let Some(failure) = refusal(&head, &url, self.has_token) {
            return Err(failure);
        }
        let Some(boundary) = multipart::boundary(&head.headers) else {
            let why = format!("it answers {} with what is no batch of parts", head.status);
            return Err(Failure::wrong(Error::stream("cannot read the answer", &url, why)));
        };
        self.read(&url, Reader::new(&boundary), delivery)
    }

    fn read(&mut self, url: &Url, mut reader: Reader, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        while let Some(bytes) = self.line.read()? {
            let mut input = &bytes[..];
            loop {
                let event = reader
                    .next(&mut input)
                    .map_err(|malformed| Failure::wrong(Error::stream("cannot read the answer", url, malformed)))?;
                match event {
                    Some(Event::Part(head)) => delivery.piece(self.piece(url, head)?)?,
                    // No more than the part is long, as it has said itself.
                    Some(Event::Data(data)) => _ = delivery.fill(data)?,
                    Some(Event::End) => {}
                    None => break,
                }
            }
        }
        if reader.is_at_end() {
            return Ok(());
        }
        let why = "it ends before its closing boundary";
        Err(Failure::passing(Error::new(Status::Io, "the answer is cut short", url, why), None))
    }

    fn piece(&self, url: &Url, head: PartHead) -> Result<Piece, Failure> {
        let PartHead { offset, length, size, coded, codec, digest } = head;
        if size != self.size {
            let why = format!("a piece is of a volume of {size} bytes, not {}", self.size);
            return Err(Failure::wrong(Error::stream("cannot read the answer", url, why)));
        }
        Ok(Piece { place: Extent { offset, length }, coded, codec, digest: Some(digest) })
    }
}
