//! The units of systemd/ are what systemd takes without a word.

use std::fs;
use std::path::Path;
use std::process::Command;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");

/// With the lvpipe that was just built instead of the one that would be installed.
fn copied(to: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(DIRECTORY).expect("the units") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        let text = fs::read_to_string(entry.path()).expect("text");
        fs::write(to.join(&name), text.replace("/usr/bin/lvpipe", env!("CARGO_BIN_EXE_lvpipe"))).expect("written");
        names.push(name);
    }
    names.sort();
    names
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let names = copied(scratch.path());
    assert!(names.iter().any(|name| name == "lvpipe-replicate@.timer"), "{names:?}");
    let verified = Command::new("systemd-analyze").arg("verify").args(&names).current_dir(scratch.path()).output();
    let verified = verified.expect("systemd-analyze, which is in Debian's package systemd");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{}: {said}", verified.status);
}

#[test]
fn what_the_services_run_parses() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    for name in copied(scratch.path()).iter().filter(|name| name.ends_with(".service")) {
        let text = fs::read_to_string(scratch.path().join(name)).expect("text");
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
        // As the comments in the units have it.
        let (source, destination) = ("vg/vm1", "ssh://root@host/vg/pool:vm1");
        let words = start.replace("$OPTIONS", "--quiet").replace("${SOURCE}", source).replace("${TARGET}", source);
        let words = words.replace("${DESTINATION}", destination).replace("%i", "vm1");
        let parsed = lvpipe::cli::command().try_get_matches_from(words.split_whitespace());
        parsed.unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}
