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
        target("thin-pool", "dm_thin_pool", "thin LVs: map, send, recv, migrate, replicate"),
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
    let way_out = format!(
        "modprobe {module}; without such a module: apt install {}, and boot its kernel (of a container, its host's)",
        kernel_package()
    );
    finding(name, used_for, found, state, &way_out)
}

/// Debian's kernel with all of its modules, by Debian's names of the architectures.
fn kernel_package() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux-image-amd64",
        "aarch64" => "linux-image-arm64",
        "powerpc64" => "linux-image-powerpc64le",
        "s390x" => "linux-image-s390x",
        "riscv64" => "linux-image-riscv64",
        _ => "a linux-image of Debian's",
    }
}

/// Sets it now, and at each boot from now on: sysctl.d(5).
fn sysctl(name: &str, value: impl std::fmt::Display) -> String {
    format!("sysctl -w {name}='{value}'; for good: echo '{name} = {value}' >> /etc/sysctl.d/60-lvpipe.conf")
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
    finding("pipe size", used_for, found, state, &sysctl("fs.pipe-max-size", WIDE_PIPE))
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
        &format!("{}; or more links, -n 8", sysctl(&format!("net.ipv4.{name}"), format_args!("{first} {WINDOW}"))),
    )
}

fn window_scaling() -> Finding {
    let on = number("/proc/sys/net/ipv4/tcp_window_scaling", 0) != Some(0);
    let found = if on { "on" } else { "off: at most 64 KiB are on their way" };
    let state = ok_or(on, State::Limited);
    finding("TCP window scaling", "links", found, state, &sysctl("net.ipv4.tcp_window_scaling", 1))
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

    #[test]
    fn a_kernel_without_a_target_is_told_the_module_and_the_package() {
        let found = target("no-such-target", "no_such_module", "nothing");
        assert_eq!(found.state, State::Missing);
        let way_out = found.way_out.expect("it is missing");
        assert!(way_out.starts_with("modprobe no_such_module; "), "{way_out}");
        assert!(way_out.contains(&format!("apt install {}", kernel_package())), "{way_out}");
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
