//! What is refused: with which words, with which status, and before a byte is written.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use nix::pty::openpty;

use crate::image::{Image, assert_not_there, names, scratch_in_memory};
use crate::process::{Ran, lvpipe, recv, run, run_with_input, send, start, start_pair, wait_until};

fn small_stream() -> Vec<u8> {
    run_with_input(&mut lvpipe(["send", "-"]), b"some bytes").expect_ok().stdout
}

/// Runs it, nothing being on its standard output whatever happens.
fn run_silent<'a>(args: impl IntoIterator<Item = &'a str>) -> Ran {
    let ran = run(&mut lvpipe(args));
    assert!(ran.stdout.is_empty(), "{} bytes on stdout:\n{ran}", ran.stdout.len());
    ran
}

#[test]
fn a_volume_that_does_not_exist() {
    let no_such_file = "/no/such/volume: No such file or directory";
    run_silent(["send", "/no/such/volume"]).expect_failure(1, &["lvpipe: cannot open source: ", no_such_file]);
    run_silent(["map", "/no/such/volume"]).expect_failure(1, &["lvpipe: cannot open source: ", no_such_file]);
    run_silent(["inspect", "/no/such/volume"]).expect_failure(1, &["lvpipe: cannot open stream: ", no_such_file]);
    // Without LVM the reason is another, but the name and a way out are there.
    let ran = run_silent(["send", "no-such-vg/lv"]).expect_failure(1, &["no-such-vg/lv: "]);
    assert_eq!(ran.stderr.lines().count(), 2, "{ran}");
}

/// As an unset variable in a script gives it.
#[test]
fn an_empty_name() {
    for task in ["send", "recv", "map", "inspect"] {
        run_silent([task, ""]).expect_failure(2, &["lvpipe: invalid value '' for '", ": the name is empty"]);
    }
}

#[test]
fn a_name_that_is_not_text_is_as_good_as_any() {
    let scratch = scratch_in_memory();
    let path = |name: &[u8]| scratch.path().join(OsStr::from_bytes(name));
    let (image, copy, saved) = (path(b"image\xff"), path(b"copy\xfe"), path(b"saved\xfd"));
    Image::sample().write(&image);
    let stream = run(&mut send(&[], &image)).expect_ok().stdout;
    run_with_input(&mut recv(&[], &copy), &stream).expect_ok();
    Image::sample().assert_is(&copy);
    fs::write(&saved, stream).expect("written");
    for (task, path) in [("inspect", &saved), ("map", &image)] {
        run(lvpipe([task]).arg(path)).expect_ok();
    }
    run(&mut send(&[], &path(b"none\xff"))).expect_failure(1, &["none\u{fffd}: No such file or directory"]);
}

#[test]
fn a_directory() {
    let scratch = scratch_in_memory();
    let directory = scratch.path().to_str().expect("text");
    for task in ["send", "map"] {
        run_silent([task, directory])
            .expect_failure(2, &["lvpipe: cannot open source: ", ": it is a directory\n  for files: tar c "]);
    }
    run_with_input(&mut lvpipe(["recv", directory]), &small_stream())
        .expect_failure(2, &["lvpipe: cannot open target: ", ": it is a directory\n  name the file in it: "]);
    assert!(names(scratch.path()).is_empty());
}

