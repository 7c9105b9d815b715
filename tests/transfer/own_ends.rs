//! Ends of a transfer that are the same file, or are not there at all: what looks like success would be the loss of
//! the only copy.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::image::{Image, scratch_in_memory};
use crate::process::{LVPIPE, lvpipe, recv, run, send, start};

/// What a shell does with the command line, `$LVPIPE` being the program under test.
fn shell(line: &str, directory: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env("LVPIPE", LVPIPE).current_dir(directory).stdin(Stdio::null());
    shell
}

#[test]
fn a_closed_standard_output_or_input_is_no_success() {
    let scratch = scratch_in_memory();
    Image::sample().write(&scratch.path().join("image"));
    run(&mut shell("\"$LVPIPE\" send image > backup", scratch.path())).expect_ok();
    for line in ["send image >&-", "recv - < backup >&-", "send - <&- > copy", "recv copy <&-"] {
        let ran = run(&mut shell(&format!("\"$LVPIPE\" {line}"), scratch.path()));
        ran.expect_failure(2, &["lvpipe: ", ": it is closed\n  "]);
    }
    assert!(
        !scratch.path().join("copy").exists() || fs::read(scratch.path().join("copy")).is_ok_and(|c| c.is_empty())
    );
    run(&mut shell("\"$LVPIPE\" send image > /dev/null", scratch.path())).expect_ok();
}

#[test]
fn a_backup_is_not_received_into_itself() {
    let scratch = scratch_in_memory();
    let (image, backup) = (scratch.path().join("image"), scratch.path().join("backup"));
    Image::sample().write(&image);
    start(send(&[], &image).stdout(File::create(&backup).expect("a file"))).end().expect_ok();
    let before = fs::read(&backup).expect("the backup");
    run(recv(&[], &backup).stdin(File::open(&backup).expect("the backup")))
        .expect_failure(4, &["lvpipe: target refused: ", ": it is the stream that is being received\n  "]);
    assert!(fs::read(&backup).expect("the backup") == before);
}

#[test]
fn a_file_that_is_standard_input_is_not_sent_to_itself() {
    let scratch = scratch_in_memory();
    let image = scratch.path().join("image");
    Image::sample().write(&image);
    let appended = OpenOptions::new().append(true).open(&image).expect("the image");
    start(lvpipe(["send", "-"]).stdin(File::open(&image).expect("the image")).stdout(appended))
        .end()
        .expect_failure(4, &["lvpipe: cannot send: -: standard output is the source itself"]);
    Image::sample().assert_is(&image);
}

#[test]
fn a_devices_name_with_a_mistake_makes_no_file() {
    let scratch = scratch_in_memory();
    let image = scratch.path().join("image");
    Image::sample().write(&image);
    let backup = scratch.path().join("backup");
    start(send(&[], &image).stdout(File::create(&backup).expect("a file"))).end().expect_ok();
    let target = Path::new("/dev/lvpipe-has-no-such-device");
    run(recv(&[], target).stdin(File::open(&backup).expect("the backup"))).expect_failure(
        4,
        &["lvpipe: target refused: /dev/lvpipe-has-no-such-device: there is no such device\n  "],
    );
    assert!(!target.exists());
}
