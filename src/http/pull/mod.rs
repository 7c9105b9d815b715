//! Pulling a volume from a server, over as many connections as are wanted.
//!
//! In: a URL. Out: a target that holds the volume. First one connection asks what there is ([probe]), on the caller's
//! thread; then the engine's [`gather`](crate::engine::gather) takes over, with a thread for each connection, on
//! which one of three dialects fetches what it is asked for:
//!
//! | server | dialect | verified by |
//! |---|---|---|
//! | lvpipe's | [batches] of parts, compressed, used ones only | the SHA-256 of each piece |
//! | any with ranges, that says which version it sends | [ranges] of some MiB | length and version |
//! | any other | the [whole] in one stream | length, if it is told |
//!
//! Each connection is a [client] of its own with a runtime of its own: tokio is nowhere else. Whom it believes is in
//! [trust], where a redirect may lead in [probe], how a batch is read in [multipart]. Memory: what the engine has,
//! and some 500 KiB a connection. Servers are not believed: every length is bounded before it is used.

mod answer;
mod batches;
mod client;
pub mod multipart;
mod probe;
mod ranges;
mod token;
mod trust;
mod url;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::gather::stream::gather_stream;
use crate::engine::gather::{Fetch, Gathering, gather};
use crate::engine::recv::Receiving;
use crate::error::{Error, Result};
use crate::progress::Figures;
use crate::stop::Stop;
use crate::usedmap::UsedMap;
use crate::volume::Target;
use crate::wire::{DigestKind, Lineage, PartSize, Prelude};
use answer::Version;
use batches::Batches;
use client::{Line, Site};
use probe::{Found, Kind};
use ranges::Ranges;
use token::Token;
use whole::Whole;

pub use trust::Fingerprint;
pub use url::Url;

/// How a server is reached.
pub struct Access {
    /// What the user has named.
    pub url: Url,
    /// Where the token is, if not in the environment.
    pub token_file: Option<PathBuf>,
    /// The one certificate that is believed, instead of those that the system trusts.
    pub fingerprint: Option<Fingerprint>,
    /// Whether the token may go where others can read it.
    pub insecure: bool,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long the server may be silent.
    pub stall: Duration,
    /// How long to come again to a server that is busy.
    pub retry_for: Duration,
}

/// A volume at a server.
pub struct Remote {
    site: Site,
    found: Found,
}

/// How it is pulled.
pub struct Pulling {
    /// As for any stream; with the [prelude](Remote::prelude) of the volume.
    pub receiving: Receiving,
    /// Connections, if the server can be asked for parts.
    pub connections: usize,
    /// How long to go on trying when nothing comes.
    pub retry_for: Duration,
    /// Says what the user should know meanwhile.
    pub notice: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Remote {
    /// Asks the server what there is. `notice` is told when that has to be done again.
    ///
    /// # Errors
    /// What does not fit together; why there is nothing to pull.
    pub fn find(access: Access, figures: &Arc<Figures>, notice: &dyn Fn(&str), stop: &Stop) -> Result<Self> {
        let Access { url, token_file, fingerprint, insecure, connect_timeout, stall, retry_for } = access;
        let token = Token::find(token_file.as_deref())?;
        if !url.is_https() {
            if fingerprint.is_some() {
                return Err(Error::usage("cannot pull", "--fingerprint", "http:// has no certificate"));
            }
            if token.is_some() && !insecure {
                let why = "the token would go to the server as it is, for all on the way to read";
                return Err(Error::usage("cannot pull", &url, why).way_out("https://, or --insecure"));
            }
        }
        // A redirect may lead to https, too.
        let tls =
            Some(trust::client_config(fingerprint)).filter(|tls| url.is_https() || tls.is_ok()).transpose()?;
        let (figures, stop) = (figures.clone(), stop.clone());
        let site = Site { tls, token, named: url, connect_timeout, stall, figures, stop };
        let found = probe::find(&site, retry_for, notice)?;
        Ok(Remote { site, found })
    }

    /// The volume as any stream would announce it. Its digest is SHA-256: the server's, or what is recorded.
    pub fn prelude(&self, transfer: [u8; 16], resumes: bool) -> Prelude {
        let (part_size, volume_size, used) = match &self.found.kind {
            Kind::Lvpipe(map) => (map.part_size, Some(map.map.size()), Some(map.map.used_bytes())),
            Kind::Ranges { size, .. } => (PartSize::default(), Some(*size), Some(*size)),
            Kind::Whole { size, .. } => (PartSize::default(), *size, *size),
        };
        let (digest, lineage) = (DigestKind::Sha256, self.lineage());
        let (link, links, answers) = (0, 1, true);
        Prelude { transfer, link, links, part_size, volume_size, used, digest, answers, resumes, lineage }
    }

    fn lineage(&self) -> Lineage {
        let of_url = |version: Option<&Version>| Lineage {
            source: Some(self.site.named.to_string()),
            etag: version.map(|version| version.text().to_owned()),
            ..Lineage::default()
        };
        match &self.found.kind {
            Kind::Lvpipe(map) => Lineage { etag: Some(map.etag.clone()), ..map.lineage.clone() },
            Kind::Ranges { version, .. } => of_url(Some(version)),
            Kind::Whole { version, .. } => of_url(version.as_ref()),
        }
    }

    /// Whether what fails can be gone on with later.
    pub fn can_resume(&self) -> bool {
        !matches!(self.found.kind, Kind::Whole { .. })
    }

    /// How it is known that what came is what the server has.
    pub fn verified_by(&self) -> &'static str {
        match self.found.kind {
            Kind::Lvpipe(_) => "sha256 verified",
            Kind::Ranges { .. } | Kind::Whole { .. } => "the server has no digests to verify it by",
        }
    }

    /// Pulls it into `target`, and finishes the target.
    ///
    /// # Errors
    /// What ended the run. The target is not finished then.
    pub fn pull(self, target: Arc<dyn Target>, pulling: Pulling) -> Result<()> {
        let Pulling { receiving, connections, retry_for, notice } = pulling;
        let Remote { site, found: Found { url, kind } } = self;
        let has_token = site.token.is_some() && url.is_same_origin(&site.named);
        let (map, most_bytes, most_cells, fetches): (_, _, _, Vec<Box<dyn Fetch>>) = match kind {
            Kind::Whole { size, version } => {
                let said = move |text: &str| notice(text);
                let (line, of) = (Line::new(&site), (size, version));
                let whole = Whole::new(line, url, of, retry_for, Box::new(said), site.stop.clone());
                return gather_stream(whole, target, receiving).map(drop);
            }
            Kind::Lvpipe(volume) => {
                let one = || Batches {
                    line: Line::new(&site),
                    url: url.clone(),
                    version: Version::Etag(volume.etag.clone()),
                    size: volume.map.size(),
                    part_size: volume.part_size,
                    has_token,
                };
                let fetches = (0..connections).map(|_| Box::new(one()) as Box<dyn Fetch>).collect();
                (volume.map.clone(), batches::MOST_BYTES, batches::MOST_CELLS, fetches)
            }
            Kind::Ranges { size, version } => {
                let one = || Ranges {
                    line: Line::new(&site),
                    url: url.clone(),
                    version: version.clone(),
                    size,
                    has_token,
                };
                let fetches = (0..connections).map(|_| Box::new(one()) as Box<dyn Fetch>).collect();
                (Arc::new(UsedMap::everything(size)), ranges::MOST_BYTES, u64::MAX, fetches)
            }
        };
        gather(fetches, target, Gathering { receiving, map, most_bytes, most_cells, retry_for, notice })
    }
}
