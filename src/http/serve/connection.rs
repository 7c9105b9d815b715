//! One client's connection, from the handshake to its last response; a task of its own.
//!
//! A request is looked at in this order, and the first that fails is the answer: its host, the token, a client's
//! place, that it has no body, its method, its path. What fails for one connection ends that one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Answer};
use super::call::Call;
use super::gate::Place;
use super::route::{Route, route};
use super::tally::Refusal;
use super::watched::{Phase, Watched};
use super::{Server, host, index, map, metrics, parts, raw};

/// How long a TLS handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// The most bytes of a request's head; also how much hyper gathers before it writes.
pub const MOST_HEAD: usize = 16 << 10;
/// The most fields of a request's head.
const MOST_FIELDS: usize = 64;

/// A connection.
pub struct Connection {
    /// Whose.
    pub server: Arc<Server>,
    /// The other end.
    pub client: SocketAddr,
    /// At the gate.
    pub place: Place,
    /// Turns true when the server is to end.
    pub closing: watch::Receiver<bool>,
}

impl Connection {
    /// Serves it until it ends.
    pub async fn serve(self, socket: TcpStream) {
        let phase = Phase::default();
        let watched = Watched::new(socket, self.server.patience, phase.clone());
        let Some(config) = &self.server.tls else { return self.speak(watched, phase).await };
        match timeout(HANDSHAKE, TlsAcceptor::from(config.clone()).accept(watched)).await {
            Ok(Ok(stream)) => self.speak(stream, phase).await,
            Ok(Err(error)) => self.refuse(Refusal::Handshake, &format_args!("no TLS: {error}")),
            Err(_) => self.refuse(Refusal::Handshake, &"no TLS: the handshake takes too long"),
        }
    }

    fn refuse(&self, why: Refusal, message: &dyn std::fmt::Display) {
        self.server.tally.refuse(why);
        self.server.complaints.say(&format!("dropped {}: {message}", self.client.ip().to_canonical()));
    }

    /// HTTP/1.1, over whatever.
    async fn speak<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S, phase: Phase) {
        let Connection { server, client, place, mut closing } = self;
        let place = Mutex::new(place);
        let service = service_fn(|request| respond(&server, client, &place, &phase, request));
        let served = http1::Builder::new()
            // The socket watches the time itself: see `watched`.
            .header_read_timeout(None)
            .max_buf_size(MOST_HEAD)
            .max_headers(MOST_FIELDS)
            .serve_connection(TokioIo::new(stream), service);
        let mut served = std::pin::pin!(served);
        let close = async {
            // Fails where the server has ended, which is as good.
            let _ = closing.wait_for(|closing| *closing).await;
        };
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = close => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        // A client that hangs up in the middle is nothing to talk about; one that speaks no HTTP is.
        if let Err(error) = ended
            && error.is_parse()
        {
            server.tally.refuse(Refusal::Protocol);
            server.complaints.say(&format!("dropped {}: no HTTP: {error}", client.ip().to_canonical()));
        }
    }
}

async fn respond(
    server: &Arc<Server>,
    client: SocketAddr,
    place: &Mutex<Place>,
    phase: &Phase,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let responding = phase.respond();
    let (resource, answer) = match admit(server, client, place, &request) {
        Some(refused) => ("none", refused),
        None => resource(server, client, &request).await,
    };
    let status = answer.status().as_u16();
    server.tally.request(resource, status);
    if server.verbose {
        let (method, path) = (request.method(), request.uri().path().escape_debug());
        (server.log)(&format!("{} {method} {path} {status}", client.ip().to_canonical()));
    }
    let answer = answer::finish(answer, request.method() == Method::HEAD);
    Ok(answer.map(|body| body.within(responding)))
}

/// Why a request is not looked at any further.
fn admit(
    server: &Arc<Server>,
    client: SocketAddr,
    place: &Mutex<Place>,
    request: &Request<Incoming>,
) -> Option<Answer> {
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        // RFC 9112, section 3.2.
        (None, _) if request.version() == Version::HTTP_11 => {
            return Some(answer::closing(answer::words(StatusCode::BAD_REQUEST, "no Host field")));
        }
        (Some(_), Some(_)) => {
            return Some(answer::closing(answer::words(StatusCode::BAD_REQUEST, "more than one Host field")));
        }
        (named, _) => {
            // A target in absolute form says whose it is, whatever Host says: RFC 9112, section 3.2.2.
            let target = request.uri().authority().map(|authority| authority.as_str());
            let named = target.or(named.map(|named| named.to_str().unwrap_or("?")));
            if server.token.is_none() && named.is_some_and(|named| !host::may_be_asked_for(named, server)) {
                server.tally.refuse(Refusal::Host);
                let text = "not this server's name: see --insecure in lvpipe-serve(1)";
                return Some(answer::closing(answer::words(StatusCode::MISDIRECTED_REQUEST, text)));
            }
        }
    }
    if let Some(token) = &server.token {
        let field = headers.get(AUTHORIZATION).map(|field| field.to_str().unwrap_or_default());
        if !field.is_some_and(|field| token.admits(field)) {
            if field.is_some() {
                server.complaints.say(&format!("refused {}: a wrong token", client.ip().to_canonical()));
            }
            server.tally.refuse(Refusal::Token);
            return Some(answer::unauthorized());
        }
    }
    if !place.lock().unwrap_or_else(PoisonError::into_inner).become_client() {
        server.tally.refuse(Refusal::Clients);
        return Some(answer::busy("there are as many clients as there may be"));
    }
    if !request.body().is_end_stream() {
        let text = "a request has no body here";
        return Some(answer::closing(answer::words(StatusCode::PAYLOAD_TOO_LARGE, text)));
    }
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    if reads { None } else { Some(answer::method_not_allowed()) }
}

/// The answer, and what was asked for.
async fn resource(server: &Arc<Server>, client: SocketAddr, request: &Request<Incoming>) -> (&'static str, Answer) {
    let names = server.volumes.iter().map(|volume| volume.about.volume.as_str());
    let Some(route) = route(request.uri().path(), names) else { return ("none", answer::not_found()) };
    let Ok(boundary) = boundary() else { return ("none", answer::busy("no random numbers")) };
    let call = Call {
        server,
        headers: request.headers(),
        query: request.uri().query().unwrap_or_default(),
        is_head: request.method() == Method::HEAD,
        client: client.ip().to_canonical(),
        boundary,
    };
    let volume = match route {
        Route::Index => return ("index", index::answer(&call)),
        Route::IndexJson => return ("index", index::json_answer(server)),
        Route::Metrics => {
            return ("metrics", answer::with_type(StatusCode::OK, metrics::MEDIA_TYPE, metrics::text(server)));
        }
        Route::Raw(number) | Route::Map(number) | Route::Part(number, _) | Route::Batch(number) => number,
    };
    // The route has found it among them.
    let Some(volume) = server.volumes.get(volume) else { return ("none", answer::not_found()) };
    if let Err(changed) = volume.check() {
        server.complaints.say(&changed.to_string());
        return ("none", answer::words(StatusCode::GONE, "the volume has changed since it was first served"));
    }
    match route {
        Route::Map(_) => ("map", map::answer(&call, volume)),
        Route::Part(_, number) => ("part", parts::one(&call, volume, number).await),
        Route::Batch(_) => ("batch", parts::batch(&call, volume)),
        _ => ("raw", raw::answer(&call, volume)),
    }
}

fn boundary() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("lvpipe-{}", data_encoding::HEXLOWER.encode(&bytes)))
}
