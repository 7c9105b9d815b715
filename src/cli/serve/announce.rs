//! What a server prints when it starts: where its volumes are, and what clients have to be given.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use crate::byte_size::ByteSize;
use crate::http::serve::{Fingerprint, FoundToken, Volume, encode};

/// All of it.
pub struct Announcement<'a> {
    pub volumes: &'a [Volume],
    pub addresses: &'a [SocketAddr],
    pub host: &'a str,
    /// With TLS: of the certificate, and whether it was given.
    pub fingerprint: Option<Fingerprint>,
    pub is_given: bool,
    pub token: Option<&'a FoundToken>,
    pub token_file: Option<&'a Path>,
}

impl Announcement<'_> {
    /// `https://host:port`.
    fn base(&self) -> String {
        let scheme = if self.fingerprint.is_some() { "https" } else { "http" };
        let first = self.addresses.first();
        let host = match first.filter(|address| !address.ip().is_unspecified()) {
            Some(address) => address.ip().to_string(),
            None => self.host.to_string(),
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("{scheme}://{host}:{}", first.map_or(0, |address| address.port()))
    }

    /// The command for the other side.
    fn command(&self, url: &str) -> String {
        let token = match (self.token, self.token_file) {
            (Some(FoundToken::New(token)), _) => format!("LVPIPE_TOKEN={} ", token.text()),
            _ => String::new(),
        };
        let file = match (self.token, self.token_file) {
            (Some(FoundToken::Known(_) | FoundToken::Written(_)), Some(_)) => " --token-file FILE",
            _ => "",
        };
        let fingerprint = match self.fingerprint {
            // Whoever vouches for a certificate that was given may be one whom the other side trusts; it need not.
            Some(fingerprint) => format!(" --fingerprint {fingerprint}"),
            // Nothing that would have to be kept from others is sent.
            None => String::new(),
        };
        format!("{token}lvpipe pull {url} TARGET{fingerprint}{file}")
    }
}

impl fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let base = self.base();
        writeln!(f, "lvpipe: serving on {}: {base}/", shown.join(" and "))?;
        for volume in self.volumes {
            let about = &volume.about;
            let (used, size) = (ByteSize(about.map.used_bytes()), ByteSize(about.map.size()));
            let source = about.lineage.source.as_deref().unwrap_or_default();
            writeln!(f, "  {base}/{}: {source}, {used} used of {size}", encode(&about.volume))?;
        }
        if let Some(fingerprint) = self.fingerprint {
            let whose = if self.is_given { "" } else { ", made for this run" };
            writeln!(f, "fingerprint of the certificate{whose}:\n  {fingerprint}")?;
        }
        match (self.token, self.token_file) {
            (Some(FoundToken::New(token)), _) => writeln!(f, "token of this run:\n  {}", token.text())?,
            (Some(FoundToken::Written(_)), Some(path)) => {
                writeln!(f, "the token was written to {}; the other side needs a copy of it", path.display())?;
            }
            (Some(_), Some(path)) => writeln!(f, "the token is that in {}", path.display())?,
            (Some(_), None) => writeln!(f, "the token is that in LVPIPE_TOKEN")?,
            (None, _) => writeln!(f, "not encrypted, and whoever can connect may read")?,
        }
        writeln!(f, "on the other side:")?;
        self.volumes.iter().try_for_each(|volume| {
            writeln!(f, "  {}", self.command(&format!("{base}/{}", encode(&volume.about.volume))))
        })
    }
}
