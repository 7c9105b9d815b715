use std::fs::File;

use serde_json::Value;

use crate::image::{Image, scratch_in_memory};
use crate::process::{lvpipe, run};
use crate::report::{bench, bench_for, report};

const MIB: u64 = 1 << 20;

#[test]
fn the_estimate_follows_from_the_figures() {
    let scratch = scratch_in_memory();
    let image = Image::new(64 * MIB, &[0..5 * MIB, 20 * MIB..27 * MIB]);
    let path = scratch.path().join("image");
    image.write(&path);
    // Long enough that even a machine with much to do reads it all in its share of it.
    let report = report(bench_for::<&str>(4, []).arg(&path));
    report.assert_consistent();
    assert_eq!(report.number("/volume/size") as u64, 64 * MIB);
    assert_eq!(report.number("/volume/used") as u64, 12 * MIB);
    assert_eq!(report.number("/volume/extents") as u64, 2);
    assert_eq!(report.number("/source/bytes") as u64, 12 * MIB, "there was time for all of it");
    assert_eq!(report.text("/data"), "volume");
    assert!(report.0["far"].is_null() && report.0["target"].is_null());
    // Half of the blocks compress well, the others hardly: see the image.
    let (none, zstd) = (report.level(&Value::Null), report.level(&Value::from(1)));
    assert!(none["remains"].as_f64().is_some_and(|share| (1.0..1.01).contains(&share)), "{none}");
    assert!(zstd["remains"].as_f64().is_some_and(|share| (0.4..0.7).contains(&share)), "{zstd}");
    let levels = report.list("/here/levels");
    assert!(levels.windows(2).all(|pair| pair[0]["level"].as_i64() < pair[1]["level"].as_i64()), "{levels:#?}");
    assert!(levels.iter().all(|at| at["encode"].as_f64() > Some(0.0) && at["decode"].as_f64() > Some(0.0)));
    let links: Vec<_> = report.list("/estimates").iter().filter_map(|estimate| estimate["link"].as_str()).collect();
    assert_eq!(links, ["1 Gbit/s", "10 Gbit/s", "none"]);
    // However fast the machine is, its first estimate is for 1 Gbit/s, of which TCP has 94 %.
    let least = report.number("/estimates/0/wire") / 117.5e6;
    assert!(report.number("/estimates/0/seconds") >= least * 0.999, "{least} s: {:#}", report.0["estimates"]);
    assert!(report.text("/command").starts_with("lvpipe send /dev/shm/"), "{}", report.text("/command"));
    let sentence = report.text("/bottleneck");
    for estimate in &report.list("/estimates")[..2] {
        let named = sentence.contains(&format!("ver {} ", estimate["link"].as_str().expect("a name")));
        assert_eq!(named, estimate["bottleneck"] == "link", "{sentence}: {estimate:#}");
    }
}

#[test]
fn without_a_volume_generated_data_are_measured() {
    let report = report(&mut bench::<&str>([]));
    report.assert_consistent();
    assert!(report.0["volume"].is_null() && report.0["source"].is_null());
    assert_eq!(report.text("/data"), "generated");
    assert_eq!(report.number("/estimates/0/used") as u64, 1 << 40);
    let share = report.level(&Value::from(-1))["remains"].as_f64();
    assert!(share.is_some_and(|share| (0.35..0.6).contains(&share)), "{share:?}");
}

#[test]
fn nothing_on_it_is_nothing_to_move() {
    let scratch = scratch_in_memory();
    for size in [0, 5, 40 * MIB] {
        let path = scratch.path().join("holes");
        File::create(&path).and_then(|file| file.set_len(size)).expect("a file of holes");
        let report = report(bench::<&str>([]).arg(&path));
        report.assert_consistent();
        assert_eq!((report.number("/volume/size"), report.number("/volume/used")), (size as f64, 0.0));
        assert!(report.0["source"].is_null(), "nothing was read");
        assert_eq!(report.text("/data"), "generated");
        assert!(report.text("/bottleneck").contains("there is nothing to move"), "{}", report.text("/bottleneck"));
        let source = path.to_str().expect("ASCII");
        assert_eq!(report.text("/command"), format!("lvpipe send {source} ssh://HOST/TARGET"), "no options");
    }
}

#[test]
fn what_the_map_calls_used_may_be_zeros() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("zeros");
    std::fs::write(&path, vec![0; 3 << 20]).expect("written");
    let report = report(bench::<&str>([]).arg(&path));
    report.assert_consistent();
    assert_eq!((report.number("/volume/used"), report.number("/estimates/0/wire")), (3.0 * 1048576.0, 0.0));
    assert_ne!(report.text("/estimates/0/bottleneck"), "link", "zeros need none");
}

#[test]
fn a_volume_that_ends_amid_a_block_is_read_to_its_end() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("odd");
    Image::full(3 * MIB + 12_345).write(&path);
    let report = report(bench_for(4, ["-s", "64k", "--digest", "sha256"]).arg(&path));
    report.assert_consistent();
    assert_eq!(report.number("/source/bytes") as u64, 3 * MIB + 12_345);
    assert!(report.text("/command").contains("--digest sha256 -s 64k"), "{}", report.text("/command"));
}

#[test]
fn people_get_a_table_a_sentence_and_a_command() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("image");
    Image::full(3 * MIB).write(&path);
    let ran = run(lvpipe(["bench", "--time", "1", "-m", "24M"]).arg(&path)).expect_ok();
    let text = String::from_utf8(ran.stdout.clone()).expect("text");
    for words in
        ["3.00 MiB of it used, in 1 extent\n", "zstd:-1", "sha256", "1 Gbit/s", "bottleneck", "  lvpipe send "]
    {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100 || line.starts_with("  lvpipe ")), "{text}");
    assert_eq!(ran.stderr, "", "no terminal, no line of progress");
}

#[test]
fn what_cannot_be_measured_is_told() {
    let scratch = scratch_in_memory();
    let missing = scratch.path().join("missing");
    run(bench::<&str>([]).arg(&missing)).expect_failure(1, &["cannot open source", "No such file"]);
    run(bench::<&str>([]).arg(scratch.path())).expect_failure(2, &["it is a directory"]);
    run(&mut bench(["-"])).expect_failure(2, &["a stream can be read only once"]);
    run(&mut bench(["--via", "ssh"])).expect_failure(2, &["--via", "there is no other machine"]);
    run(&mut bench(["ssh://-x/y"])).expect_failure(2, &["expected ssh://"]);
    run(&mut lvpipe(["bench", "-m", "1M"])).expect_failure(2, &["cannot use so little memory"]);
    run(&mut lvpipe(["bench", "--time", "0"])).expect_failure(2, &["expected a time"]);
}

/// The budget of a machine with little of everything.
#[test]
fn memory_is_bounded() {
    let scratch = scratch_in_memory();
    let path = scratch.path().join("image");
    Image::full(150 * MIB).write(&path);
    let ran = run(lvpipe(["bench", "-m", "32M", "--time", "1"]).arg(&path)).expect_ok();
    // Its own 32 MiB, a few for generated data, and the program.
    assert!(ran.peak_memory < 80 * MIB, "{} MiB", ran.peak_memory / MIB);
}
