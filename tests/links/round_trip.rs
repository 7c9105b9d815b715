//! What was sent is what is received, over one link and over many, encrypted and not.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Instant;

use crate::image::{Image, assert_takes_no_more, names, scratch_in_memory};
use crate::party::{ENCRYPTED, INSECURE, expect_ok, figure, listen, listen_as, send_to, transfer};
use crate::process::{lvpipe, start};
use crate::proxy::Proxy;

const KIB: u64 = 1 << 10;

/// Sends an image to a new file, and looks at it; the sender's link options are given.
#[track_caller]
fn assert_arrives(image: &Image, security: &[&str], args: &[&str]) {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    image.write(&source);
    let receiver = listen(security, &target);
    let mut sender = receiver.sender(args, &source);
    expect_ok(transfer(receiver, &mut sender));
    image.assert_is(&target);
    assert_takes_no_more(&target, &source);
    assert_eq!(names(scratch.path()), ["copy", "image"]);
}

#[test]
fn an_image_arrives_over_any_number_of_links() {
    for links in ["1", "2", "8", "30"] {
        assert_arrives(&Image::sample(), INSECURE, &["-n", links, "-s", "64k"]);
    }
    assert_arrives(&Image::sample(), INSECURE, &["-s", "64k"]);
}

#[test]
fn an_image_arrives_over_any_number_of_encrypted_links() {
    for links in ["1", "8", "30"] {
        assert_arrives(&Image::sample(), ENCRYPTED, &["-n", links, "-s", "64k"]);
    }
    assert_arrives(&Image::sample(), ENCRYPTED, &[]);
}

#[test]
fn volumes_of_any_size_arrive() {
    let images = [
        Image::full(0),
        Image::full(1),
        Image::full(3 * 64 * KIB + 17),
        Image::new(1 << 20, &[]),
        Image::new(1 << 40, &[5 * KIB..9 * KIB, (1 << 39) - 1..(1 << 39) + 100_000]),
    ];
    for image in &images[..4] {
        assert_arrives(image, INSECURE, &["-n", "3", "-s", "64k"]);
    }
    // A terabyte of holes is not read to be compared.
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    images[4].write(&source);
    let receiver = listen(ENCRYPTED, &target);
    let mut sender = receiver.sender(&["-n", "3"], &source);
    expect_ok(transfer(receiver, &mut sender));
    assert_eq!(fs::metadata(&target).expect("it is there").len(), 1 << 40);
    assert_takes_no_more(&target, &source);
}

#[test]
fn every_digest_and_compression_goes_over_links() {
    for args in [["--digest", "blake3"], ["--digest", "none"], ["--compress", "zstd:5"], ["--compress", "none"]] {
        assert_arrives(&Image::sample(), INSECURE, &[&["-n", "4", "-s", "64k"], &args[..]].concat());
    }
}

#[test]
fn a_stream_of_unknown_length_arrives_in_a_file_and_in_order_in_a_pipe() {
    let bytes = Image::full(3_000_001).bytes();
    for security in [INSECURE, ENCRYPTED] {
        let scratch = scratch_in_memory();
        for target in [scratch.path().join("copy"), "-".into()] {
            let mut receiver = lvpipe(["recv", "-I", "127.0.0.1:0", "-m", "8M"]);
            let mut receiver = listen_as(receiver.args(security).arg(&target).stdout(Stdio::piped()));
            let mut pipe = receiver.running.stdout();
            let reading = std::thread::spawn(move || {
                let mut bytes = Vec::new();
                pipe.read_to_end(&mut bytes).map(|_| bytes)
            });
            let mut sender = receiver.sender(&["-n", "8", "-s", "64k"], "-".as_ref());
            let mut sending = start(sender.stdin(Stdio::piped()));
            sending.stdin().write_all(&bytes).expect("it reads");
            expect_ok((sending.end(), receiver.running.end()));
            let read = reading.join().expect("no panic").expect("its output");
            let found = if target.as_os_str() == "-" { read } else { fs::read(&target).expect("a file") };
            assert!(found == bytes, "{} bytes", found.len());
        }
    }
}

