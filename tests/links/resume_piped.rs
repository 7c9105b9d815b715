//! The same over a plain pipe, where a token tells the sender what is there.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal::SIGKILL;

use crate::image::space;
use crate::party::figure;
use crate::process::{lvpipe, recv, run, run_pair, send, start, start_pair, wait_until};
use crate::resume::{MIB, PART, Place};

/// Over a pipe: half of the stream arrives, then the pipe breaks.
#[track_caller]
fn half_piped(place: &Place) {
    let stream = run(&mut send(&["-s", "64k", "--compress", "none"], &place.source)).expect_ok().stdout;
    let mut receiving = start(recv(&[], &place.target).stdin(Stdio::piped()));
    let mut pipe = receiving.stdin();
    pipe.write_all(&stream[..stream.len() / 2]).expect("it reads");
    wait_until("much of it is written", || {
        place.partial().exists() && space(&place.partial()) > place.image.size / 3
    });
    drop(pipe);
    receiving.end().expect_failure(3, &["truncated", "go on with --resume"]);
}

fn token(place: &Place) -> String {
    let mut command = lvpipe(["recv", "--resume-token"]);
    let ran = run(command.arg(&place.target)).expect_ok();
    String::from_utf8(ran.stdout).expect("text").trim().to_string()
}

fn go_on_from(token: &str, place: &Place) -> crate::process::Pair {
    let mut sender = lvpipe(["send", "--compress", "none", "--progress", "json", "--resume", token]);
    run_pair(sender.arg(&place.source), &mut recv(&["--resume"], &place.target))
}

#[test]
fn over_a_pipe_a_token_tells_what_is_there() {
    let place = Place::new(4 * MIB);
    half_piped(&place);
    let token = token(&place);
    let pair = go_on_from(&token, &place).expect_ok();
    let wire = figure(&pair.send, "wire_bytes");
    assert!(wire < place.image.size * 2 / 3, "{wire} bytes");
    place.assert_whole();
    // It is done: there is nothing to go on with, and nothing is touched.
    go_on_from(&token, &place).expect_recv_failure(4, &["of which there is no journal"]);
    place.assert_whole();
}

#[test]
fn the_token_names_the_source_too() {
    let place = Place::new(MIB);
    half_piped(&place);
    let token = token(&place);
    let pair = run_pair(&mut lvpipe(["send", "--resume", &token]), &mut recv(&["--resume"], &place.target));
    pair.expect_ok();
    place.assert_whole();
}

#[test]
fn a_token_that_is_mistyped_of_another_source_or_of_another_transfer_is_refused() {
    let (place, other) = (Place::new(2 * MIB), Place::new(2 * MIB));
    half_piped(&place);
    half_piped(&other);
    let (own, foreign) = (token(&place), token(&other));
    let mut typo = own.clone().into_bytes();
    typo[20] = if typo[20] == b'a' { b'b' } else { b'a' };
    let typo = String::from_utf8(typo).expect("text");
    let sender = |token: &str| {
        let mut command = lvpipe(["send", "--resume", token]);
        run(command.arg(&place.source))
    };
    sender(&typo).expect_failure(2, &["the token is mistyped"]);
    sender(&foreign).expect_failure(4, &["the token is of"]);
    // Of the same source and target, but of what was sent before.
    half_piped(&place);
    go_on_from(&own, &place).expect_recv_failure(4, &["the sender's token is of another transfer"]);
    go_on_from(&token(&place), &place).expect_ok();
    place.assert_whole();
}

#[test]
fn a_stream_that_goes_on_with_another_needs_a_receiver_that_does() {
    let place = Place::new(2 * MIB);
    half_piped(&place);
    let mut sender = lvpipe(["send", "--resume", &token(&place)]);
    let pair = run_pair(sender.arg(&place.source), &mut recv(&[], &place.target));
    pair.expect_recv_failure(4, &["the stream goes on with an earlier one", "lvpipe recv --resume TARGET"]);
    go_on_from(&token(&place), &place).expect_ok();
    place.assert_whole();
}

#[test]
fn what_goes_on_with_an_earlier_transfer_is_told_and_cannot_be_verified_alone() {
    let place = Place::new(2 * MIB);
    place.half_sent();
    let stream = place.scratch.path().join("stream");
    let saved = fs::File::create(&stream).expect("made");
    start(send(&["--resume", &token(&place)], &place.source).stdout(saved)).end().expect_ok();
    let told = run(lvpipe(["inspect"]).arg(&stream)).expect_ok().stdout;
    assert!(String::from_utf8_lossy(&told).contains("resumes  an earlier transfer"), "{told:?}");
    run(lvpipe(["inspect", "--verify"]).arg(&stream)).expect_failure(4, &["cannot verify", "lvpipe recv --resume"]);
}

#[test]
fn over_a_pipe_a_damaged_target_cannot_be_asked_about() {
    let place = Place::new(2 * MIB);
    half_piped(&place);
    place.turn_over(&place.partial(), 5000);
    let failed = go_on_from(&token(&place), &place).recv;
    failed.expect_failure(3, &["cannot resume", "begin anew, without --resume"]);
}

#[test]
fn a_pipe_says_that_it_cannot_tell_what_is_there() {
    let place = Place::new(MIB);
    let mut command: Command = send(&["--resume"], &place.source);
    run(&mut command).expect_failure(2, &["a pipe does not tell", "--resume-token"]);
    let ran = run(lvpipe(["recv", "--resume-token"]).arg(&place.target));
    ran.expect_failure(4, &["nothing to go on with"]);
}

/// A pipe that is killed on both ends, not only cut.
#[test]
fn a_killed_pipe_is_gone_on_with() {
    let place = Place::new(8 * MIB);
    let (sending, receiving) = start_pair(
        &mut send(&["-s", "64k", "--compress", "none", "-r", "3M"], &place.source),
        &mut recv(&[], &place.target),
    );
    wait_until("something is recorded", || place.recorded() > 4);
    receiving.signal(SIGKILL);
    receiving.end();
    sending.end().expect_failure(1, &["cannot write stream"]);
    let held = place.recorded();
    let pair = go_on_from(&token(&place), &place).expect_ok();
    assert!(figure(&pair.send, "wire_bytes") < place.image.size - held * PART + MIB / 2);
    place.assert_whole();
}
