//! What follows from the figures for the user: what holds the transfer up, and what to type.

use crate::byte_size::ByteSize;
use crate::measure::estimate::{Estimate, StageName};
use crate::measure::figures::{Far, Machine, best_links};
use crate::wire::DigestKind;

/// The share of a line's bits that is TCP's payload: frames of 1538 bytes on the wire carry 1448.
const PAYLOAD: f64 = 0.94;

/// What is so much faster is worth typing an option.
const MUCH_FASTER: f64 = 1.2;

/// What holds a transfer up, and what would help.
pub(super) fn bottleneck(estimate: &Estimate, here: &Machine, far: Option<&Far>) -> String {
    let rate = ByteSize(estimate.rate as u64);
    let nothing_helps = "neither links nor levels would help";
    let mut sentence = match estimate.bottleneck {
        StageName::Source => format!("The source is the bottleneck, at {rate}/s: {nothing_helps}."),
        StageName::Target => format!("The target is the bottleneck, at {rate}/s: {nothing_helps}."),
        StageName::Processors => {
            let which = if far.is_some() { "This machine's processors are" } else { "The processors are" };
            format!("{which} the bottleneck, at {rate}/s{}.", faster_digest(estimate.rate, here))
        }
        StageName::FarProcessors => {
            let host = far.map_or("the far side", |far| &far.host);
            let digest = far.map(|far| faster_digest(estimate.rate, &far.machine)).unwrap_or_default();
            format!("The processors of {host} are the bottleneck, at {rate}/s{digest}.")
        }
        StageName::Link => link(estimate, far),
    };
    let bits = estimate.rate * estimate.remains * 8.0 / PAYLOAD;
    if far.is_none() && estimate.bottleneck != StageName::Link && bits > 0.0 {
        sentence += &format!(" A link would be, below {:.1} Gbit/s.", bits / 1e9);
    }
    sentence
}

fn link(estimate: &Estimate, far: Option<&Far>) -> String {
    let rate = ByteSize(estimate.rate as u64);
    let links = far.map_or(&[][..], |far| &far.links);
    let Some((best, first)) = best_links(links).zip(links.first()) else {
        return format!("A link of {} is the bottleneck, at {rate}/s of the volume.", estimate.link);
    };
    let carried = ByteSize(best.rate as u64);
    let how = match best.links {
        0 => "through ssh; TCP links beside it cannot be made".to_string(),
        1 => "over one connection; more of them do not help".to_string(),
        number if best.rate > first.rate * MUCH_FASTER => {
            format!("over {number} connections; one carries {}/s", ByteSize(first.rate as u64))
        }
        number => format!("over {number} connections"),
    };
    format!("The link is the bottleneck: it carries {carried}/s {how}. That is {rate}/s of the volume.")
}

fn faster_digest(rate: f64, machine: &Machine) -> String {
    match with_blake3(rate, machine) {
        Some(faster) => format!("; --digest blake3 would make that {}/s", ByteSize(faster as u64)),
        None => String::new(),
    }
}

/// What processors that do `rate` would do with BLAKE3 instead, where that is worth an option.
fn with_blake3(rate: f64, machine: &Machine) -> Option<f64> {
    let seconds = |name: &str| machine.digests.iter().find(|at| at.digest == name).map(|at| 1.0 / at.rate);
    let (sha256, blake3) = (seconds(&DigestKind::Sha256.to_string())?, seconds(&DigestKind::Blake3.to_string())?);
    let seconds = 1.0 / rate - (sha256 - blake3);
    let is_chosen = machine.digest == DigestKind::Sha256.to_string();
    Some(1.0 / seconds).filter(|faster| is_chosen && seconds > 0.0 && *faster > rate * MUCH_FASTER)
}

/// Options of `lvpipe send` that the figures speak for.
pub(super) fn options(estimate: &Estimate, here: &Machine, far: Option<&Far>) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(best) = far.and_then(|far| best_links(&far.links)) {
        match best.links {
            0 => options.extend(["--via".to_string(), "ssh".into()]),
            links => options.extend(["-n".to_string(), links.to_string()]),
        }
    }
    let slow_digest = match estimate.bottleneck {
        StageName::Processors => with_blake3(estimate.rate, here).is_some(),
        StageName::FarProcessors => far.is_some_and(|far| with_blake3(estimate.rate, &far.machine).is_some()),
        StageName::Source | StageName::Link | StageName::Target => false,
    };
    if slow_digest {
        options.extend(["--digest".to_string(), "blake3".into()]);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::figures::{Digested, Links};

    fn machine(sha256: f64, blake3: f64) -> Machine {
        let digests = [("sha256", sha256), ("blake3", blake3)];
        Machine {
            lvpipe: "1".into(),
            workers: 1,
            digest: "sha256".into(),
            sample: 1,
            levels: Vec::new(),
            digests: digests.map(|(digest, rate)| Digested { digest: digest.into(), rate }).into(),
            highest_level: 9,
        }
    }

    fn far(rates: &[(u16, f64)], machine: Machine) -> Far {
        let links = rates.iter().map(|&(links, rate)| Links { links, rate, processor_seconds_a_byte: 0.0 });
        Far { host: "host".into(), machine, round_trip: None, links: links.collect() }
    }

    fn estimate(bottleneck: StageName) -> Estimate {
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

    #[test]
    fn the_options_are_those_that_the_figures_speak_for() {
        let (even, slow) = (machine(1e9, 1e9), machine(3e8, 1e9));
        fn words(estimate: &Estimate, here: &Machine, far: Option<&Far>) -> String {
            options(estimate, here, far).join(" ")
        }
        let (cpu, link) = (estimate(StageName::Processors), estimate(StageName::Link));
        assert_eq!(words(&cpu, &even, None), "");
        assert_eq!(words(&cpu, &slow, None), "--digest blake3");
        assert_eq!(words(&link, &slow, Some(&far(&[(1, 1e8), (2, 2e8), (4, 2e8)], even.clone()))), "-n 2");
        assert_eq!(words(&link, &even, Some(&far(&[(0, 1e8)], even.clone()))), "--via ssh");
        let there = estimate(StageName::FarProcessors);
        assert_eq!(words(&there, &even, Some(&far(&[(1, 1e8)], slow))), "-n 1 --digest blake3");
    }

    #[test]
    fn the_sentence_names_what_is_slow_and_what_would_help() {
        let even = machine(1e9, 1e9);
        let say = |name, rates: &[(u16, f64)]| bottleneck(&estimate(name), &even, Some(&far(rates, even.clone())));
        assert!(say(StageName::Source, &[(1, 1e8)]).starts_with("The source is the bottleneck, at 95.4 MiB/s"));
        assert!(say(StageName::FarProcessors, &[]).contains("processors of host"));
        assert!(say(StageName::Link, &[(1, 1e8), (2, 1e8)]).contains("more of them do not help"));
        assert!(say(StageName::Link, &[(1, 1e8), (2, 2e8)]).contains("2 connections; one carries 95.4 MiB/s"));
        assert!(say(StageName::Link, &[(0, 1e8)]).contains("through ssh"));
        let slow = bottleneck(&estimate(StageName::Processors), &machine(3e8, 1e9), None);
        assert!(slow.contains("--digest blake3 would make that 124 MiB/s"), "{slow}");
    }
}
