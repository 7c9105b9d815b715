//! What `lvpipe migrate` refuses before it has done anything, ssh included.

use std::fs;

use crate::image::scratch_in_memory;
use crate::process::{lvpipe, run};

const TO: &str = "ssh://somewhere/vg/vm1";

#[test]
fn a_command_line_that_cannot_be_is_refused() {
    let rows: [(&[&str], &str); 8] = [
        (&["vg/vm1", TO], "--pause"),
        (&["vg/vm1", "host/vg/vm1", "--pause", "true"], "expected ssh://"),
        (&["vg/vm1", "ssh://host/-", "--pause", "true"], "a pipe cannot take what is written a second time"),
        (&["vg/vm1", TO, "--pause", "true", "--create"], "expected VG/POOL:NAME"),
        (
            &["vg/vm1", TO, "--pause", "true", "-n", "3", "--via", "ssh"],
            "--links: it is for links beside ssh's own",
        ),
        (&["vg/vm1", TO, "--pause", "true", "--downtime", "0"], "expected a time"),
        (&["vg/vm1", TO, "--pause", "true", "--downtime", "-1"], "'-1'"),
        (&["", TO, "--pause", "true"], "the name is empty"),
    ];
    for (args, why) in rows {
        run(lvpipe(["migrate"]).args(args)).expect_failure(2, &[why]);
    }
}

#[test]
fn what_is_no_thin_volume_is_refused_before_anything_is_started() {
    let scratch = scratch_in_memory();
    let (file, started) = (scratch.path().join("image"), scratch.path().join("started"));
    fs::write(&file, "an image").expect("written");
    let rsh = format!("touch {}", started.display());
    for more in [&[][..], &["--dry-run"]] {
        let mut command = lvpipe(["migrate", "--rsh", &rsh, "--pause", &rsh]);
        let ran = run(command.arg(&file).arg(TO).args(more));
        ran.expect_failure(4, &["cannot migrate", "it is no logical volume", "`lvpipe send` copies it"]);
    }
    assert!(!started.exists());
}
