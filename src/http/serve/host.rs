//! Which names an open server answers to.
//!
//! Where everybody on this host may read, so may a page in a browser on this host, if it gets the browser to take its
//! own name for an address of this host (DNS rebinding). The browser then names the page's host in the request. So a
//! server that is open on loopback answers to addresses, to `localhost` and to this host's own name, and to no other.
//! With a token there is nothing to fear: the page does not have it.

use std::net::IpAddr;

use super::Server;

/// Whether a `Host` field's value is a name of a server that has no token.
pub fn may_be_asked_for(field: &str, server: &Server) -> bool {
    !server.is_loopback || is_local(field, &server.host)
}

fn is_local(field: &str, own: &str) -> bool {
    let name = match field.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, _)) => literal,
        None => field.split_once(':').map_or(field, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let own = own.to_ascii_lowercase();
    let short = own.split('.').next().unwrap_or_default();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || (!name.is_empty() && (name == own || name == short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_this_hosts_names_are_local() {
        for local in
            ["127.0.0.1:8080", "[::1]:8080", "localhost", "LOCALHOST:1", "x.localhost:1", "Vm:80", "vm.lan."]
        {
            assert!(is_local(local, "vm.lan"), "{local}");
        }
        for foreign in ["evil.example:8080", "", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "lan"]
        {
            assert!(!is_local(foreign, "vm.lan"), "{foreign}");
        }
    }
}
