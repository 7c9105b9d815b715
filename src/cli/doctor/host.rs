//! The files that tell of this host, below a root directory: `/`, and in tests one that is made up.
//!
//! Nothing but reading: proc(5), sysfs(5), os-release(5), and the lists in `/lib/modules` that depmod(8) writes.

use std::fs;
use std::path::PathBuf;

/// Where a host's files are.
#[derive(Debug)]
pub(super) struct Host {
    root: PathBuf,
}

/// What a module is to the kernel that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Module {
    /// It is in there: loaded or built in.
    Loaded,
    /// It can be loaded.
    Loadable,
    /// Its lists name no such module.
    None,
    /// There are no lists, as in a container, which has no `/lib/modules`.
    Unknown,
}

/// `CAP_SYS_ADMIN`'s bit: linux/capability.h.
const SYS_ADMIN: u32 = 21;

impl Host {
    /// The host that this runs on.
    pub(super) fn this() -> Self {
        Host { root: "/".into() }
    }

    /// A host whose files are below this directory.
    #[cfg(test)]
    pub(super) fn below(root: &std::path::Path) -> Self {
        Host { root: root.into() }
    }

    /// Where a file of the host's, named from its root, is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name.trim_start_matches('/'))
    }

    /// What a file says, if it can be read.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// The number at this place of a file's words.
    pub(super) fn number(&self, name: &str, index: usize) -> Option<u64> {
        self.text(name)?.split_whitespace().nth(index)?.parse().ok()
    }

    /// A field of this process's in proc_pid_status(5).
    fn status(&self, field: &str) -> Option<String> {
        let text = self.text("/proc/self/status")?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(value.trim().to_string())
    }

    /// Whether the effective user is 0, in whatever user namespace.
    pub(super) fn is_root(&self) -> bool {
        self.status("Uid").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
    }

    /// Whether this process has `CAP_SYS_ADMIN`.
    pub(super) fn may_administer(&self) -> bool {
        let set = self.status("CapEff").and_then(|set| u64::from_str_radix(&set, 16).ok());
        set.is_some_and(|set| set & (1 << SYS_ADMIN) != 0)
    }

    /// Whether user 0 is some other user outside: user_namespaces(7). The kernel then asks for rights out there. A
    /// kernel without such namespaces has no such file.
    pub(super) fn is_in_user_namespace(&self) -> bool {
        let map = self.text("/proc/self/uid_map");
        map.is_some_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
    }

    /// What the kernel that runs knows of a module, which is named with underscores.
    pub(super) fn module(&self, name: &str) -> Module {
        if self.path(&format!("/sys/module/{name}")).exists() {
            return Module::Loaded;
        }
        let release = self.text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let list = |list: &str| self.text(&format!("/lib/modules/{}/{list}", release.trim()));
        let names = |list: &str| list.lines().any(|line| module_of(line) == name);
        if list("modules.builtin").is_some_and(|list| names(&list)) {
            return Module::Loaded;
        }
        match list("modules.dep") {
            Some(list) if names(&list) => Module::Loadable,
            Some(_) => Module::None,
            None => Module::Unknown,
        }
    }

    /// What the distribution calls itself: `ID` of os-release(5).
    pub(super) fn distribution(&self) -> Option<String> {
        let text = self.text("/etc/os-release").or_else(|| self.text("/usr/lib/os-release"))?;
        let id = text.lines().find_map(|line| line.strip_prefix("ID="))?;
        Some(id.trim_matches(['"', '\'']).to_string())
    }
}

/// The module that a line of depmod's lists is about: `kernel/drivers/md/dm-thin-pool.ko.xz: ...`.
fn module_of(line: &str) -> String {
    let file = line.split(':').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}
