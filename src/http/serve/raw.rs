//! The raw volume: whole, by range, by several ranges (RFC 9110, section 14). Any HTTP client can read it.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, LINK, RANGE};
use hyper::{Response, StatusCode};

use super::answer::{self, Answer, set};
use super::body::Body;
use super::call::Call;
use super::conditions::{self, Verdict};
use super::flow::{Flow, Step};
use super::names;
use super::range::{Selection, select};
use super::volume::{CHUNK, Volume};
use crate::usedmap::Extent;
use crate::volume::ALIGN;

/// Chunks that are read ahead of what the socket has taken.
pub const AHEAD: usize = 3;

const OCTETS: &str = "application/octet-stream";

/// Answers a request for the volume.
pub fn answer(call: &Call<'_>, volume: &Arc<Volume>) -> Answer {
    let tag = volume.about.etag.as_str();
    let mut answer = match conditions::judge(call.headers, &[tag]) {
        Verdict::Failed => answer::words(StatusCode::PRECONDITION_FAILED, "the volume is another one now"),
        Verdict::NotModified => status_only(StatusCode::NOT_MODIFIED),
        Verdict::Proceed => match selection(call, volume) {
            Selection::Whole => whole(call, volume),
            Selection::One(range) => one(call, volume, range),
            Selection::Several(ranges) => several(call, volume, &ranges),
            Selection::Unsatisfiable => unsatisfiable(volume),
        },
    };
    set(&mut answer, ETAG, tag);
    set(&mut answer, ACCEPT_RANGES, "bytes");
    set(&mut answer, LINK, &format!("</{}/map>; rel=\"describedby\"", names::encode(&volume.about.volume)));
    answer
}

fn selection(call: &Call<'_>, volume: &Volume) -> Selection {
    // More than one field of what is no list: not a range.
    let mut fields = call.headers.get_all(RANGE).iter();
    match (fields.next().and_then(|field| field.to_str().ok()), fields.next()) {
        (Some(field), None) if conditions::range_counts(call.headers, &volume.about.etag) => {
            select(field, volume.size())
        }
        _ => Selection::Whole,
    }
}

fn status_only(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

fn unsatisfiable(volume: &Volume) -> Answer {
    let mut answer = answer::words(StatusCode::RANGE_NOT_SATISFIABLE, "no such range can be served");
    set(&mut answer, CONTENT_RANGE, &format!("bytes */{}", volume.size()));
    answer
}

fn whole(call: &Call<'_>, volume: &Arc<Volume>) -> Answer {
    let range = volume.whole();
    let flow = Flow::new(chunks(volume.clone(), range), AHEAD);
    let mut answer = Response::new(call.counted(Body::flow(flow, Some(range.length)), volume));
    set(&mut answer, CONTENT_TYPE, OCTETS);
    answer
}

fn one(call: &Call<'_>, volume: &Arc<Volume>, range: Extent) -> Answer {
    let flow = Flow::new(chunks(volume.clone(), range), AHEAD);
    let mut answer = Response::new(call.counted(Body::flow(flow, Some(range.length)), volume));
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    set(&mut answer, CONTENT_TYPE, OCTETS);
    set(&mut answer, CONTENT_RANGE, &content_range(range, volume.size()));
    answer
}

/// `bytes FIRST-LAST/SIZE`.
pub fn content_range(range: Extent, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.offset, range.end().saturating_sub(1))
}

/// `multipart/byteranges`, RFC 9110, section 14.6.
fn several(call: &Call<'_>, volume: &Arc<Volume>, ranges: &[Extent]) -> Answer {
    let boundary = &call.boundary;
    let heads = ranges.iter().enumerate().map(|(number, range)| {
        let line_end = if number == 0 { "" } else { "\r\n" };
        let content_range = content_range(*range, volume.size());
        format!("{line_end}--{boundary}\r\nContent-Type: {OCTETS}\r\nContent-Range: {content_range}\r\n\r\n")
    });
    let heads: Vec<Bytes> = heads.map(Bytes::from).collect();
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let around = heads.iter().map(Bytes::len).sum::<usize>() + end.len();
    let length = ranges.iter().map(|range| range.length).fold(around as u64, u64::saturating_add);
    let parts: Vec<(Bytes, Extent)> = heads.into_iter().zip(ranges.iter().copied()).collect();
    let of = volume.clone();
    let plan = parts
        .into_iter()
        .flat_map(move |(head, range)| std::iter::once(Step::Ready(head)).chain(chunks(of.clone(), range)))
        .chain(std::iter::once(Step::Ready(end)));
    let mut answer = Response::new(call.counted(Body::flow(Flow::new(plan, AHEAD), Some(length)), volume));
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    set(&mut answer, CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
    answer
}

/// The steps that make a range's bytes: reads for data, zeros from memory for holes.
fn chunks(volume: Arc<Volume>, range: Extent) -> impl Iterator<Item = Step> + Send {
    let mut at = range.offset;
    std::iter::from_fn(move || {
        // Cut along the grid of chunks, so that a read is aligned and fits its buffer.
        let piece = Extent::between(at, (at - at % CHUNK).saturating_add(CHUNK).min(range.end()));
        if piece.is_empty() {
            return None;
        }
        at = piece.end();
        if volume.is_hole(piece) {
            return Some(Step::Ready(volume.zeros(piece.length)));
        }
        let volume = volume.clone();
        Some(Step::work(move || {
            let begin = piece.offset - piece.offset % ALIGN;
            let aligned = Extent::between(begin, piece.end().next_multiple_of(ALIGN).min(volume.size()));
            let mut buffer = volume.chunks.take()?;
            volume.read(aligned, &mut buffer[..aligned.length as usize])?;
            let first = (piece.offset - begin) as usize;
            Ok(vec![buffer.share(first..first + piece.length as usize)])
        }))
    })
}
