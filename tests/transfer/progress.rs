//! What is said while a run lasts, and when it is over. What a terminal shows is in `progress_terminal.rs`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::Signal::SIGUSR1;

use crate::image::{Image, scratch_in_memory};
use crate::process::{Pair, lvpipe, recv, run, run_pair, run_with_input, send, start, wait_until};

fn image(directory: &Path) -> PathBuf {
    let path = directory.join("image");
    Image::sample().write(&path);
    path
}

fn lines(said: &str) -> Vec<serde_json::Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn pair_with(args: &[&str]) -> Pair {
    let scratch = scratch_in_memory();
    let source = image(scratch.path());
    run_pair(&mut send(args, &source), &mut recv(args, &scratch.path().join("copy"))).expect_ok()
}

#[test]
fn json_lines_of_both_sides_end_with_a_final_one_that_adds_up() {
    let pair = pair_with(&["--progress", "json"]);
    let size = Image::sample().size;
    for (said, role) in [(&pair.send.stderr, "send"), (&pair.recv.stderr, "recv")] {
        let lines = lines(said);
        let (last, before) = lines.split_last().expect("lines");
        assert!(before.iter().all(|line| line["final"] == false && line["ok"].is_null()), "{said}");
        assert_eq!(
            (&last["final"], &last["ok"], &last["role"]),
            (&true.into(), &true.into(), &role.into()),
            "{said}"
        );
        let number = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("{name}: {last}"));
        assert_eq!(number("volume_bytes"), size);
        assert!(number("done_bytes") <= number("used_bytes") && number("used_bytes") < size, "{last}");
        assert_eq!(number("parts"), 3);
        assert!(number("wire_bytes") > 0 && number("buffer_total") > 0, "{last}");
    }
    let wire = |said: &str| lines(said).last().expect("a line")["wire_bytes"].as_u64().expect("a number");
    // The receiver has read the prelude before it counts.
    let (sent, received) = (wire(&pair.send.stderr), wire(&pair.recv.stderr));
    assert!(sent >= received && sent - received < 1000, "{sent} sent, {received} received");
}

#[test]
fn a_run_that_fails_says_so_in_its_last_json_line_before_the_error() {
    let scratch = scratch_in_memory();
    let stream = run(&mut send(&[], &image(scratch.path()))).expect_ok().stdout;
    let ran = run_with_input(&mut lvpipe(["recv", "--progress", "json", "-"]), &stream[..stream.len() - 1]);
    assert_eq!(ran.status.code(), Some(3), "{ran}");
    let (json, error) = ran.stderr.split_once("\nlvpipe: stream is truncated: ").expect("an error at the end");
    assert!(!error.is_empty());
    let last = lines(json).pop().expect("a line");
    assert_eq!((&last["final"], &last["ok"]), (&true.into(), &false.into()), "{last}");
}

#[test]
fn without_a_terminal_a_run_says_one_line() {
    for args in [&[][..], &["--progress", "none"], &["--progress", "plain"], &["--progress", "bar"], &["-v"]] {
        let pair = pair_with(args);
        for (said, role) in [(&pair.send.stderr, "send"), (&pair.recv.stderr, "recv")] {
            assert!(said.lines().count() == 1 && said.starts_with(&format!("lvpipe {role}: ")), "{args:?}\n{pair}");
        }
    }
}

#[test]
fn quiet_is_silent_whatever_else_is_asked_for() {
    for args in [&["-q"][..], &["-q", "--progress", "json"], &["-q", "--progress", "plain"]] {
        let pair = pair_with(args);
        assert!(pair.send.stderr.is_empty() && pair.recv.stderr.is_empty(), "{args:?}\n{pair}");
    }
    run(&mut lvpipe(["send", "-q", "/no/such/volume"])).expect_failure(1, &["lvpipe: cannot open source: "]);
}

