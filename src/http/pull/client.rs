//! One connection to a server: made when a request needs it, kept for the next one, made again when it was lost.
//!
//! Runs on the caller's thread, with a runtime of its own that has no other thread: nothing is read while nobody asks
//! for it, so that a target that is slow stops the server. Every wait ends: making a connection after the connect
//! time-out, waiting for bytes after the stall time-out, both with the run. Memory: hyper's buffer, of at most some
//! 400 KiB; a response's header has at most 64 KiB and 100 fields.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;

use super::token::Token;
use super::url::Url;
use crate::engine::gather::Failure;
use crate::error::{Error, Status};
use crate::link::address::Address;
use crate::link::dial;
use crate::progress::{Figures, Stage};
use crate::stop::Stop;

/// How long a run that has ended may go unnoticed.
const NOTICE: Duration = Duration::from_millis(100);
const MOST_HEADER: usize = 64 << 10;

/// What all connections to a server have in common.
#[derive(Clone)]
pub(super) struct Site {
    /// For `https://`.
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    /// Told to the server that the user has named, and to no other.
    pub(super) token: Option<Token>,
    pub(super) named: Url,
    pub(super) connect_timeout: Duration,
    /// How long a server may be silent.
    pub(super) stall: Duration,
    /// What comes is counted here.
    pub(super) figures: Arc<Figures>,
    pub(super) stop: Stop,
}

/// What a response begins with.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// A field's value, if it is there once at least and is text.
    pub(super) fn field(&self, name: impl hyper::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A connection, while there is one.
pub(super) struct Line {
    site: Site,
    open: Option<Open>,
}

/// What must come while a server is waited for as long as it may be silent, in bytes: one that sends a few at a time
/// would hold up what is asked of others.
const LEAST_HEARD: usize = 4 << 10;

struct Open {
    /// Dropped with all it runs, which closes the connection.
    runtime: Runtime,
    sender: SendRequest<Empty<Bytes>>,
    /// Where it leads.
    to: Url,
    /// What is being read.
    body: Option<Incoming>,
    /// Since when so little has come: how long it was waited for, and how many bytes came in that time.
    waited: Duration,
    heard: usize,
}

impl Line {
    /// No connection yet.
    pub(super) fn new(site: &Site) -> Self {
        Line { site: site.clone(), open: None }
    }

    /// Sends a request and waits for the response's head. What is left of the last response is dropped with its
    /// connection.
    ///
    /// # Errors
    /// Why there is no response.
    pub(super) fn request(
        &mut self,
        method: &Method,
        url: &Url,
        fields: &[(HeaderName, HeaderValue)],
    ) -> Result<Head, Failure> {
        let fits = |open: &Open| open.body.is_none() && open.to.is_same_origin(url) && !open.sender.is_closed();
        let mut kept = self.open.take().filter(fits);
        loop {
            let is_kept = kept.is_some();
            let mut open = match kept.take() {
                Some(open) => open,
                None => self.connect(url)?,
            };
            let request = self.compose(method, url, fields)?;
            let sender = &mut open.sender;
            let sending = async {
                sender.ready().await?;
                sender.send_request(request).await
            };
            match wait(&open.runtime, &self.site.stop, self.site.stall, sending) {
                Ok(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    open.body = Some(body);
                    (open.waited, open.heard) = (Duration::ZERO, 0);
                    self.open = Some(open);
                    return Ok(Head { status: head.status, headers: head.headers });
                }
                // A server may close a connection that is idle just when it is used again.
                Ok(Err(error)) if is_kept && was_closed(&error) => {}
                Ok(Err(error)) => return Err(broken(url, &error)),
                Err(waited) => return Err(waited.failure(url, self.site.stall)),
            }
        }
    }

    /// The next bytes of the response; `None` at its end, after which the connection is used again.
    ///
    /// # Errors
    /// Why no more comes. The connection is closed by then.
    pub(super) fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        let Some(body) = &mut open.body else {
            self.open = Some(open);
            return Ok(None);
        };
        let _busy = self.site.figures.busy(Stage::Link);
        loop {
            let began = Instant::now();
            let came = wait(&open.runtime, &self.site.stop, self.site.stall, body.frame());
            open.waited += began.elapsed();
            match came {
                Ok(Some(Ok(frame))) => {
                    // Trailers are of no interest.
                    let Ok(data) = frame.into_data() else { continue };
                    self.site.figures.add_wire(data.len() as u64);
                    open.heard += data.len();
                    if open.heard >= LEAST_HEARD {
                        (open.waited, open.heard) = (Duration::ZERO, 0);
                    } else if !self.site.stall.is_zero() && open.waited >= self.site.stall {
                        let why = format!("next to nothing came for {} s", self.site.stall.as_secs_f64());
                        return Err(Failure::passing(Error::new(Status::Io, "no answer", &open.to, why), None));
                    }
                    self.open = Some(open);
                    return Ok(Some(data));
                }
                Ok(None) => {
                    open.body = None;
                    self.open = Some(open);
                    return Ok(None);
                }
                Ok(Some(Err(error))) => return Err(broken(&open.to, &error)),
                Err(waited) => return Err(waited.failure(&open.to, self.site.stall)),
            }
        }
    }

    /// Closes the connection: of what is still coming nothing is wanted.
    pub(super) fn hang_up(&mut self) {
        self.open = None;
    }

    fn compose(
        &self,
        method: &Method,
        url: &Url,
        fields: &[(HeaderName, HeaderValue)],
    ) -> Result<Request<Empty<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(url.path_and_query())
            .header(HOST, url.authority())
            .header(USER_AGENT, concat!("lvpipe/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = self.site.token.as_ref().filter(|_| url.is_same_origin(&self.site.named)) {
            request = request.header(AUTHORIZATION, token.bearer());
        }
        for (name, value) in fields {
            request = request.header(name, value);
        }
        request.body(Empty::new()).map_err(|e| Failure::last(Error::usage("cannot ask for", url, e)))
    }

    fn connect(&self, url: &Url) -> Result<Open, Failure> {
        let Site { stop, connect_timeout, .. } = &self.site;
        let failed = |e: &io::Error| Failure::passing(Error::io("cannot connect", url, e), None);
        let address = Address::new(url.host(), url.port());
        let socket = dial::plain(&address, *connect_timeout, stop).map_err(|error| match stop.is_set() {
            true => Failure::Stopped,
            false => Failure::passing(error, None),
        })?;
        socket.set_nonblocking(true).map_err(|e| failed(&e))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e))?;
        let opening = async {
            let socket = TcpStream::from_std(socket).map_err(|e| failed(&e))?;
            if !url.is_https() {
                return shake_hands(socket, url).await;
            }
            let unusable = |why: &str| Failure::last(Error::usage("cannot connect", url, why));
            let tls = self.site.tls.clone().ok_or_else(|| unusable("there is no TLS to connect with"))?;
            let name = ServerName::try_from(url.host().to_owned());
            let name = name.map_err(|_| unusable("that is no name that a certificate could have"))?;
            let secure = TlsConnector::from(tls).connect(name, socket).await;
            shake_hands(secure.map_err(|e| insecure(url, &e))?, url).await
        };
        let sender = wait(&runtime, stop, *connect_timeout, opening)
            .map_err(|waited| waited.failure(url, *connect_timeout))??;
        Ok(Open { runtime, sender, to: url.clone(), body: None, waited: Duration::ZERO, heard: 0 })
    }
}

