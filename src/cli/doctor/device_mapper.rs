//! Whether this process can use device-mapper: its rights, its node, its targets. In a container each of these can be
//! there without the others.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;

use super::State;
use super::checks::{Finding, finding, ok_or};
use super::host::{Host, Module};
use crate::command;
use crate::error::Result;

/// Through which device-mapper is asked.
const NODE: &str = "/dev/mapper/control";

/// Root, with the right to administer, and not only in a namespace of users.
pub(super) fn rights(host: &Host) -> Finding {
    let container =
        "run it on the host; in a container, podman or docker run --privileged, started by the host's root";
    let (found, state, way_out) = if !host.is_root() {
        ("not root", State::Missing, "sudo lvpipe ...")
    } else if host.is_in_user_namespace() {
        ("root of a user namespace only, not the host's", State::Missing, container)
    } else if !host.may_administer() {
        ("root without CAP_SYS_ADMIN", State::Missing, container)
    } else {
        ("root", State::Ok, "")
    };
    finding("rights", "LVs: device-mapper and LVM want root", found, state, way_out)
}

/// Its node, opened as dmsetup and LVM open it: the node is made at boot, whether there is a driver or not.
pub(super) fn node(host: &Host) -> Finding {
    let opened = OpenOptions::new().read(true).write(true).open(host.path(NODE));
    let (found, way_out) = match &opened {
        Ok(_) => (format!("{NODE} can be opened"), ""),
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound => {
                (format!("there is no {NODE}"), "modprobe dm-mod; in a container, pass /dev/mapper in")
            }
            io::ErrorKind::PermissionDenied => (
                format!("{NODE} cannot be opened: {}", reason(e)),
                "sudo lvpipe ...; in a container, --privileged or --device /dev/mapper/control",
            ),
            _ => (format!("{NODE} cannot be opened: {}", reason(e)), "modprobe dm-mod"),
        },
    };
    finding("device-mapper", "LVs as a source or target", found, ok_or(opened.is_ok(), State::Missing), way_out)
}

/// The system's words, without the number behind them.
fn reason(error: &io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_string()
}

/// What dmsetup(8) says of the targets that are loaded.
pub(super) fn targets() -> Result<String> {
    command::run(OsStr::new("dmsetup"), "dmsetup", &["targets"])
}

/// A target: loaded, or a module that device-mapper loads when it needs it. `targets` is what dmsetup says.
///
/// What cannot be told here is not said to be missing: another kernel would be a costly way out of nothing.
pub(super) fn target(
    host: &Host,
    targets: &Result<String>,
    name: &'static str,
    module: &str,
    used_for: &'static str,
) -> Finding {
    let listed = |targets: &String| targets.lines().any(|line| line.split_whitespace().next() == Some(name));
    let known = if targets.as_ref().is_ok_and(listed) { Module::Loaded } else { host.module(module) };
    let (found, state) = match (known, targets) {
        (Module::Loaded, _) => ("loaded".to_string(), State::Ok),
        (Module::Loadable, _) => ("not loaded, the kernel has it".into(), State::Ok),
        (Module::None, _) => ("neither loaded nor among the kernel's modules".into(), State::Missing),
        (Module::Unknown, Ok(_)) => {
            ("not loaded, and there is no list of the kernel's modules".into(), State::Unknown)
        }
        (Module::Unknown, Err(why)) => {
            let why = why.to_string();
            (why.lines().next().unwrap_or("dmsetup failed").to_string(), State::Unknown)
        }
    };
    let way_out = match state {
        State::Unknown => format!("as root, on the host itself: modprobe {module}"),
        _ => format!("modprobe {module}; without such a module: {}", kernel(host)),
    };
    finding(name, used_for, found, state, &way_out)
}

/// How a kernel with all of its modules is had; a command where the distribution is one whose names are known.
fn kernel(host: &Host) -> String {
    let package = match host.distribution().as_deref() {
        Some("debian") => debian_kernel().map(|name| format!("apt install {name}")),
        Some("ubuntu") => Some("apt install linux-modules-extra-$(uname -r), or linux-image-generic".to_string()),
        _ => None,
    };
    match package {
        Some(install) => format!("{install}, and boot its kernel (of a container, its host's)"),
        None => "a kernel of the distribution's that has it (of a container, its host's)".into(),
    }
}

