//! Connections as mbuffer makes them: one accepted for `-I`, one made for each `-O`; bare bytes, nothing of our own.
//!
//! Runs on the main thread, while the command line is read: there the options stand that hold for the next
//! connection. Nothing is bounded but by the peer; signals have their default action meanwhile.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::log::Log;
use super::{Fatal, reason};

/// `-4`, `-6`, `-0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// Whatever the name gives.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6; listening, IPv4 peers too.
    V6,
}

/// What holds for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Which protocol.
    pub family: Family,
    /// `--tcpbuffer`, bytes: a smaller buffer is made so large; `None` leaves it to the system.
    pub buffer: Option<usize>,
    /// `--tcptimeo`: a peer that moves nothing for so long is gone; zero means never.
    pub timeout: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { family: Family::Any, buffer: None, timeout: Duration::from_secs(100) }
    }
}

/// Listens at `[host:]port[@interface]`, and returns the first connection from `host`, if one was named.
pub fn accept(address: &str, tuning: Tuning, log: &Log) -> Result<OwnedFd, Fatal> {
    let (address, interface) = match address.split_once('@') {
        Some((address, interface)) => (address, Some(interface)),
        None => (address, None),
    };
    let (host, port) = split(address).unwrap_or(("", address));
    check_port(port, address)?;
    let expected = if host.is_empty() { Vec::new() } else { expected_peers(host, tuning.family)? };
    let listener = listen(port, listening_family(tuning.family, &expected), interface, log)?;
    log.info("listening on socket...");
    loop {
        let accepted = listener.accept();
        let (socket, peer) = match accepted {
            Ok((socket, peer)) => (socket, peer.as_socket()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Fatal::new(format!("could not accept connection: {}", reason(&error)))),
        };
        let ip = peer.map(|peer| peer.ip().to_canonical());
        let shown = ip.map_or_else(|| "unknown".into(), |ip| ip.to_string());
        if !expected.is_empty() && !ip.is_some_and(|ip| expected.contains(&ip)) {
            log.warning(&format!("rejected connection from {shown}"));
            continue;
        }
        let port = peer.map_or(0, |peer| peer.port());
        log.info(&format!("incoming connection from {shown}:{port}"));
        set_timeouts(&socket, tuning);
        if let Some(bytes) = tuning.buffer.filter(|bytes| socket.recv_buffer_size().is_ok_and(|now| now < *bytes)) {
            let _ = socket.set_recv_buffer_size(bytes);
        }
        log.debug("input connection accepted");
        return Ok(socket.into());
    }
}

/// Connects to `host:port`, trying all addresses of the name; the error is said already.
///
/// `Ok(None)`: nobody is there, and the run may go on with other outputs.
pub fn connect(address: &str, tuning: Tuning, log: &Log) -> Result<Option<OwnedFd>, Fatal> {
    let form = "syntax error - target must be given in the form <host>:<port>";
    let (host, port) = split(address).ok_or_else(|| Fatal::new(form))?;
    check_port(port, address)?;
    log.debug(&format!("getting address info for {address}"));
    // An empty host is no name, as with mbuffer: who means this machine says so.
    let resolved = resolve(Some(host), port, tuning.family, false);
    let peers = resolved
        .map_err(|why| Fatal::new(format!("unable to resolve address information for '{address}': {why}")))?;
    for peer in peers {
        match connect_to(peer, tuning) {
            Ok(socket) => {
                log.info(&format!("successfully connected to {address}"));
                return Ok(Some(socket.into()));
            }
            Err(error) => {
                log.warning(&format!("error connecting to tcp/{}: {}", bare(peer), reason(&error)));
            }
        }
    }
    log.error(&format!("unable to connect to {address}"));
    Ok(None)
}

fn connect_to(peer: SocketAddr, tuning: Tuning) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.connect(&SockAddr::from(peer))?;
    // Only now: how long a connection may take to come about is the system's business.
    set_timeouts(&socket, tuning);
    if let Some(bytes) = tuning.buffer.filter(|bytes| socket.send_buffer_size().is_ok_and(|now| now < *bytes)) {
        // The system's limit is smaller then; the copy itself is not touched by it.
        let _ = socket.set_send_buffer_size(bytes);
    }
    Ok(socket)
}

fn set_timeouts(socket: &Socket, tuning: Tuning) {
    let timeout = (!tuning.timeout.is_zero()).then_some(tuning.timeout);
    // A time-out that cannot be set is one that does not come: the copy itself is not touched by it.
    let _ = socket.set_read_timeout(timeout);
    let _ = socket.set_write_timeout(timeout);
}

fn listen(port: &str, family: Family, interface: Option<&str>, log: &Log) -> Result<Socket, Fatal> {
    let unknown =
        |why: String| Fatal::new(format!("unable to get address information for port/service '{port}': {why}"));
    let number = resolve(None, port, Family::Any, true).map_err(unknown)?.first().map_or(0, SocketAddr::port);
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), number);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), number);
    let places = match family {
        Family::Any => vec![v4, v6],
        Family::V4 => vec![v4],
        Family::V6 => vec![v6],
    };
    for place in places {
        match listen_at(place, interface) {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                log.warning(&format!("could not bind to socket for tcp/{}: {}", bare(place), reason(&error)));
            }
        }
    }
    Err(Fatal::new("Unable to initialize network input."))
}

