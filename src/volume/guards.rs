//! Who else uses a volume: asked before the first byte is written to a target, and told of a source.
//!
//! Opening a device exclusively (O_EXCL, open(2)) is what decides for mounts, device-mapper, md and swap; what is
//! read here says why in the admin's words. A virtual machine's process opens its disk without O_EXCL, so
//! processes that have the target open for writing are looked for as well.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Refuses a target that some process has open for writing.
pub(super) fn refuse_if_open(name: &str, target: &Metadata) -> Result<()> {
    match writer_of(target) {
        None => Ok(()),
        Some(writer) => Err(Error::guard("target refused", name, writer)
            .way_out("end that process first; lvpipe writes only what nobody else writes")),
    }
}

/// Refuses a file that is a loop device's.
pub(super) fn refuse_if_loop(name: &str, target: &Metadata) -> Result<()> {
    match loop_device_of(target) {
        None => Ok(()),
        Some(device) => Err(Error::guard("target refused", name, format_args!("{device} is attached to it"))
            .way_out(format!("losetup -d {device}"))),
    }
}

fn loop_device_of(file: &Metadata) -> Option<String> {
    let mut devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices.find_map(|entry| {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        let backing = fs::metadata(backing.trim_end()).ok()?;
        let same = (backing.dev(), backing.ino()) == (file.dev(), file.ino());
        same.then(|| format!("/dev/{}", entry.file_name().to_string_lossy()))
    })
}

/// Who may be writing a file or a device that is to be read, as far as that can be seen.
pub(super) fn who_writes(source: &Metadata) -> Option<String> {
    let kind = source.file_type();
    if kind.is_file() {
        let attached = || Some(format!("{} is attached to it", loop_device_of(source)?));
        return writer_of(source).or_else(attached);
    }
    if !kind.is_block_device() {
        return None;
    }
    let number = number_of(source);
    let mounted = || Some(format!("it is mounted on {}", mounted_on(number)?));
    let names = holders(number);
    let held = || (!names.is_empty()).then(|| format!("it is in use by {}", names.join(", ")));
    writer_of(source).or_else(mounted).or_else(held)
}

/// Why a device could not be opened exclusively.
pub(super) fn busy_device(name: &str, device: &Metadata) -> Error {
    let number = number_of(device);
    let refused = |why: String| Error::guard("target refused", name, why);
    if let Some(mount_point) = mounted_on(number) {
        return refused(format!("it is mounted on {mount_point}")).way_out(format!("umount {mount_point}"));
    }
    if is_swap(device) {
        return refused("it is in use as swap".into()).way_out(format!("swapoff {name}"));
    }
    match holders(number) {
        names if names.is_empty() => refused("it is in use by the system".into()),
        names => refused(format!("it is in use by {}", names.join(", "))),
    }
}

fn number_of(device: &Metadata) -> (u64, u64) {
    (nix::sys::stat::major(device.rdev()), nix::sys::stat::minor(device.rdev()))
}

fn mounted_on((major, minor): (u64, u64)) -> Option<String> {
    let device = format!("{major}:{minor}");
    // proc_pid_mountinfo(5): the third field is the device, the fifth where it is mounted.
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.nth(2)? == device).then(|| fields.nth(1).unwrap_or_default().replace("\\040", " "))
    })
}

fn is_swap(device: &Metadata) -> bool {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .any(|path| fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device() && m.rdev() == device.rdev()))
}

/// Names of the devices built on this one, and of its partitions that are mounted.
fn holders((major, minor): (u64, u64)) -> Vec<String> {
    let sys = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let mut names: Vec<String> = fs::read_dir(sys.join("holders"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| device_name(&entry.path()))
        .collect();
    for partition in fs::read_dir(&sys).into_iter().flatten().flatten() {
        let numbers = fs::read_to_string(partition.path().join("dev")).unwrap_or_default();
        let Some((major, minor)) = numbers.trim().split_once(':') else { continue };
        if let (Ok(major), Ok(minor)) = (major.parse(), minor.parse())
            && let Some(mount_point) = mounted_on((major, minor))
        {
            names.push(format!(
                "its partition {}, mounted on {mount_point}",
                partition.file_name().to_string_lossy()
            ));
        }
    }
    names
}

/// `vg-lv` for a device-mapper device, else the kernel's name.
fn device_name(sys: &Path) -> String {
    match fs::read_to_string(sys.join("dm/name")) {
        Ok(name) => format!("/dev/mapper/{}", name.trim_end()),
        Err(_) => format!("/dev/{}", sys.file_name().unwrap_or_default().to_string_lossy()),
    }
}

/// Which process, other than this one, has the volume open for writing.
fn writer_of(volume: &Metadata) -> Option<String> {
    let is_device = volume.file_type().is_block_device();
    let same = |other: &Metadata| match is_device {
        true => other.file_type().is_block_device() && other.rdev() == volume.rdev(),
        false => (other.dev(), other.ino()) == (volume.dev(), volume.ino()),
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id()).find_map(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let mut open = descriptors.flatten().filter(|fd| fs::metadata(fd.path()).is_ok_and(|m| same(&m)));
        let writes = open.any(|fd| is_for_writing(pid, &fd.file_name().to_string_lossy()));
        let command = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        writes.then(|| format!("{} (process {pid}) has it open for writing", command().trim_end()))
    })
}

