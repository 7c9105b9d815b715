//! What speaks at the other end when it is not lvpipe, or not in the way that was expected, by its first bytes.

/// How many first bytes tell.
pub(super) const SAMPLE: usize = 8;

/// Known beginnings, with what is said of them.
const BEGINNINGS: [(&[u8], &str); 8] = [
    (b"GET ", "it sent an HTTP request"),
    (b"POST", "it sent an HTTP request"),
    (b"HEAD", "it sent an HTTP request"),
    (b"PRI *", "it sent an HTTP request"),
    (b"HTTP", "it is an HTTP server"),
    (b"SSH-", "it speaks ssh"),
    (b"\x16\x03", "it speaks TLS, this side does not (--insecure)"),
    (b"\x15\x03", "it speaks TLS, this side does not (--insecure)"),
];

/// Why these bytes do not begin a prelude, if they do not. Few bytes are judged by what is there.
pub(super) fn instead_of_prelude(first: &[u8]) -> Option<&'static str> {
    const PRELUDE: &[u8] = b"\x89LVP\r\n\x1a\n";
    let own = if first.len() < PRELUDE.len() { PRELUDE.starts_with(first) } else { first.starts_with(PRELUDE) };
    if own { None } else { Some(name(first).unwrap_or("what it sent is no prelude")) }
}

fn name(first: &[u8]) -> Option<&'static str> {
    BEGINNINGS.iter().find(|(beginning, _)| first.starts_with(beginning)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_named() {
        assert_eq!(instead_of_prelude(b"GET / HT"), Some("it sent an HTTP request"));
        assert_eq!(instead_of_prelude(b"\x16\x03\x01\x02\0\x01\0\x01"), Some(BEGINNINGS[6].1));
        assert_eq!(instead_of_prelude(b"\0\0\0\0"), Some("what it sent is no prelude"));
        assert_eq!(instead_of_prelude(b"\x89LVQ"), Some("what it sent is no prelude"));
        for own in [&b"\x89LVP\r\n\x1a\n"[..], b"\x89LVP\r\n\x1a\n\0\0", b"\x89L", b""] {
            assert_eq!(instead_of_prelude(own), None);
        }
    }
}