/// The sender waits for its reader, who waits for the line.
#[test]
fn verbose_prints_a_plain_line_every_ten_seconds() {
    let scratch = scratch_in_memory();
    let source = scratch.path().join("image");
    Image::full(8 << 20).write(&source);
    let mut running = start(send(&["-v", "--compress", "none"], &source).stdout(Stdio::piped()));
    let mut pipe = running.stdout();
    let began = Instant::now();
    wait_until("a line", || running.said().ends_with('\n'));
    assert!(began.elapsed() > Duration::from_secs(9), "a line after {:?}", began.elapsed());
    std::io::copy(&mut pipe, &mut std::io::sink()).expect("its output");
    let ran = running.end().expect_ok();
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ran}");
    assert!(lines[0].starts_with("lvpipe send: ") && lines[0].contains(" of 8.00 MiB, "), "{ran}");
    assert!(lines[0].contains("%, ") && lines[0].ends_with(" left"), "{ran}");
    assert!(lines[1].starts_with("lvpipe send: 8.00 MiB sent as 8.00 MiB "), "{ran}");
}

#[test]
fn usr1_prints_the_state_of_both_sides() {
    let scratch = scratch_in_memory();
    let source = image(scratch.path());
    let stream = run(&mut send(&["-s", "64k"], &source)).expect_ok().stdout;

    let large = scratch.path().join("large");
    Image::full(8 << 20).write(&large);
    let mut sending = start(send(&["--compress", "none"], &large).stdout(Stdio::piped()));
    let mut pipe = sending.stdout();
    // The handler is there before the first byte.
    pipe.read_exact(&mut [0; 1]).expect("it has begun");
    sending.signal(SIGUSR1);
    wait_until("it answers", || sending.said().ends_with('\n'));
    std::io::copy(&mut pipe, &mut std::io::sink()).expect("its output");
    let sent = sending.end().expect_ok();
    assert_eq!(sent.stderr.lines().count(), 2, "{sent}");
    assert!(sent.stderr.lines().all(|line| line.starts_with("lvpipe send: ")), "{sent}");

    let mut receiving = start(recv(&[], &scratch.path().join("copy")).stdin(Stdio::piped()));
    let mut pipe = receiving.stdin();
    pipe.write_all(&stream[..1000]).expect("it reads");
    // The size is set when the figures are being shown already.
    let partial = scratch.path().join("copy.partial");
    wait_until("it has begun", || fs::metadata(&partial).is_ok_and(|file| file.len() > 0));
    receiving.signal(SIGUSR1);
    wait_until("it answers", || receiving.said().ends_with('\n'));
    pipe.write_all(&stream[1000..]).expect("it still reads");
    drop(pipe);
    let received = receiving.end().expect_ok();
    assert_eq!(received.stderr.lines().count(), 2, "{received}");
    assert!(received.stderr.lines().all(|line| line.starts_with("lvpipe recv: ")), "{received}");
}

/// What a sender writes to a terminal, as bytes.
fn on_a_terminal(no_color: Option<&str>) -> String {
    let scratch = scratch_in_memory();
    let source = image(scratch.path());
    let size = nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).expect("a pty");
    let mut master = fs::File::from(pty.master);
    let mut command = send(&["-r", "1M", "--compress", "none", "-s", "64k"], &source);
    command.env("TERM", "xterm").env_remove("NO_COLOR").envs(no_color.map(|value| ("NO_COLOR", value)));
    let mut child = command.stdout(Stdio::null()).stderr(pty.slave).spawn().expect("lvpipe");
    // The command holds the terminal's other end: without it, the end of the child is the end of what there is.
    drop(command);
    let mut written = Vec::new();
    // EIO is how the end reads.
    let _ = master.read_to_end(&mut written);
    assert!(child.wait().expect("it ends").success());
    String::from_utf8_lossy(&written).into_owned()
}

#[test]
fn no_color_is_respected() {
    let colour = "\x1b[36m";
    let coloured = on_a_terminal(None);
    assert!(coloured.contains(colour) && coloured.contains('━'), "{coloured:?}");
    let plain = on_a_terminal(Some("1"));
    assert!(!plain.contains(colour) && plain.contains('━'), "{plain:?}");
    assert!(on_a_terminal(Some("")).contains(colour), "empty is not set");
}
