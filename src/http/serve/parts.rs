//! Parts with their digests, in a coding of their own: one as a resource (`/NAME/parts/N`), and many in one response
//! (`/NAME/parts?first=A&last=B`), so that a puller needs no round trip for each.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, VARY};
use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, set};
use super::body::Body;
use super::buffers::Buffer;
use super::call::Call;
use super::conditions::{self, Verdict};
use super::flow::{Flow, Made, Step};
use super::negotiate;
use super::raw::content_range;
use super::route::{digits, parameter};
use super::tuner::Tuner;
use super::volume::Volume;
use crate::engine::Compress;
use crate::error::{Error, Result, Status};
use crate::http::digest_field::{self, REPR_DIGEST, UNENCODED_DIGEST};
use crate::usedmap::Extent;
use crate::wire::codec::with_encoder;
use crate::wire::{Digest, DigestKind};

/// The most parts in one response.
pub const MOST_PARTS: u64 = 256;

/// Bytes of a volume as they are sent.
struct Coded {
    bytes: Bytes,
    is_zstd: bool,
    /// Of the bytes before the coding.
    plain: Digest,
}

/// Reads a range, which must fit a part and be aligned.
fn read(volume: &Volume, range: Extent) -> Result<Buffer> {
    let mut raw = volume.parts.take()?;
    volume.read(range, &mut raw[..range.length as usize])?;
    Ok(raw)
}

/// Digests the first bytes of a part, and encodes them if that makes them shorter. Runs on a worker, as [`read`] does.
fn encode(volume: &Volume, raw: Buffer, length: usize, level: Option<i32>) -> Result<Coded> {
    let plain = DigestKind::Sha256.of(&[&raw[..length]]);
    if let Some(level) = level {
        let mut out = volume.parts.take()?;
        // What is not shorter by a sixteenth is not worth the client's time to decode.
        let limit = length - length / 16;
        let coded = with_encoder(|encoder| encoder.encode(level, &raw[..length], &mut out[..length], limit));
        let coded = coded.map_err(|e| Error::io("cannot compress", &volume.about.volume, &e))?;
        if let Some(coded) = coded {
            return Ok(Coded { bytes: out.share(0..coded), is_zstd: true, plain });
        }
    }
    Ok(Coded { bytes: raw.share(0..length), is_zstd: false, plain })
}

/// Whether the client takes zstd.
fn takes_zstd(call: &Call<'_>) -> bool {
    let mut fields = call.headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    fields.any(negotiate::takes_zstd)
}

/// The level of parts that are resources of their own: always the same, for their tags say that their bytes are.
fn fixed_level(compress: Compress) -> Option<i32> {
    match compress {
        Compress::Auto => Some(1),
        Compress::None => None,
        Compress::Zstd(level) => Some(level),
    }
}

/// One part as a resource.
pub async fn one(call: &Call<'_>, volume: &Arc<Volume>, number: u64) -> Answer {
    let place = volume.part(number);
    if place.is_empty() {
        return answer::not_found();
    }
    let (of, level) = (volume.clone(), fixed_level(call.server.compress).filter(|_| takes_zstd(call)));
    let work = move || encode(&of, read(&of, place)?, place.length as usize, level);
    let coded = match spawn_blocking(work).await {
        Ok(Ok(coded)) => coded,
        Ok(Err(error)) => return failed(call, &error),
        Err(panic) => return failed(call, &Error::new(Status::Io, "cannot serve", "a worker", panic)),
    };
    let tag = part_tag(volume, number, coded.is_zstd);
    let mut answer = match conditions::judge(call.headers, &[&tag, &volume.about.etag]) {
        Verdict::Failed => answer::words(StatusCode::PRECONDITION_FAILED, "the volume is another one now"),
        Verdict::NotModified => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        }
        Verdict::Proceed => {
            let representation = if coded.is_zstd { DigestKind::Sha256.of(&[&coded.bytes]) } else { coded.plain };
            let mut answer = Response::new(call.counted(Body::whole(coded.bytes), volume));
            set(&mut answer, CONTENT_TYPE, "application/octet-stream");
            if coded.is_zstd {
                set(&mut answer, CONTENT_ENCODING, "zstd");
            }
            for (name, digest) in [(REPR_DIGEST, representation), (UNENCODED_DIGEST, coded.plain)] {
                set(&mut answer, HeaderName::from_static(name), &digest_field::encode(&digest));
            }
            answer
        }
    };
    set(&mut answer, ETAG, &tag);
    set(&mut answer, VARY, "accept-encoding");
    answer
}