#[test]
fn a_terminal_where_a_stream_is_due() {
    let pty = openpty(None, None).expect("a pty");
    let terminal = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
    let scratch = scratch_in_memory();
    let (image, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::sample().write(&image);

    let to_terminal = start(send(&[], &image).stdout(terminal(&pty.slave))).end();
    to_terminal
        .expect_failure(2, &["lvpipe: nowhere to send to: stdout: it is a terminal\n  lvpipe send SOURCE |"]);
    let from_terminal = start(recv(&[], &copy).stdin(terminal(&pty.slave))).end();
    from_terminal
        .expect_failure(2, &["lvpipe: no stream to receive: stdin: it is a terminal\n  lvpipe send SOURCE"]);
    let typed = start(lvpipe(["send", "-"]).stdin(terminal(&pty.slave)).stdout(Stdio::null())).end();
    typed.expect_failure(2, &["lvpipe: no stream to read: stdin: it is a terminal\n  put a pipe"]);
    let inspected = start(lvpipe(["inspect", "-"]).stdin(terminal(&pty.slave))).end();
    inspected.expect_failure(2, &["lvpipe: no stream to ", "stdin: it is a terminal\n"]);
    let saved = scratch.path().join("stream");
    fs::write(&saved, small_stream()).expect("written");
    let stdin = File::open(&saved).expect("the stream");
    let dense = start(lvpipe(["recv", "-"]).stdin(stdin).stdout(terminal(&pty.slave))).end();
    dense.expect_failure(2, &["lvpipe: nowhere to write to: stdout: it is a terminal\n  put a pipe"]);
    assert!(!copy.exists());
}

#[test]
fn a_stream_that_is_not_lvpipes_is_called_what_it_looks_like() {
    let with = |offset: usize, magic: &[u8]| {
        let mut bytes = vec![b'x'; 4096];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        bytes
    };
    let foreign: [(Vec<u8>, &str); 9] = [
        (with(0, b"\x1f\x8b\x08"), "it looks like gzip data\n  decompress it first"),
        (with(0, b"\x28\xb5\x2f\xfd"), "it looks like zstd data\n  decompress it first"),
        (with(257, b"ustar\x0000"), "it looks like a tar archive\n"),
        (with(8, b"\xac\xcb\xba\xf5\x02\0\0\0"), "it looks like a zfs send stream\n"),
        (with(1080, b"\x53\xef"), "it looks like an ext2/3/4 file system\n"),
        (with(0, b"QFI\xfb"), "it looks like a qcow2 image\n"),
        (with(0, b"hello"), "not an lvpipe stream\n  a stream is what `lvpipe send` writes"),
        (vec![0; 1 << 20], "not an lvpipe stream\n"),
        (b"short".to_vec(), "not an lvpipe stream\n"),
    ];
    let scratch = scratch_in_memory();
    let (old, new, saved) = (scratch.path().join("old"), scratch.path().join("new"), scratch.path().join("saved"));
    for (bytes, said) in foreign {
        fs::write(&old, "old").expect("written");
        for target in [&old, &new] {
            run_with_input(&mut recv(&[], target), &bytes)
                .expect_failure(3, &["cannot read stream: stdin: ", said]);
        }
        fs::write(&saved, bytes).expect("written");
        run(lvpipe(["inspect"]).arg(&saved)).expect_failure(3, &["cannot read stream: ", "saved: ", said]);
        assert_eq!(fs::read(&old).expect("it is there"), b"old");
        assert_eq!(names(scratch.path()), ["old", "saved"]);
    }
}

#[test]
fn what_real_tools_write_is_recognised() {
    for (command, said) in [("tar c -C /etc hostname", "a tar archive"), ("gzip -c /etc/hostname", "gzip data")] {
        let bytes = std::process::Command::new("sh").args(["-c", command]).output().expect("sh").stdout;
        run_with_input(&mut lvpipe(["recv", "-"]), &bytes).expect_failure(3, &[said]);
    }
}

#[test]
fn no_stream_at_all_is_a_truncated_one() {
    run(&mut lvpipe(["recv", "-"])).expect_failure(3, &["lvpipe: stream is truncated: stdin: it is empty\n  "]);
}

/// Puts `value` at `offset` of the prelude and makes its checksum fit again.
fn with_field(offset: usize, value: &[u8]) -> Vec<u8> {
    let mut stream = small_stream();
    stream[offset..offset + value.len()].copy_from_slice(value);
    let crc = crc32c::crc32c(&stream[..92]);
    stream[92..96].copy_from_slice(&crc.to_le_bytes());
    stream
}

#[test]
fn a_stream_from_another_time_says_which_side_is_older() {
    let newer = with_field(8, &2u16.to_le_bytes());
    run_with_input(&mut lvpipe(["recv", "-"]), &newer).expect_failure(
        3,
        &["the stream is of format version 2, this lvpipe reads version 1: this lvpipe is older\n  update this lvpipe"],
    );
    let older = with_field(8, &0u16.to_le_bytes());
    run_with_input(&mut lvpipe(["recv", "-"]), &older)
        .expect_failure(3, &["format version 0", "the sender is older\n  update the sender's lvpipe"]);
    let features = with_field(12, &0x40u32.to_le_bytes());
    run_with_input(&mut lvpipe(["recv", "-"]), &features)
        .expect_failure(3, &["needs features 0x00000040 ", "this lvpipe is older than the sender\n  update this"]);
}

#[test]
fn one_link_of_several_is_not_a_whole_transfer() {
    let one_of_two = with_field(34, &2u16.to_le_bytes());
    run_with_input(&mut lvpipe(["recv", "-"]), &one_of_two)
        .expect_failure(3, &["lvpipe: cannot read stream: stdin: it is link 1 of a transfer over 2"]);
}

#[test]
fn a_part_size_or_a_digest_that_cannot_be() {
    for (offset, value) in [(36, 65_537u32), (36, 0), (36, 1 << 31), (56, 9)] {
        run_with_input(&mut lvpipe(["recv", "-"]), &with_field(offset, &value.to_le_bytes()))
            .expect_failure(3, &["lvpipe: stream is corrupt: stdin: the ", " cannot be "]);
    }
}

#[test]
fn options_that_do_not_parse_say_what_would() {
    let rows: [(&[&str], &str); 14] = [
        (&["-r", "10x"], "a number with one of the suffixes b, k, M, G, T, P (powers of 1024), as in 128k or 1.5G"),
        (&["-r", "fast"], "as in 128k or 1.5G"),
        (&["-r", "0"], "must be more than 0"),
        (&["-m", "1Q"], "or a percentage of memory as in 25%"),
        (&["-m", "95%"], "a whole number from 1% to 90%"),
        (&["-s", "100k"], "a part is a power of two from 64k to 64M, as in 1M"),
        (&["-s", "32k"], "from 64k to 64M"),
        (&["-s", "128M"], "from 64k to 64M"),
        (&["-j", "0"], "1..=1024"),
        (&["--compress", "gzip"], "expected auto, none, zstd or zstd:LEVEL with a level from -7 to 19"),
        (&["--compress", "zstd:20"], "a level from -7 to 19"),
        (&["--digest", "md5"], "sha256"),
        (&["--progress", "dots"], "[possible values: auto, bar, plain, json, none]"),
        (&["--map", "some"], "[possible values: auto, none]"),
    ];
    for (option, said) in rows {
        let ran = run_silent(["send", "/dev/null"].iter().chain(option).copied());
        ran.expect_failure(2, &[&format!("lvpipe: invalid value '{}' for '", option[1]), said]);
    }
    run_silent(["recv", "--create", "vg/pool", "x"])
        .expect_failure(2, &["expected VG/POOL:NAME, as in vg/pool:vm1"]);
}

#[test]
fn command_lines_that_make_no_sense() {
    let rows: [(&[&str], &str); 9] = [
        (&["send", "--no-such-option", "x"], "unexpected argument '--no-such-option' found"),
        (&["send"], "<SOURCE>"),
        (&["send", "a", "b"], "cannot send to: b: expected ssh://"),
        (&["recv"], "<TARGET>"),
        (&["sned", "x"], "unrecognized subcommand 'sned'"),
        (&["send", "-q", "-v", "x"], "cannot be used with"),
        (&["map", "--json", "--extents", "x"], "cannot be used with"),
        (&["send", "--thin-id", "3", "x"], "--thin-metadata"),
        (&["recv", "--create", "vg/pool:new", "x"], "cannot be used with"),
    ];
    for (args, said) in rows {
        run_silent(args.iter().copied()).expect_failure(2, &["lvpipe: ", said]);
    }
}

#[test]
fn too_little_memory_says_how_much_would_do() {
    let scratch = scratch_in_memory();
    let image = scratch.path().join("image");
    Image::sample().write(&image);
    run(&mut send(&["-m", "1M"], &image))
        .expect_failure(2, &["so little memory: -m 1048576: parts of 1M need at "]);
    let large_parts = run(&mut send(&["-s", "64M", "-m", "1G"], &image)).expect_ok().stdout;
    let copy = scratch.path().join("copy");
    let ran = run_with_input(&mut recv(&["-m", "64M"], &copy), &large_parts);
    ran.expect_failure(2, &["so little memory: -m 67108864: parts of 64M need at least ", "\n  -m "]);
    assert_eq!(names(scratch.path()), ["image"]);
    // The least that it asks for is enough.
    let asked = run(&mut send(&["-m", "1M"], &image)).stderr;
    let least = asked.rsplit_once("-m ").and_then(|(_, rest)| rest.split_once(';')).expect("a way out").0;
    run(&mut send(&["-m", least], &image)).expect_ok();
}

#[test]
fn a_byte_stream_has_no_map_and_no_size() {
    run_silent(["map", "-"]).expect_failure(2, &["lvpipe: no map: -: a byte stream has none"]);
    run_with_input(&mut lvpipe(["recv", "--create", "vg/pool:new"]), &small_stream()).expect_failure(
        2,
        &["lvpipe: cannot create target: vg/new: the stream does not say how large it is\n  create"],
    );
}

#[test]
fn a_source_that_becomes_shorter_while_it_is_sent() {
    let scratch = scratch_in_memory();
    let (image, copy) = (scratch.path().join("image"), scratch.path().join("copy"));
    Image::full(8 << 20).write(&image);
    let mut slowly = send(&["-s", "64k", "-m", "2M", "--compress", "none", "-r", "10M"], &image);
    let (sending, receiving) = start_pair(&mut slowly, recv(&[], &copy).stdout(Stdio::null()));
    wait_until("the receiver writes", || scratch.path().join("copy.partial").exists());
    File::options().write(true).open(&image).and_then(|file| file.set_len(4 << 20)).expect("cut off");
    sending.end().expect_failure(
        1,
        &["lvpipe: cannot read source: ", "image at offset ", ": the file has become shorter while it was read"],
    );
    receiving.end().expect_failure(3, &["lvpipe: stream is truncated: "]);
    assert_not_there(scratch.path(), &["image"]);
}

#[test]
fn thin_metadata_that_is_none() {
    let scratch = scratch_in_memory();
    let (image, metadata) = (scratch.path().join("image"), scratch.path().join("metadata"));
    Image::sample().write(&image);
    let with_metadata = |path: &Path| {
        let mut command = send(&["--thin-id", "1", "--thin-metadata"], path);
        run(command.arg(&image))
    };
    with_metadata(&metadata).expect_failure(1, &["metadata: No such file or directory"]);
    fs::write(&metadata, vec![7; 1 << 20]).expect("written");
    let ran = with_metadata(&metadata);
    assert!(!ran.status.success() && ran.stdout.is_empty(), "{ran}");
    assert!(ran.stderr.starts_with("lvpipe: ") && ran.stderr.contains("metadata"), "{ran}");
}
