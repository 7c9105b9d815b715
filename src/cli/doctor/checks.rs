//! What is looked at. Each check reads, and changes nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::geteuid;

use super::State;
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
pub(super) fn all() -> Vec<Finding> {
    let mut findings = vec![
        rights(),
        program("dmsetup", "dmsetup", State::Missing, "thin LVs: map, send, recv, migrate, replicate"),
        program("lvs", "lvm2", State::Missing, "LVs: vg/lv as a source or target"),
        device_mapper(),
        target("thin-pool", "dm-thin-pool", "thin LVs: map, send, recv, migrate, replicate"),
        program("ssh", "openssh-client", State::Missing, "ssh:// as a receiver"),
        program("man", "man-db", State::Limited, "lvpipe man"),
        descriptors(),
        pipe_size(),
    ];
    findings.extend(["tcp_rmem", "tcp_wmem"].map(tcp_buffer));
    findings.push(window_scaling());
    findings.push(processor("aes", "AES in the processor", "encrypted links"));
    findings.push(processor(
        "sha_ni",
        "SHA-256 in the processor",
        "the digest of parts; --digest blake3 does not need it",
    ));
    findings.push(huge_pages());
    findings
}

fn finding(
    what: &'static str,
    used_for: &'static str,
    found: impl Into<String>,
    state: State,
    way_out: &str,
) -> Finding {
    let way_out = (state != State::Ok).then(|| way_out.to_string());
    Finding { what, used_for, found: found.into(), state, way_out }
}

fn ok_or(fine: bool, otherwise: State) -> State {
    if fine { State::Ok } else { otherwise }
}

fn rights() -> Finding {
    let is_root = geteuid().is_root();
    let found = if is_root { "root" } else { "not root" };
    finding(
        "rights",
        "LVs: device-mapper and LVM want root",
        found,
        ok_or(is_root, State::Missing),
        "sudo lvpipe ...",
    )
}

fn program(name: &'static str, package: &str, without: State, used_for: &'static str) -> Finding {
    let found = command::is_installed(OsStr::new(name));
    let words = if found { "installed" } else { "not installed" };
    finding(name, used_for, words, ok_or(found, without), &format!("apt install {package}"))
}

fn device_mapper() -> Finding {
    let there = Path::new("/dev/mapper/control").exists();
    let found = if there { "/dev/mapper/control is there" } else { "there is no /dev/mapper/control" };
    let state = ok_or(there, State::Missing);
    finding(
        "device-mapper",
        "LVs as a source or target",
        found,
        state,
        "modprobe dm-mod; in a container, pass /dev/mapper in",
    )
}

/// A target of device-mapper: loaded, or a module that device-mapper loads when it needs it.
fn target(name: &'static str, module: &str, used_for: &'static str) -> Finding {
    let targets = command::run(OsStr::new("dmsetup"), "dmsetup", &["targets"]).unwrap_or_default();
    let loaded = targets.lines().any(|line| line.split_whitespace().next() == Some(name));
    let can_be = command::run(OsStr::new("modprobe"), "kmod", &["--dry-run", "--quiet", module]).is_ok();
    let found = match (loaded, can_be) {
        (true, _) => "loaded",
        (false, true) => "not loaded, the kernel has it",
        (false, false) => "neither loaded nor among the kernel's modules",
    };
    let state = ok_or(loaded || can_be, State::Missing);
    finding(name, used_for, found, state, &format!("a kernel with {module}; then modprobe {module}"))
}

fn descriptors() -> Finding {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    let state = ok_or(soft >= DESCRIPTORS, State::Missing);
    let used_for = "many links at once";
    let way_out = match hard >= DESCRIPTORS {
        true => format!("ulimit -n {DESCRIPTORS}"),
        false => format!("LimitNOFILE={DESCRIPTORS} in the unit, or nofile in /etc/security/limits.conf"),
    };
    finding("open files", used_for, format!("at most {soft}"), state, &way_out)
}

fn pipe_size() -> Finding {
    let size = number("/proc/sys/fs/pipe-max-size", 0);
    let used_for = "pipes, in mbuffer's place above all";
    let found = size.map_or("unknown".into(), |size| format!("at most {}", ByteSize(size)));
    let state = ok_or(size.is_none_or(|size| size >= WIDE_PIPE), State::Limited);
    finding("pipe size", used_for, found, state, &format!("sysctl -w fs.pipe-max-size={WIDE_PIPE}"))
}

/// tcp(7): the third number is the most that a connection's buffer grows to.
fn tcp_buffer(name: &'static str) -> Finding {
    let most = number(&format!("/proc/sys/net/ipv4/{name}"), 2);
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
        &format!("sysctl -w net.ipv4.{name}='{first} {WINDOW}'; or more links, -n 8"),
    )
}

fn window_scaling() -> Finding {
    let on = number("/proc/sys/net/ipv4/tcp_window_scaling", 0) != Some(0);
    let found = if on { "on" } else { "off: at most 64 KiB are on their way" };
    let state = ok_or(on, State::Limited);
    finding("TCP window scaling", "links", found, state, "sysctl -w net.ipv4.tcp_window_scaling=1")
}

fn processor(flag: &str, what: &'static str, used_for: &'static str) -> Finding {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // x86 calls them flags, Arm features, and SHA-256 `sha2`.
    let wanted = |word: &str| word == flag || (flag == "sha_ni" && word == "sha2");
    let lines = info.lines().filter(|line| line.starts_with("flags") || line.starts_with("Features"));
    let has = lines.flat_map(str::split_whitespace).any(wanted);
    let way_out = "in a virtual machine, a processor model that has it (host-passthrough)";
    finding(what, used_for, if has { "yes" } else { "no" }, ok_or(has, State::Limited), way_out)
}

fn huge_pages() -> Finding {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let text = fs::read_to_string(path).unwrap_or_default();
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

/// The number at this place of a file's words.
fn number(path: &str, index: usize) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_it_should_be_has_a_way_out_and_only_that() {
        for found in all() {
            assert_eq!(found.state == State::Ok, found.way_out.is_none(), "{found:?}");
            assert!(!found.used_for.is_empty() && !found.found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_names_its_package() {
        let found = program("no-such-program-anywhere", "no-such-package", State::Missing, "nothing");
        assert_eq!((found.state, found.way_out.as_deref()), (State::Missing, Some("apt install no-such-package")));
    }
}