fn listen_at(place: SocketAddr, interface: Option<&str>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if place.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.bind(&SockAddr::from(place))?;
    // One connection is all there will be.
    socket.listen(1)?;
    Ok(socket)
}

/// Address and port, an IPv6 address in brackets and without its interface.
fn bare(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// IPv6 where only that can match the named peer, so that `[::1]:p` works without `-6`.
fn listening_family(family: Family, expected: &[IpAddr]) -> Family {
    if family == Family::Any && !expected.is_empty() && expected.iter().any(IpAddr::is_ipv6) {
        return Family::V6;
    }
    family
}

fn expected_peers(host: &str, family: Family) -> Result<Vec<IpAddr>, Fatal> {
    // Listening on IPv6 lets IPv4 peers in, so a name's IPv4 addresses may match as well.
    let family = if family == Family::V6 { Family::Any } else { family };
    let resolved = resolve(Some(host), "", family, false);
    let found = resolved.map_err(|why| {
        Fatal::new(format!("unable to resolve address information for expected host '{host}': {why}"))
    })?;
    Ok(found.into_iter().map(|peer| peer.ip().to_canonical()).collect())
}

/// Host and port around the last colon; brackets around the host are taken off.
fn split(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host), port))
}

/// Refuses what the C library would take for another port: an empty one, 0, and numbers past 65535.
fn check_port(port: &str, address: &str) -> Result<(), Fatal> {
    // Blanks and a sign before the digits are nothing to it.
    let digits = port.trim_ascii_start();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if number && digits.parse::<u16>().unwrap_or(0) == 0 {
        return Err(Fatal::new(format!(
            "invalid port '{port}' in '{address}': must be 1..65535 or the name of a service"
        )));
    }
    Ok(())
}

/// Addresses of a name, in the order the system prefers; the system's words if there are none.
fn resolve(host: Option<&str>, service: &str, family: Family, passive: bool) -> Result<Vec<SocketAddr>, String> {
    let text = |text: &str| CString::new(text).map_err(|_| "Name or service not known".to_owned());
    let host = host.map(text).transpose()?;
    let service = if service.is_empty() { None } else { Some(text(service)?) };
    // SAFETY: addrinfo is plain data, for which zeros mean "no preference".
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_flags = if passive { libc::AI_PASSIVE } else { 0 };
    hints.ai_family = match family {
        Family::Any => libc::AF_UNSPEC,
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    let mut list = std::ptr::null_mut();
    // SAFETY: the strings are NUL-terminated or null, and live until the call returns; `list` is written by it.
    let code = unsafe { libc::getaddrinfo(pointer(&host), pointer(&service), &raw const hints, &raw mut list) };
    if code != 0 {
        // SAFETY: gai_strerror returns a static, NUL-terminated string for every code.
        return Err(unsafe { CStr::from_ptr(libc::gai_strerror(code)) }.to_string_lossy().into_owned());
    }
    let mut found = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: getaddrinfo succeeded, so each entry up to the null one is valid until freeaddrinfo.
        let info = unsafe { &*entry };
        found.extend(address_of(info));
        entry = info.ai_next;
    }
    // SAFETY: `list` came from getaddrinfo and is freed once; `found` holds copies.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

fn address_of(info: &libc::addrinfo) -> Option<SocketAddr> {
    match info.ai_family {
        libc::AF_INET if !info.ai_addr.is_null() => {
            // SAFETY: for AF_INET the C library points ai_addr at a sockaddr_in.
            let address = unsafe { &*info.ai_addr.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 if !info.ai_addr.is_null() => {
            // SAFETY: for AF_INET6 the C library points ai_addr at a sockaddr_in6.
            let address = unsafe { &*info.ai_addr.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let (port, flow) = (u16::from_be(address.sin6_port), address.sin6_flowinfo);
            Some(SocketAddr::V6(std::net::SocketAddrV6::new(ip, port, flow, address.sin6_scope_id)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_colon_splits_and_brackets_come_off() {
        let rows = [
            ("h:1", Some(("h", "1"))),
            ("[::1]:80", Some(("::1", "80"))),
            ("::1:80", Some(("::1", "80"))),
            ("[127.0.0.1]:9", Some(("127.0.0.1", "9"))),
            (":9", Some(("", "9"))),
            ("9", None),
        ];
        for (address, expected) in rows {
            assert_eq!(split(address), expected, "{address}");
        }
    }

    #[test]
    fn ports_that_the_c_library_would_bend_are_refused() {
        for port in ["", "0", "65536", "99999999999", "+0", " 70000", " "] {
            assert!(check_port(port, "x").is_err(), "{port}");
        }
        for port in ["1", "65535", "http", "+80", " 80"] {
            assert!(check_port(port, "x").is_ok(), "{port}");
        }
    }

    #[test]
    fn names_and_literals_resolve() {
        let found = resolve(Some("127.0.0.1"), "8000", Family::Any, false).expect("a literal");
        assert_eq!(found, ["127.0.0.1:8000".parse().expect("an address")]);
        let found = resolve(Some("::1"), "8000", Family::V6, false).expect("a literal");
        assert_eq!(found, ["[::1]:8000".parse().expect("an address")]);
        assert!(resolve(Some("no such name"), "8000", Family::Any, false).is_err());
    }
}
