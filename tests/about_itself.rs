//! What the program tells of itself and of its host: manual pages, completions, version, doctor.

#[path = "../build/commit.rs"]
mod commit;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;

const LVPIPE: &str = env!("CARGO_BIN_EXE_lvpipe");

fn said(args: &[&str]) -> String {
    let assert = Command::new(LVPIPE).args(args).assert().success();
    String::from_utf8(assert.get_output().stdout.clone()).expect("text")
}

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("text"))
        })
        .collect()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_program_has_all_its_manual_pages_in_it() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let target = scratch.path().join("share/man");
    assert_eq!(said(&["man", "--install", target.to_str().expect("text")]), "");
    let pages = files(&repository().join("man"));
    assert_eq!(files(&target.join("man1")), pages);
    assert_eq!(said(&["man"]), pages["lvpipe.1"]);
    assert_eq!(said(&["man", "buffer"]), pages["lvpipe-buffer.1"]);
    let unknown = Command::new(LVPIPE).args(["man", "nothing"]).assert().code(2);
    let words = String::from_utf8_lossy(&unknown.get_output().stderr).into_owned();
    assert!(words.contains("no manual page") && words.contains("buffer, ") && words.contains("send"), "{words}");
}

/// man(1) complains about what it cannot set.
#[test]
fn man_has_nothing_to_complain_about() {
    for name in files(&repository().join("man")).into_keys() {
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file", "--pager=cat"]).arg(repository().join("man").join(&name));
        let assert = man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").assert().success();
        let complaints = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(complaints.is_empty(), "{name}: {complaints}");
    }
}

#[test]
fn a_shell_can_read_its_completions() {
    let scripts = files(&repository().join("completions"));
    for (shell, file) in [("bash", "lvpipe.bash"), ("zsh", "_lvpipe"), ("fish", "lvpipe.fish")] {
        assert_eq!(said(&["completions", shell]), scripts[file]);
    }
    let script = format!("{}\ncomplete -p lvpipe", scripts["lvpipe.bash"]);
    let assert = Command::new("bash").args(["--norc", "-c", &script]).assert().success();
    assert!(String::from_utf8_lossy(&assert.get_output().stdout).contains("_lvpipe"));
}

#[test]
fn the_version_tells_what_was_built() {
    assert_eq!(said(&["-V"]), format!("lvpipe {}\n", env!("CARGO_PKG_VERSION")));
    let long = said(&["--version"]);
    for word in ["commit ", "target ", "-linux-", "features ", " tls1.3"] {
        assert!(long.contains(word), "{long}");
    }
}

#[test]
fn the_commit_says_whether_the_sources_are_those_of_it() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let root = scratch.path();
    let write = |file: &str, text: &str| fs::write(root.join(file), text).expect("written");
    let git = |words: &[&str]| {
        let author =
            ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"];
        Command::new("git").arg("-C").arg(root).args(author).args(words).assert().success();
    };
    for directory in ["src", "man"] {
        fs::create_dir(root.join(directory)).expect("made");
    }
    assert_eq!((commit::of(root), commit::log(root)), (None, None), "no repository");
    write("src/main.rs", "one");
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    let one = commit::of(root).expect("a commit");
    assert!(one.len() == 10 && one.chars().all(|digit| digit.is_ascii_hexdigit()), "{one}");
    assert!(commit::log(root).expect("where git keeps account").starts_with(root));

    write("README.md", "not in the program");
    assert_eq!(commit::of(root), Some(one.clone()));
    write("src/main.rs", "two");
    assert_eq!(commit::of(root), Some(format!("{one}-dirty")));
    git(&["commit", "-q", "-a", "-m", "two"]);
    let two = commit::of(root).expect("a commit");
    assert!(two.len() == 10 && two != one, "{one}, {two}");
    write("man/new.1", "all pages are put in");
    assert_eq!(commit::of(root), Some(format!("{two}-dirty")));
}

