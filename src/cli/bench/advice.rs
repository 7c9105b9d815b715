//! What follows from the figures for the user: what holds the transfer up, and what to type.

use crate::byte_size::ByteSize;
use crate::measure::estimate::{Estimate, Receiver, StageName, Way, estimate};
use crate::measure::figures::{Far, best_links};
use crate::wire::DigestKind;

/// What is so much faster is worth typing an option.
const MUCH_FASTER: f64 = 1.2;

/// What holds a transfer up, and what would help. Of several estimates it is about the last, which is the one without
/// a limit of the link; of the others it says which of them wait for the link. `faster` is what [`other_digest`] says of
/// the last one.
pub(super) fn bottleneck(estimates: &[Estimate], faster: Option<Faster>, far: Option<&Far>) -> String {
    let Some((estimate, others)) = estimates.split_last() else {
        return "No byte of it is used: there is nothing to move.".into();
    };
    let rate = ByteSize(estimate.rate as u64);
    let nothing_helps = "neither links nor levels would help";
    let digest = faster.map_or(String::new(), |Faster { digest, rate }| {
        format!("; --digest {digest} would make that {}/s", ByteSize(rate as u64))
    });
    let the = if others.is_empty() { "The" } else { "Without a limit of the link, the" };
    let sentence = match estimate.bottleneck {
        StageName::Source => format!("{the} source is the bottleneck, at {rate}/s: {nothing_helps}."),
        StageName::Target => format!("{the} target is the bottleneck, at {rate}/s: {nothing_helps}."),
        StageName::Processors if far.is_some() => {
            format!("This machine's processors are the bottleneck, at {rate}/s{digest}.")
        }
        StageName::Processors => format!("{the} processors are the bottleneck, at {rate}/s{digest}."),
        StageName::FarProcessors => {
            let host = far.map_or("the far side", |far| &far.host);
            format!("The processors of {host} are the bottleneck, at {rate}/s{digest}.")
        }
        StageName::Link => link(estimate, far),
    };
    let narrow = others.iter().filter(|other| other.bottleneck == StageName::Link);
    let narrow: Vec<&str> = narrow.map(|other| other.link.as_str()).collect();
    if narrow.is_empty() { sentence } else { format!("{sentence} Over {} the link is.", narrow.join(" and over ")) }
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

/// A digest that is worth an option, and the rate that it would make, in bytes of the volume a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Faster {
    pub(super) digest: DigestKind,
    pub(super) rate: f64,
}

/// What a transfer would do with the other of the two digests, by all of its stages, where the processors hold it up
/// and that is worth an option: SHA-256 is the faster one on a processor with instructions for it and short vectors.
pub(super) fn other_digest(way: &Way<'_>, now: &Estimate) -> Option<Faster> {
    let is_slow = matches!(now.bottleneck, StageName::Processors | StageName::FarProcessors);
    let both = [DigestKind::Blake3, DigestKind::Sha256];
    let is_one_of_both = both.iter().any(|kind| kind.to_string() == way.here.digest);
    if !is_slow || !is_one_of_both {
        return None;
    }
    let digest = both.into_iter().find(|kind| kind.to_string() != way.here.digest)?;
    let other = digest.to_string();
    let here = way.here.with_digest(&other)?;
    let there = match way.receiver {
        Receiver::There(machine) => Some(machine.with_digest(&other)?),
        Receiver::Unknown | Receiver::Here => None,
    };
    let receiver = there.as_ref().map_or(way.receiver, Receiver::There);
    let then = estimate(&Way { here: &here, receiver, ..*way }, now.used, &now.link);
    (then.rate > now.rate * MUCH_FASTER).then_some(Faster { digest, rate: then.rate })
}

/// Options of `lvpipe send` that the figures speak for; none where there is nothing to move.
pub(super) fn options(estimates: &[Estimate], faster: Option<Faster>, far: Option<&Far>) -> Vec<String> {
    let Some(estimate) = estimates.last() else { return Vec::new() };
    let mut options = Vec::new();
    match far.and_then(|far| best_links(&far.links)).map(|best| best.links) {
        // Nothing gets through beside ssh: it need not be tried again.
        Some(0) => options.extend(["--via".to_string(), "ssh".into()]),
        // What is not waited for, `send` finds well enough by itself.
        Some(links) if estimate.bottleneck == StageName::Link => options.extend(["-n".into(), links.to_string()]),
        Some(_) | None => {}
    }
    if let Some(Faster { digest, .. }) = faster {
        options.extend(["--digest".to_string(), digest.to_string()]);
    }
    options
}

#[cfg(test)]
mod tests;