/// Debian's kernel, by Debian's names of the architectures.
fn debian_kernel() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("linux-image-amd64"),
        "aarch64" => Some("linux-image-arm64"),
        "powerpc64" => Some("linux-image-powerpc64le"),
        "s390x" => Some("linux-image-s390x"),
        "riscv64" => Some("linux-image-riscv64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::error::{Error, Status};

    const THIN: &str = "dm_thin_pool";

    /// A host with these files.
    fn host(root: &Path, files: &[(&str, &str)]) -> Host {
        let host = Host::below(root);
        for (name, text) in files {
            let path = host.path(name);
            fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        host
    }

    fn found(files: &[(&str, &str)], check: impl Fn(&Host) -> Finding) -> (State, String, String) {
        let root = tempfile::tempdir().expect("a directory");
        let found = check(&host(root.path(), files));
        (found.state, found.found, found.way_out.unwrap_or_default())
    }

    fn process(uid: u32, capabilities: &str, map: &str) -> (State, String, String) {
        let status = format!("Name:\tlvpipe\nUid:\t1000\t{uid}\t0\t0\nCapPrm:\t0\nCapEff:\t{capabilities}\n");
        found(&[("/proc/self/status", &status), ("/proc/self/uid_map", map)], rights)
    }

    fn thin(files: &[(&str, &str)], targets: Result<String>) -> (State, String, String) {
        found(files, |host| target(host, &targets, "thin-pool", THIN, "thin LVs"))
    }

    fn denied() -> Result<String> {
        Err(Error::new(Status::Io, "dmsetup failed", "targets", "Permission denied"))
    }

    #[test]
    fn only_the_hosts_root_with_all_rights_has_the_rights() {
        let (all, docker, outside) = ("000001ffffffffff", "00000000a80425fb", "         0          0 4294967295\n");
        assert_eq!(process(0, all, outside).0, State::Ok);
        let (state, said, way_out) = process(0, docker, outside);
        assert_eq!((state, said.as_str()), (State::Missing, "root without CAP_SYS_ADMIN"));
        assert!(way_out.contains("--privileged"), "{way_out}");
        let (state, said, _) = process(0, all, "0 100000 65536\n");
        assert_eq!((state, said.as_str()), (State::Missing, "root of a user namespace only, not the host's"));
        let (state, said, way_out) = process(1000, "0000000000000000", outside);
        assert_eq!((state, said.as_str(), way_out.as_str()), (State::Missing, "not root", "sudo lvpipe ..."));
    }

    #[test]
    fn a_node_that_cannot_be_opened_is_not_device_mapper() {
        assert_eq!(found(&[(NODE, "")], node).0, State::Ok);
        let (state, said, _) = found(&[], node);
        assert_eq!((state, said.as_str()), (State::Missing, "there is no /dev/mapper/control"));
        let (state, said, way_out) = found(&[("/dev/mapper/control/file", "")], node);
        assert_eq!((state, way_out.as_str()), (State::Missing, "modprobe dm-mod"));
        assert_eq!(said, "/dev/mapper/control cannot be opened: Is a directory");
    }

    #[test]
    fn a_target_is_found_without_rights_and_without_dmsetup() {
        let release = ("/proc/sys/kernel/osrelease", "6.1.0-9-amd64\n");
        let loaded = ("/sys/module/dm_thin_pool/refcnt", "1");
        assert_eq!(thin(&[loaded], denied()).1, "loaded");
        assert_eq!(thin(&[], Ok("thin-pool        v1.23.0\n".into())).1, "loaded");
        let built_in = ("/lib/modules/6.1.0-9-amd64/modules.builtin", "kernel/drivers/md/dm-thin-pool.ko\n");
        assert_eq!(thin(&[release, built_in], denied()).1, "loaded");
        let module = "kernel/drivers/md/dm-thin-pool.ko.xz: kernel/drivers/md/dm-mod.ko.xz\n";
        let list = "/lib/modules/6.1.0-9-amd64/modules.dep";
        let (state, said, _) = thin(&[release, (list, module)], denied());
        assert_eq!((state, said.as_str()), (State::Ok, "not loaded, the kernel has it"));
        // Only what a module is, not what it needs, is in the kernel.
        let other = "kernel/other.ko: kernel/drivers/md/dm-thin-pool.ko\n";
        assert_eq!(thin(&[release, (list, other)], denied()).0, State::Missing);
    }

    #[test]
    fn what_cannot_be_told_is_not_missing() {
        let (state, said, way_out) = thin(&[], denied());
        assert_eq!((state, said.as_str()), (State::Unknown, "dmsetup failed: targets: Permission denied"));
        assert!(!way_out.contains("apt"), "{way_out}");
        assert_eq!(thin(&[], Ok("linear v1.4.0\n".into())).0, State::Unknown);
    }

    #[test]
    fn a_kernel_is_named_as_the_distribution_names_it() {
        let on = |id: &str| {
            let list = ("/lib/modules/6/modules.dep", "");
            let id = format!("NAME=\"Some\"\nVERSION_ID=\"1\"\nID={id}\n");
            let (state, _, way_out) =
                thin(&[("/proc/sys/kernel/osrelease", "6\n"), list, ("/etc/os-release", &id)], denied());
            assert_eq!(state, State::Missing);
            assert!(way_out.starts_with("modprobe dm_thin_pool; without such a module: "), "{way_out}");
            way_out
        };
        let debian = debian_kernel().expect("an architecture of Debian's");
        assert!(on("debian").contains(&format!("apt install {debian}")), "{}", on("debian"));
        assert!(on("\"ubuntu\"").contains("linux-image-generic"), "{}", on("\"ubuntu\""));
        assert!(!on("fedora").contains("apt"), "{}", on("fedora"));
    }
}
