//! What is looked at. Each check reads, and changes nothing.

use std::ffi::OsStr;

use nix::sys::resource::{Resource, getrlimit};

use super::host::Host;
use super::{State, device_mapper};
use crate::byte_size::ByteSize;
use crate::command;

/// What was found.
#[derive(Debug, serde::Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) what: &'static str,
    /// The features that need it.
    pub(super) used_for: &'static str,
    /// In words.
    pub(super) found: String,
    pub(super) state: State,
    /// The command that gives it, where it is not as it should be.
    pub(super) way_out: Option<String>,
}

/// Descriptors for 64 links, their sockets, and some more.
const DESCRIPTORS: u64 = 1024;
/// A pipe as wide as an ordinary user may have it by default.
const WIDE_PIPE: u64 = 1 << 20;
/// What a connection needs to fill 1 Gbit/s over 100 ms: 12.5 MB, and the kernel counts its own part of it.
const WINDOW: u64 = 16 << 20;

/// All checks.
pub(super) fn all(host: &Host) -> Vec<Finding> {
    let mut findings = vec![
        device_mapper::rights(host),
        program("dmsetup", "dmsetup", State::Missing, "thin LVs: map, send, recv, migrate, replicate"),
        program("lvs", "lvm2", State::Missing, "LVs: vg/lv as a source or target"),
        device_mapper::node(host),
        device_mapper::target(
            host,
            &device_mapper::targets(),
            "thin-pool",
            "dm_thin_pool",
            "thin LVs: map, send, recv, migrate, replicate",
        ),
        program("ssh", "openssh-client", State::Missing, "ssh:// as a receiver"),
        program("man", "man-db", State::Limited, "lvpipe man"),
        descriptors(),
        pipe_size(host),
    ];
    findings.extend(["tcp_rmem", "tcp_wmem"].map(|name| tcp_buffer(host, name)));
    findings.push(window_scaling(host));
    findings.push(processor(host, &["aes"], "AES in the processor", "encrypted links"));
    let used_for = "BLAKE3, the digest of parts; without, --digest sha256 may be the faster one";
    findings.push(processor(host, &["avx2", "asimd"], "vectors in the processor", used_for));
    let used_for = "SHA-256: the digest of parts over HTTP, and of --digest sha256";
    findings.push(processor(host, &["sha_ni", "sha2"], "SHA-256 in the processor", used_for));
    findings.push(huge_pages(host));
    findings
}

/// A finding; `way_out` counts only where it is not as it should be.
pub(super) fn finding(
    what: &'static str,
    used_for: &'static str,
    found: impl Into<String>,
    state: State,
    way_out: &str,
) -> Finding {
    let way_out = (state != State::Ok).then(|| way_out.to_string());
    Finding { what, used_for, found: found.into(), state, way_out }
}

/// Fine, or this.
pub(super) fn ok_or(fine: bool, otherwise: State) -> State {
    if fine { State::Ok } else { otherwise }
}

fn program(name: &'static str, package: &str, without: State, used_for: &'static str) -> Finding {
    let found = command::is_installed(OsStr::new(name));
    let words = if found { "installed" } else { "not installed" };
    finding(name, used_for, words, ok_or(found, without), &format!("apt install {package}"))
}

/// Sets it now, and at each boot from now on: sysctl.d(5).
fn sysctl(name: &str, value: impl std::fmt::Display) -> String {
    format!("sysctl -w {name}='{value}'; for good: echo '{name} = {value}' >> /etc/sysctl.d/60-lvpipe.conf")
}

fn descriptors() -> Finding {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    // What links there are by default do with some dozens.
    let state = ok_or(soft >= DESCRIPTORS, State::Limited);
    let used_for = "many links at once";
    let way_out = match hard >= DESCRIPTORS {
        true => format!("ulimit -n {DESCRIPTORS}"),
        false => format!("LimitNOFILE={DESCRIPTORS} in the unit, or nofile in /etc/security/limits.conf"),
    };
    finding("open files", used_for, format!("at most {soft}"), state, &way_out)
}