fn part_tag(volume: &Volume, number: u64, is_zstd: bool) -> String {
    let coding = if is_zstd { "-zstd" } else { "" };
    format!("\"{}-p{number}{coding}\"", volume.about.etag.trim_matches('"'))
}

/// 503: it could not be read, or is not the same any more. The rest is said on this side only.
fn failed(call: &Call<'_>, error: &Error) -> Answer {
    call.server.complaints.say(&error.to_string());
    answer::busy("the volume cannot be read")
}

/// A batch: what is used of the parts from `first` to `last`, as `multipart/mixed`.
pub fn batch(call: &Call<'_>, volume: &Arc<Volume>) -> Answer {
    let number = |name: &str| parameter(call.query, name).and_then(digits);
    let (Some(first), Some(last)) = (number("first"), number("last")) else {
        return answer::words(StatusCode::BAD_REQUEST, "a batch is asked for as /NAME/parts?first=A&last=B");
    };
    let parts = volume.parts();
    if first > last || last >= parts || last - first >= MOST_PARTS {
        let text = format!("there are {parts} parts, from 0; a batch is of up to {MOST_PARTS} of them, in order");
        return answer::words(StatusCode::BAD_REQUEST, &text);
    }
    if conditions::judge(call.headers, &[&volume.about.etag]) == Verdict::Failed {
        return answer::words(StatusCode::PRECONDITION_FAILED, "the volume is another one now");
    }
    let body = if call.is_head {
        Body::empty_of(None)
    } else {
        let account = call.account(volume);
        let tuner = account.meter.tuner();
        let batch = Batch {
            volume: volume.clone(),
            takes_zstd: takes_zstd(call),
            tuner: tuner.clone(),
            boundary: call.boundary.clone(),
        };
        let flow = Flow::new(batch.steps(first..=last), call.server.ahead).tuned(tuner);
        call.counted_by(account, Body::flow(flow, None))
    };
    let mut answer = Response::new(body);
    set(&mut answer, CONTENT_TYPE, &format!("multipart/mixed; boundary={}", call.boundary));
    set(&mut answer, VARY, "accept-encoding");
    answer
}

/// What the steps of a batch need.
#[derive(Clone)]
struct Batch {
    volume: Arc<Volume>,
    takes_zstd: bool,
    tuner: Arc<Tuner>,
    boundary: String,
}

impl Batch {
    /// The steps that make the body (RFC 2046, section 5.1): for each piece a head and its bytes, and the end.
    fn steps(self, parts: RangeInclusive<u64>) -> impl Iterator<Item = Step> + Send {
        let end = Step::Ready(Bytes::from(format!("\r\n--{}--\r\n", self.boundary)));
        let volume = self.volume.clone();
        let places = parts.flat_map(move |number| volume.pieces(volume.part(number)));
        let steps = places.map(move |place| {
            let batch = self.clone();
            Step::work(move || batch.piece(place))
        });
        steps.chain(std::iter::once(end))
    }

    fn piece(&self, place: Extent) -> Made {
        let began = Instant::now();
        let raw = read(&self.volume, place)?;
        let reading = began.elapsed();
        let level = self.tuner.level().filter(|_| self.takes_zstd);
        let coded = encode(&self.volume, raw, place.length as usize, level)?;
        self.tuner.made(place.length, reading, began.elapsed() - reading);
        Ok(vec![Bytes::from(head(&coded, place, self.volume.size(), &self.boundary)), coded.bytes])
    }
}

/// A piece's head. The line end before the first boundary is an empty preamble's.
fn head(coded: &Coded, place: Extent, size: u64, boundary: &str) -> String {
    let coding = if coded.is_zstd { "Content-Encoding: zstd\r\n" } else { "" };
    let digest = digest_field::encode(&coded.plain);
    // Without a coding both digests are the same. With one, that of the plain bytes proves more, and another one
    // would cost the sender's processor time.
    let representation = if coded.is_zstd { String::new() } else { format!("Repr-Digest: {digest}\r\n") };
    format!(
        "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {}\r\n{coding}\
         Content-Length: {}\r\nUnencoded-Digest: {digest}\r\n{representation}\r\n",
        content_range(place, size),
        coded.bytes.len(),
    )
}
