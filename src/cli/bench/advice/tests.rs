use super::*;
use crate::measure::estimate::Carried;
use crate::measure::figures::{Digested, Level, Links, Machine, Transfer};

/// Digests at these rates, and does nothing else that takes time.
fn machine(sha256: f64, blake3: f64) -> Machine {
    let digests = [("sha256", sha256), ("blake3", blake3)];
    Machine {
        lvpipe: "1".into(),
        workers: 1,
        digest: "sha256".into(),
        sample: 1,
        levels: vec![Level { level: None, remains: 1.0, encode: sha256, decode: sha256 }],
        digests: digests.map(|(digest, rate)| Digested { digest: digest.into(), rate }).into(),
        highest_level: 9,
    }
}

fn far(rates: &[(u16, f64)], machine: Machine) -> Far {
    let links = rates.iter().map(|&(links, rate)| Links { links, rate, processor_seconds_a_byte: 0.0 });
    Far { host: "host".into(), machine, round_trip: None, links: links.collect() }
}

fn held_up_by(bottleneck: StageName) -> Estimate {
    Estimate {
        link: "measured".into(),
        used: 1,
        wire: 1,
        remains: 0.5,
        level: None,
        stages: Vec::new(),
        bottleneck,
        rate: 1e8,
        seconds: 1.0,
    }
}

fn words(estimate: Estimate, faster: Option<Faster>, far: Option<&Far>) -> String {
    options(&[estimate], faster, far).join(" ")
}

#[test]
fn the_options_are_those_that_the_figures_speak_for() {
    let (even, blake3) = (machine(1e9, 1e9), Faster { digest: DigestKind::Blake3, rate: 2e8 });
    assert_eq!(words(held_up_by(StageName::Processors), None, None), "");
    assert_eq!(words(held_up_by(StageName::Processors), Some(blake3), None), "--digest blake3");
    let doubled = far(&[(1, 1e8), (2, 2e8), (4, 2e8)], even.clone());
    assert_eq!(words(held_up_by(StageName::Link), None, Some(&doubled)), "-n 2");
    assert_eq!(words(held_up_by(StageName::Link), None, Some(&far(&[(0, 1e8)], even.clone()))), "--via ssh");
    assert_eq!(words(held_up_by(StageName::FarProcessors), Some(blake3), Some(&doubled)), "--digest blake3");
}

#[test]
fn a_number_of_links_is_named_where_the_link_is_waited_for_only() {
    let (doubled, blocked) = ([(1, 1e8), (2, 2e8)], [(0, 1e8)]);
    for name in [StageName::Source, StageName::Processors, StageName::FarProcessors, StageName::Target] {
        let far = |rates: &[(u16, f64)]| far(rates, machine(1e9, 1e9));
        assert_eq!(words(held_up_by(name), None, Some(&far(&doubled))), "", "{name:?}");
        assert_eq!(words(held_up_by(name), None, Some(&far(&blocked))), "--via ssh", "{name:?}");
    }
}

#[test]
fn where_nothing_is_used_nothing_is_advised() {
    let far = far(&[(1, 1e8), (2, 2e8)], machine(1e9, 1e9));
    assert!(options(&[], None, Some(&far)).is_empty());
    assert_eq!(bottleneck(&[], None, Some(&far)), "No byte of it is used: there is nothing to move.");
}

#[test]
fn what_another_digest_promises_all_stages_keep() {
    let (slow, even) = (machine(3e8, 3e9), machine(1e10, 1e10));
    let source = |rate| Transfer { bytes: 1, rate, processor_seconds_a_byte: 0.0 };
    let promise = |source: &Transfer, here, link: f64, there| {
        let link = Some(Carried { rate: link, processor_seconds_a_byte: 0.0 });
        let way = Way { source: Some(source), here, link, receiver: Receiver::There(there), target: None };
        let now = estimate(&way, 1 << 30, "measured");
        other_digest(&way, &now).map(|faster| (faster.digest, faster.rate.round()))
    };
    let blake3 = |rate| Some((DigestKind::Blake3, rate));
    assert_eq!(promise(&source(1e10), &slow, 1e10, &even), blake3(3e9), "nothing else holds it up");
    assert_eq!(promise(&source(5e8), &slow, 1e10, &even), blake3(5e8), "no faster than it is read");
    assert_eq!(promise(&source(1e10), &slow, 4e8, &even), blake3(4e8), "no faster than the link");
    assert_eq!(promise(&source(3.5e8), &slow, 1e10, &even), None, "not worth an option then");
    assert_eq!(promise(&source(1e10), &slow, 1e10, &slow), blake3(3e9), "both sides change theirs");
    assert_eq!(promise(&source(2e8), &slow, 1e10, &even), None, "the source it is that is slow");
    // The other way round.
    let with_instructions = Machine { digest: "blake3".into(), ..machine(3e9, 3e8) };
    let levels = vec![Level { level: None, remains: 1.0, encode: 3e8, decode: 3e8 }];
    let with_instructions = Machine { levels, ..with_instructions };
    let sha256 = Some((DigestKind::Sha256, 3e9));
    assert_eq!(promise(&source(1e10), &with_instructions, 1e10, &with_instructions), sha256);
}

#[test]
fn the_sentence_names_what_is_slow_and_what_would_help() {
    let even = machine(1e9, 1e9);
    let say = |name, rates: &[(u16, f64)]| bottleneck(&[held_up_by(name)], None, Some(&far(rates, even.clone())));
    assert!(say(StageName::Source, &[(1, 1e8)]).starts_with("The source is the bottleneck, at 95.4 MiB/s"));
    assert!(say(StageName::FarProcessors, &[]).contains("processors of host"));
    assert!(say(StageName::Link, &[(1, 1e8), (2, 1e8)]).contains("more of them do not help"));
    assert!(say(StageName::Link, &[(1, 1e8), (2, 2e8)]).contains("2 connections; one carries 95.4 MiB/s"));
    assert!(say(StageName::Link, &[(0, 1e8)]).contains("through ssh"));
    let slow = bottleneck(
        &[held_up_by(StageName::Processors)],
        Some(Faster { digest: DigestKind::Blake3, rate: 1.3e8 }),
        None,
    );
    assert!(slow.ends_with("; --digest blake3 would make that 124 MiB/s."), "{slow}");
}

#[test]
fn the_sentence_says_of_each_link_what_the_table_does() {
    let row = |link: &str, bottleneck| Estimate { link: link.into(), ..held_up_by(bottleneck) };
    let say = |narrow, wide| {
        let rows = [row("1 Gbit/s", narrow), row("10 Gbit/s", wide), row("none", StageName::Processors)];
        bottleneck(&rows, None, None)
    };
    let without = "Without a limit of the link, the processors are the bottleneck, at 95.4 MiB/s.";
    assert_eq!(say(StageName::Processors, StageName::Processors), without);
    assert_eq!(say(StageName::Link, StageName::Processors), format!("{without} Over 1 Gbit/s the link is."));
    let both = format!("{without} Over 1 Gbit/s and over 10 Gbit/s the link is.");
    assert_eq!(say(StageName::Link, StageName::Link), both);
}
