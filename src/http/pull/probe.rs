//! First contact: what kind of server it is, and what it has.
//!
//! `HEAD` of what the user has named, redirects followed. A `Link` to its description makes it a server of lvpipe's,
//! if a map is there; else one byte is asked for, which tells whether it has ranges. Only a server that says when to come
//! again, being busy, is tried again here: who has mistyped a port should hear of it at once.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName,
    HeaderValue, LINK, LOCATION, RANGE,
};
use hyper::{Method, StatusCode};

use super::answer::{Version, refusal};
use super::client::{Head, Line, Site};
use super::multipart::{number, range};
use super::url::Url;
use crate::engine::gather::Failure;
use crate::error::{Error, Result, Status};
use crate::http::volume_map::{COMPACT_TYPE, VolumeMap};

/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 10;
/// A server that is busy is not asked more often than this, whatever it says.
const LEAST_PAUSE: Duration = Duration::from_millis(200);

/// What was found.
pub(super) struct Found {
    /// Where redirects have led to.
    pub(super) url: Url,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// A server of lvpipe's.
    Lvpipe(Box<VolumeMap>),
    /// One with ranges, and so many bytes.
    Ranges { size: u64, version: Version },
    /// One that gives all or nothing.
    Whole { size: Option<u64>, version: Option<Version> },
}

/// Asks; again for `retry_for`, which `notice` tells of, where the server says when.
pub(super) fn find(site: &Site, retry_for: Duration, notice: &dyn Fn(&str)) -> Result<Found> {
    let began = Instant::now();
    loop {
        let mut probe = Probe { line: Line::new(site), url: site.named.clone(), site };
        let error = match probe.kind() {
            Ok(kind) => return Ok(Found { url: probe.url, kind }),
            Err(Failure::Passing(error, Some(after))) if began.elapsed() + after < retry_for => {
                notice(&format!("{error}; trying again in {} s", after.as_secs()));
                match site.stop.sleep(after.max(LEAST_PAUSE)) {
                    Ok(()) => continue,
                    Err(_) => *error,
                }
            }
            Err(Failure::Passing(error, _) | Failure::Wrong(error) | Failure::Final(error)) => *error,
            Err(Failure::Stopped) => Error::signal(0),
        };
        // What ended the run is the reason, whatever was noticed first.
        return site.stop.check().and(Err(error));
    }
}

struct Probe<'a> {
    line: Line,
    url: Url,
    site: &'a Site,
}

