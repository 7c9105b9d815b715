//! What a response's head means: statuses that end the run or pass, versions of a resource.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RETRY_AFTER};

use super::client::Head;
use super::multipart::number;
use super::url::Url;
use crate::engine::gather::Failure;
use crate::error::{Error, Status};
use crate::http::volume_map::is_strong_etag;

/// By what a resource is known to be the same as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    /// Its strong entity tag.
    Etag(String),
    /// When it was modified, as the server says it; RFC 9110 takes that for strong where nothing better is there.
    Modified(String),
}

impl Version {
    /// What the head says; `None` where it says nothing that could be relied on.
    pub(super) fn of(head: &Head) -> Option<Self> {
        let etag = head.field(ETAG).filter(|etag| is_strong_etag(etag));
        let modified = head.field(LAST_MODIFIED).filter(|date| !date.is_empty());
        etag.map(|etag| Version::Etag(etag.into())).or(modified.map(|date| Version::Modified(date.into())))
    }

    /// The field that makes a request fail where the resource is another one.
    pub(super) fn condition(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, text) = match self {
            Version::Etag(etag) => (IF_MATCH, etag),
            Version::Modified(date) => (IF_UNMODIFIED_SINCE, date),
        };
        HeaderValue::from_str(text).ok().map(|value| (name, value))
    }

    /// As text, for the journal and for messages.
    pub(super) fn text(&self) -> &str {
        match self {
            Version::Etag(text) | Version::Modified(text) => text,
        }
    }
}

/// The volume is not the one that the transfer began with.
pub(super) fn changed(url: &Url, why: impl std::fmt::Display) -> Failure {
    let error = Error::new(Status::Io, "the volume has changed while it was pulled", url, why);
    Failure::last(error.way_out("what has come is of the old one: begin anew"))
}

/// Why an answer with this status brings nothing, if it is none of a success.
pub(super) fn refusal(head: &Head, url: &Url, has_token: bool) -> Option<Failure> {
    let what = "the server refuses";
    let status = head.status;
    let because = || format!("its answer is {status}");
    let peer = |why: &str| Error::new(Status::Peer, what, url, why);
    Some(match status {
        _ if status.is_success() => return None,
        StatusCode::UNAUTHORIZED if has_token => Failure::last(
            peer("it does not take the token").way_out("take the one that this run of it has printed"),
        ),
        StatusCode::UNAUTHORIZED => Failure::last(
            peer("it wants a token").way_out("--token-file FILE, or in the environment as LVPIPE_TOKEN"),
        ),
        StatusCode::FORBIDDEN => Failure::last(peer(&because())),
        StatusCode::NOT_FOUND => {
            let error = Error::new(Status::Io, "there is no such volume", url, because());
            Failure::last(error.way_out("a server of lvpipe lists its volumes at /"))
        }
        // The last is what lvpipe's server says of a volume that changed.
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::GONE => {
            changed(url, because())
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Failure::passing(Error::new(Status::Io, what, url, because()), retry_after(head))
        }
        _ if status.is_server_error() => {
            Failure::passing(Error::new(Status::Io, what, url, because()), retry_after(head))
        }
        _ => Failure::last(Error::new(Status::Io, what, url, because())),
    })
}

/// How long the server wants to be left alone: seconds. A date would need a clock that both believe.
fn retry_after(head: &Head) -> Option<Duration> {
    head.field(RETRY_AFTER).and_then(number).map(|seconds| Duration::from_secs(seconds.min(3600)))
}
