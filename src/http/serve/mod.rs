//! `lvpipe serve`: volumes, read-only, to any HTTP client.
//!
//! # Who does what
//! - [`Server`] is what all connections share; [`serve`] runs it until the run ends.
//! - The accept loops ([`accept`]) let connections in by the [`gate`]; each is a task ([`connection`]) on a runtime of
//!   as many threads as there are processors, over a socket that is [`watched`].
//! - A request goes by its [`route`] to a resource: [`raw`], [`parts`], [`map`], [`index`], [`metrics`]; with
//!   [`range`], [`conditions`] and what the client takes ([`negotiate`]).
//! - Whatever reads, digests or compresses runs on the blocking pool: bodies are made while they are sent, a few steps
//!   ahead ([`flow`]), in [`buffers`] that are used again.
//!
//! # What bounds memory
//! Connections are bounded by the [`gate`]; each has one response at a time. A raw response holds at most
//! [`raw::AHEAD`] + 2 chunks of [`volume::CHUNK`], a batch `ahead` + 2 parts and as many again while they are being
//! compressed, a map four blocks of 64 KiB, a request's head [`connection::MOST_HEAD`]. So memory is the most clients
//! times a constant, whatever they do and however large the volumes are, and the maps.
//!
//! # On errors
//! What cannot be read ends the response before its length, and the connection with it: no client can take it for
//! whole. It is said on this side. A volume that has changed is not served any more.

mod accept;
mod answer;
mod body;
mod buffers;
mod call;
mod certificate;
pub mod conditions;
mod connection;
mod flow;
mod gate;
mod host;
mod index;
mod map;
mod metrics;
mod names;
pub mod negotiate;
mod parts;
mod picture;
pub mod range;
mod raw;
pub mod route;
mod tally;
mod token;
mod transfers;
mod tuner;
mod volume;
mod watched;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

pub use accept::{Ended, serve};
pub use certificate::{Fingerprint, Identity};
pub use names::{decode, encode, unique};
pub use token::{FoundToken, Token};
pub use volume::{Volume, tag_of_file, tag_of_run};

use crate::engine::Compress;
use crate::link::complaints::Complaints;
use gate::Gate;
use picture::Picture;
use tally::Tally;
use transfers::Transfers;
use watched::Patience;

/// The part size up to which memory stays within reason: see "What bounds memory".
pub const MOST_PART_SIZE: u64 = 8 << 20;

/// From a client's first byte to the end of its request's head.
const REQUEST: Duration = Duration::from_secs(10);
/// Between two requests.
const IDLE: Duration = Duration::from_secs(60);

/// Says something to the user.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// How volumes are served.
pub struct Terms {
    /// With TLS, unless it is plain HTTP.
    pub identity: Option<Identity>,
    /// Who may read, unless everybody may.
    pub token: Option<Token>,
    /// The most clients at a time.
    pub most_clients: usize,
    /// How long a client may take nothing.
    pub stall: Duration,
    /// How long responses may take to end when the server does.
    pub grace: Duration,
    /// How parts are compressed for those who take zstd.
    pub compress: Compress,
    /// This host's name.
    pub host: String,
    /// Whether it listens on loopback alone.
    pub is_loopback: bool,
    /// Whether every request is said.
    pub verbose: bool,
    /// What is said: who was dropped, what could not be read.
    pub log: Log,
}

/// What all connections share.
struct Server {
    volumes: Vec<Arc<Volume>>,
    /// Of the volumes, in their order.
    pictures: Vec<Picture>,
    tls: Option<Arc<ServerConfig>>,
    token: Option<Token>,
    patience: Patience,
    compress: Compress,
    /// Pieces of a batch under way at once.
    ahead: usize,
    host: String,
    is_loopback: bool,
    verbose: bool,
    log: Log,
    complaints: Complaints<'static>,
    gate: Arc<Gate>,
    tally: Tally,
    transfers: Transfers,
    began: Instant,
}

impl Server {
    fn new(volumes: Vec<Volume>, terms: &Terms, processors: usize) -> Arc<Self> {
        let log = terms.log.clone();
        Arc::new(Server {
            pictures: volumes.iter().map(|volume| Picture::of(&volume.about.map)).collect(),
            volumes: volumes.into_iter().map(Arc::new).collect(),
            tls: terms.identity.as_ref().map(|identity| identity.config.clone()),
            token: terms.token.clone(),
            patience: Patience { request: REQUEST, idle: IDLE, stall: terms.stall },
            compress: terms.compress,
            // One for each processor, and one that is being sent.
            ahead: (processors + 1).clamp(3, 8),
            host: terms.host.clone(),
            is_loopback: terms.is_loopback,
            verbose: terms.verbose,
            complaints: Complaints::new(move |line: &str| log(line)),
            log: terms.log.clone(),
            gate: Gate::new(terms.most_clients),
            tally: Tally::default(),
            transfers: Transfers::new(terms.compress),
            began: Instant::now(),
        })
    }
}