impl Probe<'_> {
    fn kind(&mut self) -> Result<Kind, Failure> {
        let plain = (ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let head = self.follow(&Method::HEAD, std::slice::from_ref(&plain))?;
        let knows_head =
            head.status != StatusCode::METHOD_NOT_ALLOWED && head.status != StatusCode::NOT_IMPLEMENTED;
        if knows_head {
            self.refuse(&head)?;
            self.refuse_page(&head)?;
            if let Some(map) = self.map(&head)? {
                return Ok(Kind::Lvpipe(Box::new(map)));
            }
        }
        let first = (RANGE, HeaderValue::from_static("bytes=0-0"));
        let head = self.follow(&Method::GET, &[plain, first])?;
        // What an empty file answers.
        if head.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(Kind::Whole { size: Some(0), version: Version::of(&head) });
        }
        self.refuse(&head)?;
        self.refuse_page(&head)?;
        if let Some(coding) = head.field(CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            let why = format!("it sends the volume as {coding}, which was not asked for");
            return Err(Failure::last(Error::stream("cannot pull", &self.url, why)));
        }
        let version = Version::of(&head);
        let ranged = head.field(CONTENT_RANGE).and_then(range).filter(|(first, last, _)| (*first, *last) == (0, 0));
        let size = ranged.map(|(_, _, size)| size);
        match (head.status, size, version) {
            (StatusCode::PARTIAL_CONTENT, Some(size), Some(version)) if size <= i64::MAX as u64 => {
                while self.line.read()?.is_some() {}
                Ok(Kind::Ranges { size, version })
            }
            // Without a version nobody can tell whether all ranges are of the same.
            (StatusCode::PARTIAL_CONTENT, Some(size), None) => Ok(Kind::Whole { size: Some(size), version: None }),
            (StatusCode::OK, _, version) => {
                self.line.hang_up();
                Ok(Kind::Whole { size: head.field(CONTENT_LENGTH).and_then(number), version })
            }
            _ => {
                let why = format!("it answers {} to a question for one byte", head.status);
                Err(Failure::last(Error::stream("cannot pull", &self.url, why)))
            }
        }
    }

    /// A response, after redirects; the URL is then where they led to.
    fn follow(&mut self, method: &Method, fields: &[(HeaderName, HeaderValue)]) -> Result<Head, Failure> {
        for _ in 0..=MOST_REDIRECTS {
            let head = self.line.request(method, &self.url, fields)?;
            if *method == Method::HEAD {
                while self.line.read()?.is_some() {}
            }
            if !head.status.is_redirection() || head.status == StatusCode::NOT_MODIFIED {
                return Ok(head);
            }
            let target = head.field(LOCATION).map(|location| self.url.join(location));
            let target = target.unwrap_or_else(|| Err("it does not say where to".into()));
            let target = target.and_then(|target| match self.url.is_https() && !target.is_https() {
                true => Err(format!("it leads from https to {target}, which anybody on the way can change")),
                false => Ok(target),
            });
            self.url = target.map_err(|why| {
                Failure::last(Error::new(Status::Peer, "cannot follow the redirect", &self.url, why))
            })?;
        }
        let why = format!("more than {MOST_REDIRECTS} of them");
        Err(Failure::last(Error::new(Status::Peer, "cannot follow the redirects", &self.site.named, why)))
    }

    fn refuse(&self, head: &Head) -> Result<(), Failure> {
        let has_token = self.site.token.is_some() && self.url.is_same_origin(&self.site.named);
        refusal(head, &self.url, has_token).map_or(Ok(()), Err)
    }

    /// The page about a volume is no volume, and would be written to the target as one.
    fn refuse_page(&self, head: &Head) -> Result<(), Failure> {
        let is_page = head.field(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"));
        if !is_page {
            return Ok(());
        }
        Err(Failure::last(
            Error::usage("cannot pull", &self.url, "it is a page for people, not a volume")
                .way_out("name the volume itself; a server of lvpipe lists its volumes at /"),
        ))
    }

    /// The map of lvpipe's volume, if the head leads to one.
    fn map(&mut self, head: &Head) -> Result<Option<VolumeMap>, Failure> {
        let links = head.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let Some(link) = links.flat_map(|value| value.split(',')).find_map(described_by) else { return Ok(None) };
        let wrong = |why: String| Failure::last(Error::stream("cannot read the map", &self.url, why));
        let url = self.url.join(link).map_err(wrong)?;
        if !url.is_same_origin(&self.url) {
            return Ok(None);
        }
        let wrong = |why: String| Failure::last(Error::stream("cannot read the map", &url, why));
        let fields =
            [(ACCEPT, HeaderValue::from_static(COMPACT_TYPE)), (ACCEPT_ENCODING, HeaderValue::from_static("zstd"))];
        let of_volume = Version::of(head);
        let head = self.line.request(&Method::GET, &url, &fields)?;
        if head.status != StatusCode::OK || head.field(CONTENT_TYPE) != Some(COMPACT_TYPE) {
            self.line.hang_up();
            // A description of another kind: a server of somebody else's.
            return refusal(&head, &url, self.site.token.is_some()).map_or(Ok(None), Err);
        }
        let mut body = Body { line: &mut self.line, rest: hyper::body::Bytes::new(), failure: None };
        let map = match head.field(CONTENT_ENCODING) {
            None | Some("identity") => VolumeMap::read_compact(&mut body),
            Some("zstd") => match zstd::stream::read::Decoder::new(&mut body) {
                Ok(decoder) => VolumeMap::read_compact(decoder),
                Err(e) => Err(e.into()),
            },
            Some(other) => return Err(wrong(format!("it comes as {other}, which was not asked for"))),
        };
        if let Some(failure) = body.failure {
            return Err(failure);
        }
        let map = map.map_err(|e| wrong(e.to_string()))?;
        if of_volume.is_none_or(|version| version == Version::Etag(map.etag.clone())) {
            return Ok(Some(map));
        }
        Err(wrong("it is of another version of the volume than the one that was just there".into()))
    }
}

/// The target of a `Link` value (RFC 8288) whose relation is `describedby`.
fn described_by(value: &str) -> Option<&str> {
    let (target, parameters) = value.trim().strip_prefix('<')?.split_once('>')?;
    let mut parameters = parameters.split(';').filter_map(|one| one.trim().split_once('='));
    let relation = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("rel"))?.1.trim();
    relation.trim_matches('"').split(' ').any(|one| one.eq_ignore_ascii_case("describedby")).then_some(target)
}

/// A response's body, to be read.
struct Body<'a> {
    line: &'a mut Line,
    rest: hyper::body::Bytes,
    /// Why no more came: its words are not lost on the way through an I/O error.
    failure: Option<Failure>,
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.line.read() {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) => return Ok(0),
                Err(failure) => {
                    self.failure = Some(failure);
                    return Err(io::Error::other("the connection broke"));
                }
            }
        }
        let length = into.len().min(self.rest.len());
        into[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::described_by;

    #[test]
    fn the_link_to_the_map_is_found() {
        assert_eq!(described_by("</vm1/map>; rel=\"describedby\""), Some("/vm1/map"));
        assert_eq!(described_by(" <map> ; type=x; REL=next describedBy"), Some("map"));
        for none in ["", "</vm1/map>", "</a>; rel=next", "/vm1/map; rel=describedby", "<a; rel=describedby"] {
            assert_eq!(described_by(none), None, "{none}");
        }
    }
}