fn pipe_size(host: &Host) -> Finding {
    let size = host.number("/proc/sys/fs/pipe-max-size", 0);
    let used_for = "pipes, in mbuffer's place above all";
    let found = size.map_or("unknown".into(), |size| format!("at most {}", ByteSize(size)));
    let state = ok_or(size.is_none_or(|size| size >= WIDE_PIPE), State::Limited);
    finding("pipe size", used_for, found, state, &sysctl("fs.pipe-max-size", WIDE_PIPE))
}

/// tcp(7): the third number is the most that a connection's buffer grows to.
fn tcp_buffer(host: &Host, name: &'static str) -> Finding {
    let most = host.number(&format!("/proc/sys/net/ipv4/{name}"), 2);
    let (what, used_for) = match name {
        "tcp_rmem" => ("TCP receive buffer", "links over a long way: one connection's rate is buffer / round trip"),
        _ => ("TCP send buffer", "links over a long way: one connection's rate is buffer / round trip"),
    };
    let found = most.map_or("unknown".into(), |most| format!("grows to {}", ByteSize(most)));
    let state = ok_or(most.is_none_or(|most| most >= WINDOW), State::Limited);
    let first = if name == "tcp_rmem" { "4096 131072" } else { "4096 16384" };
    finding(
        what,
        used_for,
        found,
        state,
        &format!("{}; or more links, -n 8", sysctl(&format!("net.ipv4.{name}"), format_args!("{first} {WINDOW}"))),
    )
}

fn window_scaling(host: &Host) -> Finding {
    let on = host.number("/proc/sys/net/ipv4/tcp_window_scaling", 0) != Some(0);
    let found = if on { "on" } else { "off: at most 64 KiB are on their way" };
    let state = ok_or(on, State::Limited);
    finding("TCP window scaling", "links", found, state, &sysctl("net.ipv4.tcp_window_scaling", 1))
}

/// Whether it has one of these: x86 calls them flags, Arm features, by other names.
fn processor(host: &Host, names: &[&str], what: &'static str, used_for: &'static str) -> Finding {
    let info = host.text("/proc/cpuinfo").unwrap_or_default();
    let wanted = |word: &str| names.contains(&word);
    let lines = info.lines().filter(|line| line.starts_with("flags") || line.starts_with("Features"));
    let has = lines.flat_map(str::split_whitespace).any(wanted);
    let way_out = "in a virtual machine, a processor model that has it (host-passthrough)";
    finding(what, used_for, if has { "yes" } else { "no" }, ok_or(has, State::Limited), way_out)
}

fn huge_pages(host: &Host) -> Finding {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let text = host.text(path).unwrap_or_default();
    let has = text.contains("[madvise]") || text.contains("[always]");
    let found = if has { "on request" } else { "never" };
    finding(
        "huge pages",
        "the buffer in mbuffer's place",
        found,
        ok_or(has, State::Limited),
        &format!("echo madvise > {path}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_it_should_be_has_a_way_out_and_only_that() {
        for found in all(&Host::this()) {
            assert_eq!(found.state == State::Ok, found.way_out.is_none(), "{found:?}");
            assert!(!found.used_for.is_empty() && !found.found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_names_its_package() {
        let found = program("no-such-program-anywhere", "no-such-package", State::Missing, "nothing");
        assert_eq!((found.state, found.way_out.as_deref()), (State::Missing, Some("apt install no-such-package")));
    }

    #[test]
    fn what_is_set_stays_set() {
        let way_out = sysctl("net.ipv4.tcp_rmem", "4096 131072 16777216");
        let [now, lasting] = way_out.split("; for good: ").collect::<Vec<_>>()[..] else { panic!("{way_out}") };
        assert_eq!(now, "sysctl -w net.ipv4.tcp_rmem='4096 131072 16777216'");
        let file = "/etc/sysctl.d/60-lvpipe.conf";
        assert_eq!(lasting, format!("echo 'net.ipv4.tcp_rmem = 4096 131072 16777216' >> {file}"));
    }
}
