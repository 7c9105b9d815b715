//! What is in the lab's machine: Debian's packages, programs, kernel modules. One line each; a new scenario that
//! wants another program or module adds a line here, nothing else.

/// The package that names the newest kernel image for virtual machines.
pub const KERNEL_META_PACKAGE: &str = "linux-image-cloud-amd64";

/// A program of this machine that is copied into the lab's, with its libraries.
pub struct Program {
    /// Its name, as found in PATH.
    pub name: &'static str,
    /// The Debian package that has it, for the message when it is missing.
    pub package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// Everything else (mount, ps, awk, ...) is one of its applets.
pub const BUSYBOX: Program = program("busybox", "busybox-static");

/// The programs, besides busybox's applets.
pub const PROGRAMS: &[Program] = &[
    // The things under test, and what they run themselves.
    program("lvm", "lvm2"),
    program("dmsetup", "dmsetup"),
    program("thin_check", "thin-provisioning-tools"), // lvm runs it when it activates a pool
    program("thin_dump", "thin-provisioning-tools"),  // the oracle for used maps
    program("thin_delta", "thin-provisioning-tools"), // the oracle for deltas
    program("thin_restore", "thin-provisioning-tools"),
    // File systems.
    program("mke2fs", "e2fsprogs"),
    program("e2fsck", "e2fsprogs"),
    program("mkfs.xfs", "xfsprogs"),
    program("xfs_repair", "xfsprogs"),
    // Where busybox's own lacks something. Its shell would run its own applets before any of the above, too.
    program("bash", "bash"),
    program("modprobe", "kmod"),  // reads compressed modules
    program("perl", "perl-base"), // writes what a scenario writes, in one process
    program("blkdiscard", "util-linux"),
    program("fstrim", "util-linux"),
    program("unshare", "util-linux"), // --kill-child
    program("env", "coreutils"),      // --default-signal
    program("sha256sum", "coreutils"),
    program("dd", "coreutils"), // oflag=direct,seek_bytes
    program("timeout", "coreutils"),
    // Networks, and who else sends over them.
    program("ip", "iproute2"),
    program("tc", "iproute2"),
    program("mbuffer", "mbuffer"),
    program("ssh", "openssh-client"),
    program("ssh-keygen", "openssh-client"),
    program("sshd", "openssh-server"),
];

/// What these run themselves, by its path; where a Debian has no such file, it needs none.
pub const HELPERS: &[&str] = &["/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth"];

/// Programs that this machine needs to make and boot the lab's.
pub const TOOLS: &[Program] = &[
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("cpio", "cpio"),
    program("depmod", "kmod"),
    program("dpkg-deb", "dpkg"),
    program("apt-get", "apt"),
    program("ldd", "libc-bin"),
    program("strip", "binutils"),
];

/// The names under which `lvm` is called.
pub const LVM_COMMANDS: &[&str] = &[
    "lvchange",
    "lvconvert",
    "lvcreate",
    "lvextend",
    "lvreduce",
    "lvremove",
    "lvrename",
    "lvs",
    "pvcreate",
    "pvs",
    "vgchange",
    "vgcreate",
    "vgremove",
    "vgs",
];

/// Kernel modules, loaded at boot with what they depend on.
pub const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "dm-mod",
    "dm-thin-pool",
    "dm-snapshot",
    "dm-flakey",
    "dm-delay",
    "dm-zero",
    "loop",
    "ext4",
    "xfs",
    // For links over a network with delay, loss and a limit.
    "veth",
    "sch_netem",
    "sch_tbf",
];

/// Directories that are there from the start.
pub const DIRECTORIES: &[&str] =
    &["dev", "etc/lvm", "lab", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/lib", "var/lib"];

/// Symbolic links: where, and to what. /usr is merged, as on every Debian.
pub const LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("sbin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("usr/sbin", "bin"),
    ("var/run", "/run"),
    ("etc/mtab", "/proc/self/mounts"),
];

/// Small files: where, and what is in them.
pub const FILES: &[(&str, &str)] = &[
    // sshd's own user has no rights at all.
    ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hostname", "lab\n"),
    ("etc/lvm/lvm.conf", include_str!("../../../tests/lab/lvm.conf")),
];

/// The disks /dev/vda, vdb, ...: sparse, so that a size costs nothing before it is written.
pub const DISKS: usize = 4;
/// The size of each, in bytes.
pub const DISK_BYTES: u64 = 4 << 30;
/// The machine's memory, in MiB: the initramfs, tmpfs and page cache live in it.
pub const MEMORY_MIB: u32 = 2048;
