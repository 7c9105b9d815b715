//! What a migration says of its rounds and of its end: lines for people, objects for programs.

use std::time::Duration;

use serde::Serialize;

use crate::byte_size::ByteSize;
use crate::migrate::{Downtime, RoundReport};
use crate::wire::DigestKind;

/// The line of a round.
pub(super) fn round(round: &RoundReport) -> String {
    let size = |bytes| ByteSize(bytes).to_string();
    let what = match (round.number, round.discarded) {
        (1, _) => format!("{} used", size(round.written)),
        (_, 0) => format!("{} written", size(round.written)),
        (_, discarded) => format!("{} written, {} discarded", size(round.written), size(discarded)),
    };
    let rate = rate(round).map(|rate| format!(", {}/s", size(rate))).unwrap_or_default();
    let pending = round.pending.map(|pending| format!("; {} written meanwhile", size(pending.written)));
    let expected = round.expected.map(|time| format!(", expected downtime {}", seconds(time)));
    let (number, wire, took) = (round.number, size(round.wire), seconds(round.took));
    let (pending, expected) = (pending.unwrap_or_default(), expected.unwrap_or_default());
    format!("lvpipe migrate: round {number}: {what}, sent as {wire} in {took}{rate}{pending}{expected}")
}

/// Bytes of the volume a second.
fn rate(round: &RoundReport) -> Option<u64> {
    let took = round.took.as_secs_f64();
    (took > 0.0 && round.written > 0).then(|| (round.written as f64 / took) as u64)
}

/// `0.82 s`, `12.3 s`, `310 s`.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let decimals = match seconds {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{seconds:.decimals$} s")
}

/// Where the volume is now.
pub(super) struct There<'a> {
    pub(super) source: &'a str,
    pub(super) target: &'a str,
    pub(super) host: &'a str,
    pub(super) digest: DigestKind,
}

impl There<'_> {
    /// The lines at the end.
    pub(super) fn summary(&self, downtime: &Downtime) -> String {
        let There { source, target, host, digest } = self;
        let pieces = [
            ("pause", downtime.pause),
            ("snapshot", downtime.snapshot),
            ("transfer", downtime.transfer),
            ("done", downtime.done),
            ("resume", downtime.resume),
        ];
        let pieces: Vec<String> = pieces.iter().map(|(name, time)| format!("{name} {}", seconds(*time))).collect();
        let verified = match digest {
            DigestKind::None => "not verified by a digest".to_string(),
            digest => format!("{digest} verified"),
        };
        let (total, number, last) =
            (seconds(downtime.total), downtime.last.number, ByteSize(downtime.last.written));
        format!(
            "lvpipe migrate: {source} is {target} at {host} now: downtime {total}: {}; round {number} was the last, with {last}; \
             {verified}\n  {source} here is as it was when it was paused, and must not be used again",
            pieces.join(", ")
        )
    }
}

/// A round's object.
#[derive(Serialize)]
struct Round {
    role: &'static str,
    round: u32,
    written_bytes: u64,
    discarded_bytes: u64,
    wire_bytes: u64,
    seconds: f64,
    rate: Option<u64>,
    pending_bytes: Option<u64>,
    expected_downtime_seconds: Option<f64>,
}

/// The last object.
#[derive(Serialize, Default)]
struct End {
    role: &'static str,
    #[serde(rename = "final")]
    is_final: bool,
    ok: bool,
    rounds: Option<u32>,
    last_written_bytes: Option<u64>,
    downtime_seconds: Option<f64>,
    pause_seconds: Option<f64>,
    snapshot_seconds: Option<f64>,
    transfer_seconds: Option<f64>,
    done_seconds: Option<f64>,
    resume_seconds: Option<f64>,
}

/// The role in the objects.
const ROLE: &str = "migrate";

/// The same as [`round`], as JSON.
pub(super) fn round_as_json(round: &RoundReport) -> String {
    json(&Round {
        role: ROLE,
        round: round.number,
        written_bytes: round.written,
        discarded_bytes: round.discarded,
        wire_bytes: round.wire,
        seconds: thousandths(round.took),
        rate: rate(round),
        pending_bytes: round.pending.map(|pending| pending.written),
        expected_downtime_seconds: round.expected.map(thousandths),
    })
}

