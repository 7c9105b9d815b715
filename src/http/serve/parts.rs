//! Parts with their digests, in a coding of their own: one as a resource (`/NAME/parts/N`), and many in one response
//! (`/NAME/parts?first=A&last=B`), so that a puller needs no round trip for each.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, VARY};
use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, set};
use super::body::Body;
use super::call::Call;
use super::conditions::{self, Verdict};
use super::flow::{Flow, Step};
use super::negotiate;
use super::raw::content_range;
use super::route::{digits, parameter};
use super::volume::Volume;
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

/// Reads a range, which must fit a part and be aligned, and encodes it if that makes it shorter. Runs on a worker.
fn encode(volume: &Volume, range: Extent, level: Option<i32>) -> Result<Coded> {
    let length = range.length as usize;
    let mut raw = volume.parts.take()?;
    volume.read(range, &mut raw[..length])?;
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

/// The level to compress at, if the client takes zstd and the user wants it.
fn level(call: &Call<'_>) -> Option<i32> {
    let mut fields = call.headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    call.server.level.filter(|_| fields.any(negotiate::takes_zstd))
}

/// One part as a resource.
pub async fn one(call: &Call<'_>, volume: &Arc<Volume>, number: u64) -> Answer {
    let place = volume.part(number);
    if place.is_empty() {
        return answer::not_found();
    }
    let (of, level) = (volume.clone(), level(call));
    let coded = match spawn_blocking(move || encode(&of, place, level)).await {
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
    let boundary = call.boundary.clone();
    let flow = Flow::new(pieces(volume.clone(), first..=last, level(call), boundary), call.server.ahead);
    let mut answer = Response::new(call.counted(Body::flow(flow, None), volume));
    set(&mut answer, CONTENT_TYPE, &format!("multipart/mixed; boundary={}", call.boundary));
    set(&mut answer, VARY, "accept-encoding");
    answer
}

/// The steps that make a batch's body (RFC 2046, section 5.1): for each piece a head and its bytes, and the end.
fn pieces(
    volume: Arc<Volume>,
    parts: std::ops::RangeInclusive<u64>,
    level: Option<i32>,
    boundary: String,
) -> impl Iterator<Item = Step> + Send {
    let end = Step::Ready(Bytes::from(format!("\r\n--{boundary}--\r\n")));
    let of = volume.clone();
    let places = parts.flat_map(move |number| of.pieces(of.part(number)));
    let steps = places.map(move |place| {
        let (volume, boundary) = (volume.clone(), boundary.clone());
        Step::work(move || {
            let coded = encode(&volume, place, level)?;
            Ok(vec![Bytes::from(head(&coded, place, volume.size(), &boundary)), coded.bytes])
        })
    });
    steps.chain(std::iter::once(end))
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