#[test]
fn doctor_names_what_is_missing_what_for_and_the_command_that_gives_it() {
    let limited = |limit: &str, option: &str| {
        let script = format!("ulimit -Sn {limit}; exec \"$0\" doctor {option}");
        let output = Command::new("sh").args(["-c", &script, LVPIPE]).output().expect("sh runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (_, text) = limited("100", "");
    let line = text.lines().find(|line| line.contains("open files")).expect("a line about it");
    assert!(line.starts_with("limited") && line.ends_with("at most 100"), "{text}");
    assert!(text.contains("for many links at once: ulimit -n 1024"), "{text}");
    let (_, json) = limited("1024", "--json");
    let findings: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let open = findings.as_array().expect("an array").iter().find(|found| found["what"] == "open files");
    assert_eq!(open.expect("a finding")["state"], "ok");
}

/// What doctor says in namespaces of its own, with its exit status; `script` runs it as `"$0" doctor`.
fn doctor_in(unshare: &[&str], script: &str) -> (Option<i32>, String) {
    let mut command = Command::new("unshare");
    let output = command.args(unshare).args(["sh", "-ec", script, LVPIPE]).output().expect("unshare runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// The lines about one thing: the finding, and its way out where there is one.
fn about(text: &str, what: &str) -> String {
    let is_it = |line: &&str| line.get(9..).is_some_and(|rest| rest.starts_with(&format!("{what} ")));
    let lines: Vec<&str> = text.lines().skip_while(|line| !is_it(line)).take(2).collect();
    assert!(!lines.is_empty(), "nothing about {what}: {text}");
    lines.join("\n")
}

#[test]
fn doctor_does_not_take_a_containers_root_for_the_hosts() {
    let (status, text) = doctor_in(&["--map-root-user"], "exec \"$0\" doctor");
    assert_eq!(status, Some(1), "{text}");
    let rights = about(&text, "rights");
    assert!(rights.starts_with("MISSING") && rights.contains("of a user namespace only"), "{rights}");
    assert!(rights.contains("--privileged"), "{rights}");

    let (status, text) = doctor_in(&["--user", "--map-user=1000"], "exec \"$0\" doctor");
    assert_eq!(status, Some(1), "{text}");
    let rights = about(&text, "rights");
    assert!(rights.starts_with("MISSING") && rights.contains("not root") && rights.contains("sudo"), "{rights}");
}

#[test]
fn doctor_names_the_packages_of_programs_that_are_not_there() {
    let script =
        "mount -t tmpfs none /usr/local/sbin; mount -t tmpfs none /usr/sbin; PATH=/nowhere exec \"$0\" doctor";
    let (status, text) = doctor_in(&["--map-root-user", "--mount"], script);
    assert_eq!(status, Some(1), "{text}");
    for (program, package) in [("dmsetup", "dmsetup"), ("lvs", "lvm2"), ("ssh", "openssh-client")] {
        let found = about(&text, program);
        assert!(found.starts_with("MISSING") && found.contains("not installed"), "{found}");
        assert!(found.ends_with(&format!("apt install {package}")), "{found}");
    }
    assert!(about(&text, "man").starts_with("limited"), "{text}");
}

#[test]
fn what_shows_a_page_learns_neither_the_key_of_the_links_nor_the_token() {
    let place = tempfile::tempdir().expect("a directory");
    let man = place.path().join("man");
    fs::write(&man, "#!/bin/sh\nenv\ncat > /dev/null\n").expect("a script");
    fs::set_permissions(&man, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("may be run");
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").expect("a PATH"));
    // man is run on a terminal only: script(1) is one.
    let mut command = Command::new("script");
    command.args(["-qec", &format!("'{LVPIPE}' man"), "/dev/null"]).stdin(std::process::Stdio::null());
    command.env("PATH", path);
    command.env("LVPIPE_KEY", "secret").env("LVPIPE_TOKEN", "secret").env("OTHER", "told");
    let shown = command.output().expect("script runs");
    let environment = String::from_utf8_lossy(&shown.stdout);
    assert!(environment.contains("OTHER=told") && !environment.contains("=secret"), "{environment}");
}