/// The last line of JSON; of a migration that failed there is no downtime to tell.
pub(super) fn end_as_json(downtime: Option<&Downtime>) -> String {
    let of = |piece: fn(&Downtime) -> Duration| downtime.map(|downtime| thousandths(piece(downtime)));
    json(&End {
        role: ROLE,
        is_final: true,
        ok: downtime.is_some(),
        rounds: downtime.map(|downtime| downtime.last.number),
        last_written_bytes: downtime.map(|downtime| downtime.last.written),
        downtime_seconds: of(|downtime| downtime.total),
        pause_seconds: of(|downtime| downtime.pause),
        snapshot_seconds: of(|downtime| downtime.snapshot),
        transfer_seconds: of(|downtime| downtime.transfer),
        done_seconds: of(|downtime| downtime.done),
        resume_seconds: of(|downtime| downtime.resume),
    })
}

fn json(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("numbers, text and null serialise")
}

fn thousandths(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::JSON_FIELDS;
    use crate::volume::Pending;

    fn later() -> RoundReport {
        RoundReport {
            number: 2,
            written: 34 << 20,
            discarded: 1 << 20,
            wire: 20 << 20,
            prepared: Duration::from_millis(200),
            took: Duration::from_millis(1700),
            pending: Some(Pending { written: 4 << 20, discarded: 0 }),
            expected: Some(Duration::from_millis(400)),
        }
    }

    fn downtime() -> Downtime {
        let ms = Duration::from_millis;
        Downtime {
            total: ms(830),
            pause: ms(50),
            snapshot: ms(400),
            transfer: ms(200),
            done: ms(100),
            resume: ms(80),
            last: RoundReport { number: 3, written: 4 << 20, pending: None, expected: None, ..later() },
        }
    }

    #[test]
    fn a_round_is_one_line() {
        assert_eq!(
            round(&later()),
            "lvpipe migrate: round 2: 34.0 MiB written, 1.00 MiB discarded, sent as 20.0 MiB in 1.70 s, 20.0 MiB/s; \
             4.00 MiB written meanwhile, expected downtime 0.40 s"
        );
        let first = RoundReport { number: 1, expected: None, took: Duration::from_secs(340), ..later() };
        assert_eq!(
            round(&first),
            "lvpipe migrate: round 1: 34.0 MiB used, sent as 20.0 MiB in 340 s, 102 KiB/s; 4.00 MiB written meanwhile"
        );
    }

    #[test]
    fn the_end_tells_the_downtime_and_what_it_was_for() {
        let there = There { source: "vg/vm1", target: "vg/vm2", host: "root@host", digest: DigestKind::Sha256 };
        assert_eq!(
            there.summary(&downtime()),
            "lvpipe migrate: vg/vm1 is vg/vm2 at root@host now: downtime 0.83 s: pause 0.05 s, snapshot 0.40 s, \
             transfer 0.20 s, done 0.10 s, resume 0.08 s; round 3 was the last, with 4.00 MiB; sha256 verified\n  \
             vg/vm1 here is as it was when it was paused, and must not be used again"
        );
    }

    #[test]
    fn the_manual_names_all_fields() {
        for line in [round_as_json(&later()), end_as_json(Some(&downtime()))] {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).expect("JSON");
            for name in object.keys() {
                assert!(JSON_FIELDS.iter().any(|(field, _, _)| field == name), "{name}");
            }
        }
    }

    #[test]
    fn programs_get_the_same_figures() {
        assert_eq!(
            round_as_json(&later()),
            r#"{"role":"migrate","round":2,"written_bytes":35651584,"discarded_bytes":1048576,"wire_bytes":20971520,"#
                .to_string()
                + r#""seconds":1.7,"rate":20971520,"pending_bytes":4194304,"expected_downtime_seconds":0.4}"#
        );
        assert_eq!(
            end_as_json(Some(&downtime())),
            r#"{"role":"migrate","final":true,"ok":true,"rounds":3,"last_written_bytes":4194304,"#.to_string()
                + r#""downtime_seconds":0.83,"pause_seconds":0.05,"snapshot_seconds":0.4,"transfer_seconds":0.2,"#
                + r#""done_seconds":0.1,"resume_seconds":0.08}"#
        );
        assert!(end_as_json(None).contains(r#""ok":false,"rounds":null"#));
    }
}
