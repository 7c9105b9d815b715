//! Addresses as people type them: where a sender dials, where a receiver listens.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crossbeam_channel::bounded;

use crate::error::{Error, Result};
use crate::stop::Stop;

/// A receiver's address: `host:port`, `192.0.2.1:port` or `[2001:db8::1]:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// A host (a name, or a literal without brackets) and a port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Address { host: host.into(), port }
    }

    /// The socket addresses of the name, in the order to try them: as the system prefers, but the families take
    /// turns, so that a network where one of them leads nowhere costs one attempt and not all.
    ///
    /// # Errors
    /// When the name has no address, and when the run ends meanwhile.
    pub fn resolve(&self, stop: &Stop) -> Result<Vec<SocketAddr>> {
        let failed = |error: &io::Error| {
            let way_out = "check the name's spelling, and that this host can resolve it: getent ahosts NAME";
            Error::io("cannot find the host", self, error).way_out(way_out)
        };
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        // getaddrinfo(3) may take long and cannot be interrupted: a thread of its own is left behind then.
        let (to, from) = bounded(1);
        let (host, port) = (self.host.clone(), self.port);
        std::thread::Builder::new()
            .name("resolve".into())
            .spawn(move || to.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)))
            .map_err(|e| failed(&e))?;
        match stop.recv(&from) {
            Ok(Some(Ok(found))) if !found.is_empty() => Ok(families_in_turn(found)),
            Ok(Some(Err(error))) => Err(failed(&error)),
            Ok(_) => Err(failed(&io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
            Err(_) => Err(stop.check().err().unwrap_or_else(|| failed(&io::Error::other("the run has ended")))),
        }
    }
}

/// IPv6 and IPv4 in turn, beginning with the family that comes first, each in its order.
fn families_in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = split(text)?;
        match (host, port) {
            (Some(host), port @ 1..) => Ok(Address { host, port }),
            (Some(_), 0) => Err("port 0 cannot be dialled".into()),
            (None, _) => Err("an address is HOST:PORT, as in storage2:7777 or [2001:db8::1]:7777".into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where a receiver listens: `PORT` (every local address, IPv6 and IPv4), `ADDR:PORT`, `[v6]:PORT`. Port 0 is any
/// free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    host: Option<String>,
    ports: RangeInclusive<u16>,
}

impl ListenSpec {
    /// On every local address, at the first free port of these.
    pub fn ports(ports: PortRange) -> Self {
        ListenSpec { host: None, ports: ports.0 }
    }

    /// At the first free port of these, instead of the one that was given.
    #[must_use]
    pub fn with_ports(mut self, ports: PortRange) -> Self {
        self.ports = ports.0;
        self
    }

    pub(super) fn candidates(&self) -> RangeInclusive<u16> {
        self.ports.clone()
    }

    /// Where to bind, by preference: all of one of these lists.
    pub(super) fn places(&self, port: u16) -> io::Result<Vec<Vec<SocketAddr>>> {
        match &self.host {
            // The first is for both families; the second is for a kernel without IPv6.
            None => {
                let everywhere: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
                Ok(everywhere.map(|ip| vec![SocketAddr::new(ip, port)]).into())
            }
            Some(host) => {
                let mut found: Vec<_> = (host.as_str(), port).to_socket_addrs()?.collect();
                found.dedup();
                Ok(vec![found])
            }
        }
    }
}

impl FromStr for ListenSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = split(text)?;
        Ok(ListenSpec { host, ports: port..=port })
    }
}

impl fmt::Display for ListenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.ports.start(), self.ports.end());
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:")?,
            Some(host) => write!(f, "{host}:")?,
            None => f.write_str("port ")?,
        }
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

/// `A-B`: the ports that a firewall lets through. Neither is 0, and A is not after B.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(RangeInclusive<u16>);

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once('-').unwrap_or((text, text));
        match (range.0.parse(), range.1.parse()) {
            (Ok(first @ 1..), Ok(last)) if first <= last => Ok(PortRange(first..=last)),
            _ => Err("a port range is FIRST-LAST, from 1 to 65535, as in 7777-7799".into()),
        }
    }
}

/// Host and port; a port alone has no host. Brackets come off.
fn split(text: &str) -> Result<(Option<String>, u16), String> {
    let number = |port: &str| {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { port.parse().ok() } else { None };
        number.ok_or_else(|| format!("'{port}' is not a port: a number up to 65535"))
    };
    let Some((host, port)) = text.rsplit_once(':') else { return Ok((None, number(text)?)) };
    match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
        Some(Some(host)) if !host.is_empty() => Ok((Some(host.into()), number(port)?)),
        None if host.is_empty() => Err(format!("no host before ':{port}'")),
        None if !host.contains([':', ']']) => Ok((Some(host.into()), number(port)?)),
        _ => Err("an IPv6 address stands in brackets: [2001:db8::1]:7777".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["host:1", "192.0.2.1:65535", "[2001:db8::1]:7777", "[fe80::1%eth0]:7"] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let rows =
            ["", "host", "7777", ":7777", "host:", "host:0", "host:65536", "host:-1", "::1:7777", "[::1]7777"];
        for text in rows.into_iter().chain(["[]:1", "[::1:7", "::1]:7", "h:+7", "[h]x:1"]) {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        let bare = "::1:7777".parse::<Address>().expect_err("ambiguous");
        assert!(bare.contains("brackets"), "{bare}");
    }

    #[test]
    fn places_to_listen_are_read() {
        let rows = [
            ("7777", "port 7777"),
            ("0", "port 0"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("localhost:1", "localhost:1"),
        ];
        for (text, shown) in rows {
            let spec: ListenSpec = text.parse().expect(text);
            assert_eq!(spec.to_string(), shown);
        }
        for text in ["", "x", "[::1]", "::1", "1:", "70000", "-1"] {
            assert!(text.parse::<ListenSpec>().is_err(), "{text:?}");
        }
        let range: PortRange = "7777-7779".parse().expect("a range");
        assert_eq!(ListenSpec::ports(range).to_string(), "port 7777-7779");
        for text in ["", "7779-7777", "0-5", "1-", "-", "1-70000", "a-b"] {
            assert!(text.parse::<PortRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn families_take_turns() {
        let parse =
            |texts: &[&str]| texts.iter().map(|t| t.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let found = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(families_in_turn(found), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        assert_eq!(families_in_turn(parse(&["1.1.1.1:1"])), parse(&["1.1.1.1:1"]));
    }

    #[test]
    fn a_name_without_addresses_is_an_error_with_a_way_out() {
        let error = Address::new("no-such-host.invalid", 1).resolve(&Stop::new()).expect_err("no such host");
        assert!(error.to_string().contains("getent"), "{error}");
        assert!(!Address::new("localhost", 1).resolve(&Stop::new()).expect("it is in /etc/hosts").is_empty());
    }

    #[test]
    fn a_run_that_has_ended_does_not_wait_for_a_name() {
        let stop = Stop::new();
        stop.fail(Error::signal(2));
        // Either may be first: the name is looked up on another thread.
        let resolved = Address::new("no-such-host.invalid", 1).resolve(&stop);
        assert!(resolved.is_err());
    }
}