async fn shake_hands<S>(socket: S, url: &Url) -> Result<SendRequest<Empty<Bytes>>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(100).max_header_size(MOST_HEADER);
    let (sender, connection) =
        builder.handshake(TokioIo::new(socket)).await.map_err(|error| broken(url, &error))?;
    // Its end is seen by whoever sends or reads.
    tokio::spawn(connection);
    Ok(sender)
}

/// Why something was not waited for any longer.
enum Waited {
    TooLong,
    Stopped,
}

impl Waited {
    fn failure(self, url: &Url, time: Duration) -> Failure {
        let why = format!("the server was silent for {} s", time.as_secs_f64());
        match self {
            Waited::TooLong => Failure::passing(Error::new(Status::Io, "no answer", url, why), None),
            Waited::Stopped => Failure::Stopped,
        }
    }
}

/// Runs the connection until this has come, but not longer than so long; zero: for ever.
fn wait<F: Future>(runtime: &Runtime, stop: &Stop, time: Duration, coming: F) -> Result<F::Output, Waited> {
    let began = Instant::now();
    let mut coming = pin!(coming);
    runtime.block_on(async {
        loop {
            match tokio::time::timeout(NOTICE, coming.as_mut()).await {
                Ok(value) => return Ok(value),
                Err(_) if stop.is_set() => return Err(Waited::Stopped),
                Err(_) if !time.is_zero() && began.elapsed() >= time => return Err(Waited::TooLong),
                Err(_) => {}
            }
        }
    })
}

/// Whether the server had closed the connection before it could see the request.
fn was_closed(error: &hyper::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let is_reset =
        io.is_some_and(|e| matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || is_reset
}

fn broken(url: &Url, error: &hyper::Error) -> Failure {
    let why = match std::error::Error::source(error) {
        _ if error.is_parse() => format!("the answer is not HTTP as it should be: {error}"),
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Failure::passing(Error::new(Status::Io, "the connection broke", url, why), None)
}

/// What a TLS handshake that failed says. A certificate will be the same the next time.
fn insecure(url: &Url, error: &io::Error) -> Failure {
    use rustls::CertificateError::{ApplicationVerificationFailure, UnknownIssuer};
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    let what = "cannot connect securely";
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(InvalidCertificate(ApplicationVerificationFailure)) => Failure::last(
            Error::new(Status::Peer, what, url, "the server's certificate has another fingerprint")
                .way_out("is it the right server? It prints its fingerprint when it is started: lvpipe serve"),
        ),
        Some(InvalidCertificate(why)) => {
            let why = match why {
                UnknownIssuer => "nobody whom this system trusts vouches for its certificate".to_string(),
                why => why.to_string(),
            };
            let way_out = "for a server with a certificate of its own, as `lvpipe serve` makes one: --fingerprint \
                           sha256:..., as the server has printed it";
            Failure::last(Error::new(Status::Peer, what, url, why).way_out(way_out))
        }
        Some(InvalidMessage(_)) => {
            let error = Error::new(Status::Peer, what, url, "what answers there is not TLS");
            Failure::passing(error.way_out("is it http:// there?"), None)
        }
        _ => Failure::passing(Error::io(what, url, error), None),
    }
}