/// proc(5): `flags` of fdinfo is octal; its last two bits are the access mode.
fn is_for_writing(pid: u32, fd: &str) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|octal| i32::from_str_radix(octal.trim(), 8).ok())
        .is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY && flags & libc::O_PATH == 0)
}

/// Locks a file for this process alone, so that two transfers cannot write it at once. qemu locks its images in
/// the same way (F_OFD_SETLK, fcntl(2)), so that an image in use is seen even where /proc cannot be read.
pub(super) fn lock_file(name: &str, file: &File) -> Result<()> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole)) {
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => {
            Err(Error::guard("target refused", name, "another process holds a lock on it")
                .way_out("another transfer or a virtual machine is using it: end that first"))
        }
        // A file system without locks is not a reason to refuse.
        _ => Ok(()),
    }
}

/// The size a device must have at least, said with what is missing.
pub(super) fn refuse_if_smaller(name: &str, has: u64, needs: u64) -> Result<()> {
    if has >= needs {
        return Ok(());
    }
    let missing = needs - has;
    Err(Error::guard(
        "target refused",
        name,
        format_args!("it has {has} bytes, the source has {needs}: {missing} bytes are missing"),
    )
    .way_out(format!("for a logical volume: lvextend -L +{missing}b {name}")))
}

/// A missing or unusable device's error, with the way out for what people forget most.
pub(super) fn cannot_open(what: &str, name: &str, error: &io::Error) -> Error {
    let failed = Error::io(what, name, error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => failed.way_out("devices are root's: run it with sudo"),
        _ => failed,
    }
}

/// Why a target file could not be opened or made.
pub(super) fn cannot_open_file(name: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            Error::guard("target refused", name, "its file system is mounted read-only")
                .way_out("mount -o remount,rw that file system, or name a file elsewhere")
        }
        _ => Error::io("cannot open target", name, error),
    }
}

/// Refuses a file that nobody may write: root could all the same, but somebody meant it to stay as it is.
pub(super) fn refuse_if_write_protected(name: &str, target: &Metadata) -> Result<()> {
    if target.permissions().readonly() {
        return Err(Error::guard("target refused", name, "it is read-only").way_out(format!("chmod u+w {name}")));
    }
    Ok(())
}

/// Refuses a name that is there but leads nowhere: the file would be made elsewhere, and could not get the name.
pub(super) fn refuse_if_dangling(name: &str, path: &Path) -> Result<()> {
    match fs::read_link(path) {
        Ok(to) => Err(Error::guard(
            "target refused",
            name,
            format_args!("it is a symbolic link to {}, which does not exist", to.display()),
        )
        .way_out("name the file itself, or remove the link")),
        // No link, and no file either: it is to be made.
        Err(_) => Ok(()),
    }
}

/// A target that refuses writes.
pub(super) fn read_only(name: &str) -> Error {
    Error::guard("target refused", name, "it is read-only")
        .way_out(format!("for a logical volume: lvchange -p rw {name}; for others: blockdev --setrw {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn only_a_device_is_said_to_be_roots() {
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        let device = cannot_open("cannot open source", "/dev/sda", &denied).to_string();
        assert_eq!(
            device,
            "cannot open source: /dev/sda: Permission denied\n  devices are root's: run it with sudo"
        );
        assert_eq!(cannot_open_file("copy", &denied).to_string(), "cannot open target: copy: Permission denied");
    }

    #[test]
    fn a_file_on_a_read_only_file_system_is_refused() {
        let error = cannot_open_file("/mnt/copy", &io::Error::from_raw_os_error(libc::EROFS));
        assert_eq!(error.status(), Status::Guard);
    }
}