#[test]
fn an_existing_file_is_written_in_place() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    Image::full(4 << 20).seed(2).write(&target);
    let receiver = listen(INSECURE, &target);
    let mut sender = receiver.sender(&["-n", "5", "-s", "64k"], &source);
    expect_ok(transfer(receiver, &mut sender));
    Image::sample().assert_is(&target);
    assert_takes_no_more(&target, &source);
}

#[test]
fn a_command_gets_the_volume_and_its_status_counts_at_the_sender() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    let exec = |command: &str| {
        let receiver = listen_as(&mut lvpipe(["recv", "-I", "127.0.0.1:0", "--insecure", "--exec", command]));
        let mut sender = receiver.sender(&["-n", "3", "-s", "64k"], &source);
        transfer(receiver, &mut sender)
    };
    expect_ok(exec(&format!("cat > {}", target.display())));
    Image::sample().assert_is(&target);
    let (sent, received) = exec("cat > /dev/null; exit 7");
    sent.expect_failure(1, &["receiver failed", "7"]);
    received.expect_failure(1, &["7"]);
}

#[test]
fn a_command_does_not_get_the_key_that_is_in_the_environment() {
    let scratch = scratch_in_memory();
    let (source, environment) = (scratch.path().join("image"), scratch.path().join("environment"));
    Image::sample().write(&source);
    let key = listen(ENCRYPTED, &scratch.path().join("copy")).key();
    let command = format!("cat > /dev/null; env > {}", environment.display());
    let mut receiver = lvpipe(["recv", "-I", "127.0.0.1:0", "--exec", &command]);
    let receiver = listen_as(receiver.env("LVPIPE_KEY", &key));
    let mut sender = send_to(receiver.address, &[], &source);
    expect_ok(transfer(receiver, sender.env("LVPIPE_KEY", &key)));
    let environment = std::fs::read_to_string(environment).expect("written");
    assert!(environment.contains("PATH=") && !environment.contains("LVPIPE_KEY"), "{environment}");
}

#[test]
fn a_rate_is_that_of_all_links_together() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(4 << 20).write(&source);
    let receiver = listen(INSECURE, &target);
    let args = ["-n", "4", "-s", "64k", "-r", "4M", "--compress", "none", "--progress", "json"];
    let mut sender = receiver.sender(&args, &source);
    let begun = Instant::now();
    let (sent, _) = expect_ok(transfer(receiver, &mut sender));
    let rate = figure(&sent, "wire_bytes") as f64 / begun.elapsed().as_secs_f64() / f64::from(4 << 20);
    assert!(rate < 1.1 && rate > 0.4, "{rate:.2} of the rate");
}

#[test]
fn links_go_over_all_ways_and_from_all_addresses() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    let receiver = listen(ENCRYPTED, &target);
    let (one, other) = (Proxy::to(receiver.address), Proxy::to(receiver.address));
    // Slow enough for all of them to be made.
    let args = ["-n", "6", "-s", "64k", "-r", "1M", "--bind", "127.0.0.2", "--bind", "127.0.0.3", "-O"];
    let mut sender = receiver.sender_through(one.address, &args, other.address.to_string().as_ref());
    expect_ok(transfer(receiver, sender.arg(&source)));
    Image::sample().assert_is(&target);
    assert!(one.connections() >= 2 && other.connections() >= 2);
    let mut peers = [one.peers(), other.peers()].concat();
    peers.sort();
    peers.dedup();
    assert_eq!(peers, ["127.0.0.2".parse::<std::net::IpAddr>().expect("one"), "127.0.0.3".parse().expect("one")]);
}

#[test]
fn both_families_lead_to_one_receiver() {
    let scratch = scratch_in_memory();
    let (source, target) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&source);
    let receiver = listen_as(lvpipe(["recv", "-I", "0", "--progress", "json"]).arg(&target));
    let port = receiver.address.port();
    let (v4, v6) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    let mut sender = lvpipe(["send", "-O", &v4, "-O", &v6, "-n", "2", "-s", "64k"]);
    sender.env("LVPIPE_KEY", receiver.key()).arg(&source);
    expect_ok(transfer(receiver, &mut sender));
    Image::sample().assert_is(&target);
}
