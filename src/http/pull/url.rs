//! Where a volume is: `http://` and `https://` URLs, and what a redirect's `Location` makes of them (RFC 3986,
//! section 5, as far as these two schemes need it).

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::{PathAndQuery, Scheme};

/// A URL of a resource: scheme, host, port, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    is_https: bool,
    /// As in a `Host` field: a literal IPv6 address in brackets.
    host: String,
    port: u16,
    path: PathAndQuery,
}

impl Url {
    /// Whether it is fetched over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host as it is resolved, and checked against a certificate: without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, given or the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a `Host` field says: without the scheme's own port.
    pub fn authority(&self) -> String {
        let own = if self.is_https { 443 } else { 80 };
        if self.port == own { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Path and query, as in a request's first line.
    pub fn path_and_query(&self) -> &str {
        self.path.as_str()
    }

    /// Whether a secret for one of the two may be told to the other.
    pub fn is_same_origin(&self, other: &Url) -> bool {
        (self.is_https, &self.host, self.port) == (other.is_https, &other.host, other.port)
    }

    /// Whether nothing leaves this host on the way there.
    pub fn is_loopback(&self) -> bool {
        let ip = self.host().parse::<std::net::IpAddr>();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }

    /// A resource below this one: `/vm1` and `parts?first=0` make `/vm1/parts?first=0`. A query of the own one goes.
    ///
    /// # Errors
    /// When that is no path.
    pub fn below(&self, tail: &str) -> Result<Url, String> {
        let path = format!("{}/{tail}", self.path.path().trim_end_matches('/'));
        Ok(Url { path: path.parse().map_err(|_| format!("{path} is no path"))?, ..self.clone() })
    }

    /// What a reference in an answer of this resource means.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub fn join(&self, reference: &str) -> Result<Url, String> {
        let reference = reference.split('#').next().unwrap_or_default();
        if reference.contains("://") {
            return reference.parse();
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return format!("{}://{rest}", self.scheme()).parse();
        }
        let path = match reference.chars().next() {
            None => self.path.as_str().to_owned(),
            Some('/') => without_dots(reference),
            Some('?') => format!("{}{reference}", self.path.path()),
            Some(_) => {
                let directory = self.path.path().rfind('/').map_or("/", |slash| &self.path.path()[..=slash]);
                without_dots(&format!("{directory}{reference}"))
            }
        };
        Ok(Url { path: path.parse().map_err(|_| format!("{reference} is no path"))?, ..self.clone() })
    }

    fn scheme(&self) -> &str {
        if self.is_https { "https" } else { "http" }
    }
}

/// Section 5.2.4: a path without `.` and `..`.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "a URL is http://HOST/PATH or https://HOST:PORT/PATH";
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|_| example.to_string())?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(example.into()),
        };
        let authority = uri.authority().ok_or(example)?;
        if authority.as_str().contains('@') {
            // Not repeated: a password may be in it.
            return Err("a URL that is typed is no place for a password: --token-file FILE".into());
        }
        let host = authority.host().to_ascii_lowercase();
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            Some("") | None => {
                if is_https {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("a port is 1 to 65535")?,
        };
        if host.is_empty() {
            return Err(example.into());
        }
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        Ok(Url { is_https, host, port, path })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        text.parse().expect(text)
    }

    #[test]
    fn urls_as_people_type_them() {
        let full = url("https://Host.example:8080/vm1?x=1#top");
        assert_eq!((full.host(), full.port(), full.path_and_query()), ("host.example", 8080, "/vm1?x=1"));
        assert_eq!(full.to_string(), "https://host.example:8080/vm1?x=1");
        assert_eq!(url("http://h").to_string(), "http://h/");
        assert_eq!(url("https://h:443/a").authority(), "h");
        let six = url("http://[::1]:81/a");
        assert_eq!((six.host(), six.port(), six.authority().as_str()), ("::1", 81, "[::1]:81"));
        assert!(six.is_loopback() && url("http://localhost").is_loopback() && !full.is_loopback());
        for bad in [
            "",
            "host",
            "host/path",
            "ftp://h/",
            "http://",
            "http:///p",
            "http://h:0/",
            "http://h:70000/",
            "https://h h/",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
        let error = "https://me:hunter2@h/".parse::<Url>().expect_err("a password");
        assert!(error.contains("--token-file") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn references_are_resolved_as_the_rfc_has_it() {
        let base = url("http://a/b/c/d?q");
        let rows = [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("", "http://a/b/c/d?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("https://x:8/y", "https://x:8/y"),
            ("g#s", "http://a/b/c/g"),
        ];
        for (reference, expected) in rows {
            assert_eq!(base.join(reference).expect(reference).to_string(), expected, "{reference}");
        }
        assert!(base.join("ftp://x/").is_err() && base.join("a b").is_err());
        assert_eq!(base.below("parts?first=1").expect("a path").to_string(), "http://a/b/c/d/parts?first=1");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let one = url("https://h/a");
        assert!(one.is_same_origin(&url("https://H:443/b")));
        for other in ["http://h/a", "https://h:444/a", "https://g/a"] {
            assert!(!one.is_same_origin(&url(other)), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, reference: String) {
            let _ = text.parse::<Url>();
            let _ = url("http://a/b/c").join(&reference);
            let _ = url("http://a/b/c").below(&reference);
        }
    }
}
