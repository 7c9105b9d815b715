//! The map of a volume: JSON for everybody, compact for pullers, each compressed where that is taken.
//!
//! It is written by a thread of its own into a channel of a few blocks: a map of a hundred million extents takes no
//! more memory than a small one, and no worker waits for a client. The thread ends with the response.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc::{self, Sender};

use super::answer::{self, Answer, set};
use super::body::Body;
use super::call::Call;
use super::conditions::{self, Verdict};
use super::negotiate;
use super::route::parameter;
use super::volume::Volume;
use crate::error::{Error, Result};
use crate::http::volume_map::{COMPACT_TYPE, VolumeMap};

const JSON: &str = "application/json";
/// What goes into the channel at a time, and how many of these it holds.
const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 4;
/// Maps compress well at any level.
const LEVEL: i32 = 3;

/// Answers a request for the map.
pub fn answer(call: &Call<'_>, volume: &Arc<Volume>) -> Answer {
    let accept = call.headers.get(ACCEPT).and_then(|field| field.to_str().ok()).unwrap_or_default();
    let media_type = match parameter(call.query, "format") {
        Some("compact") => COMPACT_TYPE,
        Some("json") => JSON,
        Some(_) => return answer::words(StatusCode::BAD_REQUEST, "format is json or compact"),
        None => negotiate::preferred(accept, &[JSON, COMPACT_TYPE]),
    };
    let mut codings = call.headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    let form = Form { is_compact: media_type == COMPACT_TYPE, is_zstd: codings.any(negotiate::takes_zstd) };
    let tag = form.tag(&volume.about.etag);
    let mut answer = match conditions::judge(call.headers, &[&tag, &volume.about.etag]) {
        Verdict::Failed => answer::words(StatusCode::PRECONDITION_FAILED, "the volume is another one now"),
        Verdict::NotModified => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        }
        Verdict::Proceed if call.is_head => described(media_type, form, Body::empty_of(None)),
        Verdict::Proceed => match write(&volume.about, form) {
            Ok(body) => described(media_type, form, call.counted(body, volume)),
            Err(error) => {
                call.server.complaints.say(&error.to_string());
                answer::busy("no thread can be started")
            }
        },
    };
    set(&mut answer, ETAG, &tag);
    set(&mut answer, VARY, "accept, accept-encoding");
    answer
}

fn described(media_type: &str, form: Form, body: Body) -> Answer {
    let mut answer = Response::new(body);
    set(&mut answer, CONTENT_TYPE, media_type);
    if form.is_zstd {
        set(&mut answer, CONTENT_ENCODING, "zstd");
    }
    answer
}

/// A representation of a map.
#[derive(Debug, Clone, Copy)]
struct Form {
    is_compact: bool,
    is_zstd: bool,
}

impl Form {
    fn tag(self, volume: &str) -> String {
        let form = if self.is_compact { "compact" } else { "json" };
        let coding = if self.is_zstd { "-zstd" } else { "" };
        format!("\"{}-map-{form}{coding}\"", volume.trim_matches('"'))
    }

    /// Small writes are gathered on both sides of the compressor.
    fn write(self, map: &VolumeMap, to: impl Write) -> io::Result<()> {
        let mut to = BufWriter::with_capacity(BLOCK, to);
        if self.is_zstd {
            let mut plain = BufWriter::with_capacity(BLOCK, zstd::Encoder::new(&mut to, LEVEL)?);
            self.write_plain(map, &mut plain)?;
            plain.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        } else {
            self.write_plain(map, &mut to)?;
        }
        to.flush()
    }

    fn write_plain(self, map: &VolumeMap, to: &mut impl Write) -> io::Result<()> {
        if self.is_compact { map.write_compact(to) } else { map.write_json(to) }
    }
}

/// Starts to write a map.
fn write(map: &Arc<VolumeMap>, form: Form) -> Result<Body> {
    let (to, from) = mpsc::channel(BLOCKS);
    let map = map.clone();
    let thread = thread::Builder::new().name("map".into()).spawn(move || {
        if let Err(error) = form.write(&map, Blocks(&to)) {
            // Where the client has gone, nobody is there to be told.
            let _ = to.blocking_send(Err(Error::io("cannot send the map", &map.volume, &error)));
        }
    });
    thread.map_err(|e| Error::io("cannot start thread", "map", &e))?;
    Ok(Body::channel(from))
}

/// Writes into a channel; waits for room in it.
struct Blocks<'a>(&'a Sender<Result<Bytes>>);

impl Write for Blocks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
