//! Who reads which volume, in one line that a receiver on the same host can compare with its own target.
//!
//! `lvpipe send vg/a | lvpipe recv vg/a` would read what it is just writing. The sender puts its identity into the
//! stream's lineage; a receiver that finds the same boot, a sender still running, and its own target in it,
//! refuses. A stream from a file is another matter: its sender has ended, and restoring a volume from its own
//! backup is what backups are for.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The identity of a volume being read by this process: boot, process, device or file.
///
/// `None` where /proc does not tell.
pub fn of_source(volumes: &[Metadata]) -> Option<String> {
    let pid = std::process::id();
    let volumes: Vec<String> = volumes.iter().map(volume).collect();
    Some(format!("{} {pid} {} {}", boot_id()?, started(pid)?, volumes.join(" ")))
}

/// Whether `identity` is that of a process running on this host right now that reads `target`.
pub fn is_being_read(identity: &str, target: &Metadata) -> bool {
    let mut words = identity.split(' ');
    let (Some(boot), Some(pid), Some(start)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let target = volume(target);
    boot_id().as_deref() == Some(boot)
        && pid.parse().ok().and_then(started).as_deref() == Some(start)
        && words.any(|word| word == target)
}

/// The devices and files in an identity, without the process that read them.
pub fn volumes(identity: &str) -> Option<&str> {
    identity.splitn(4, ' ').nth(3).filter(|volumes| !volumes.is_empty())
}

fn volume(metadata: &Metadata) -> String {
    if metadata.file_type().is_block_device() {
        format!("device:{}", metadata.rdev())
    } else {
        format!("file:{}:{}", metadata.dev(), metadata.ino())
    }
}

fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_string())
}

/// When the process started, in clock ticks since boot: proc(5), field 22 of stat. With it a pid is not mistaken
/// for a later process's.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses, which may hold blanks and parentheses itself.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(19).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_reading_a_file_is_recognised() {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        let other = tempfile::NamedTempFile::new().expect("a scratch file");
        let metadata = file.as_file().metadata().expect("it is open");
        let identity = of_source(std::slice::from_ref(&metadata)).expect("/proc");
        assert!(is_being_read(&identity, &metadata));
        assert!(!is_being_read(&identity, &other.as_file().metadata().expect("it is open")));
        let mut ended = identity.clone();
        ended = ended.replacen(&std::process::id().to_string(), "1", 1);
        assert!(!is_being_read(&ended, &metadata));
        for garbage in ["", " ", "a b", "a b c d"] {
            assert!(!is_being_read(garbage, &metadata));
        }
    }
}
