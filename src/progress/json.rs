//! The figures as JSON: one object a line, every second and at the end.

use serde::Serialize;

use super::pace::State;

/// The fields of a JSON line, in their order: name, unit, meaning. The manual prints this table. Fields are added
/// at the end, never renamed or removed.
pub const JSON_FIELDS: [(&str, &str, &str); 25] = [
    ("role", "text", "send or recv: the side that reports"),
    ("final", "boolean", "true in the last line, which is written when the run has ended"),
    ("ok", "boolean or null", "in the last line: whether all went well; null before"),
    ("elapsed_seconds", "s", "time since the start"),
    ("volume_bytes", "bytes or null", "size of the volume, holes included; null while not known"),
    ("used_bytes", "bytes or null", "bytes that the used map calls used: what done_bytes grows to"),
    ("done_bytes", "bytes", "used bytes that this side has finished: sent, or written"),
    ("read_bytes", "bytes", "read from the source; on the receiving side decoded"),
    ("wire_bytes", "bytes", "sent over the links or received from them, headers included"),
    ("zero_bytes", "bytes", "used bytes that were found to be zeros and travel as holes"),
    ("hole_bytes", "bytes", "holes announced to the other side, or made on the target"),
    ("parts", "number", "parts finished"),
    ("read_rate", "bytes/s", "mean of read_bytes over the last 5 s; in the last line over the run"),
    ("wire_rate", "bytes/s", "the same of wire_bytes"),
    ("ratio", "number or null", "read_bytes / wire_bytes"),
    ("left_seconds", "s or null", "estimated time until done_bytes is used_bytes, from the last 30 s"),
    ("buffer_used", "number", "buffers of the memory budget in use"),
    ("buffer_total", "number", "buffers there are"),
    ("level", "number or null", "compression level in use; null while nothing is compressed"),
    ("bottleneck", "text or null", "source, cpu, link or target: the stage the others wait for; null if none"),
    ("note", "text or null", "in the last line: how it ended, as in the summary"),
    ("links", "number", "links that are open"),
    ("again", "number", "parts asked for again: they came damaged, or the target did not hold them as it should"),
    (
        "twice",
        "number",
        "parts and holes that went over the links once more, their answer having been lost with a link",
    ),
    ("held", "number", "parts that the target held already, and that were compared"),
];

/// One line; the fields are described in [`JSON_FIELDS`].
#[derive(Serialize)]
struct Line<'a> {
    role: &'a str,
    #[serde(rename = "final")]
    is_final: bool,
    ok: Option<bool>,
    elapsed_seconds: f64,
    volume_bytes: Option<u64>,
    used_bytes: Option<u64>,
    done_bytes: u64,
    read_bytes: u64,
    wire_bytes: u64,
    zero_bytes: u64,
    hole_bytes: u64,
    parts: u64,
    read_rate: u64,
    wire_rate: u64,
    ratio: Option<f64>,
    left_seconds: Option<u64>,
    buffer_used: u64,
    buffer_total: u64,
    level: Option<i32>,
    bottleneck: Option<&'a str>,
    note: Option<&'a str>,
    links: u64,
    again: u64,
    twice: u64,
    held: u64,
}

/// The line of a state; `end` is how the run ended, and the note to it, in the last line.
pub(super) fn line(state: &State, end: Option<(bool, &str)>) -> String {
    let now = &state.now;
    let line = Line {
        role: now.role.name(),
        is_final: end.is_some(),
        ok: end.map(|(ok, _)| ok),
        elapsed_seconds: thousandths(now.elapsed.as_secs_f64()),
        volume_bytes: now.volume,
        used_bytes: now.used,
        done_bytes: now.done,
        read_bytes: now.read,
        wire_bytes: now.wire,
        zero_bytes: now.zeros,
        hole_bytes: now.holes,
        parts: now.parts,
        read_rate: state.read_rate,
        wire_rate: state.wire_rate,
        ratio: state.ratio.map(thousandths),
        left_seconds: state.left.map(|left| left.as_secs()),
        buffer_used: now.buffer_used,
        buffer_total: now.buffer_total,
        level: now.level,
        bottleneck: state.bottleneck.map(|stage| stage.name()),
        note: end.map(|(_, note)| note),
        links: now.links,
        again: now.again,
        twice: now.twice,
        held: now.held,
    };
    serde_json::to_string(&line).expect("numbers, text and null serialise")
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Figures, Role};
    use super::super::pace::Pace;
    use super::*;

    fn state() -> State {
        let mut now = Figures::new(Role::Send).snapshot();
        now.elapsed = std::time::Duration::from_millis(1500);
        (now.volume, now.used, now.read, now.wire, now.done) = (Some(4096), None, 2048, 1000, 2048);
        Pace::new(Figures::new(Role::Send).snapshot()).last(now)
    }

    #[test]
    fn the_table_names_the_fields_in_their_order() {
        let line = line(&state(), None);
        // Positions, as a parsed object would forget the order.
        let mut at = 0;
        for (name, _, _) in JSON_FIELDS {
            let key = format!("\"{name}\":");
            let found = line[at..].find(&key).unwrap_or_else(|| panic!("{name} not after byte {at} of {line}"));
            at += found + key.len();
        }
        let object: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(object.as_object().map(|object| object.len()), Some(JSON_FIELDS.len()));
    }

    #[test]
    fn a_line_is_one_line_that_never_changes_its_form() {
        assert_eq!(
            line(&state(), None),
            r#"{"role":"send","final":false,"ok":null,"elapsed_seconds":1.5,"volume_bytes":4096,"used_bytes":null,"#
                .to_string()
                + r#""done_bytes":2048,"read_bytes":2048,"wire_bytes":1000,"zero_bytes":0,"hole_bytes":0,"parts":0,"#
                + r#""read_rate":1365,"wire_rate":667,"ratio":2.048,"left_seconds":null,"buffer_used":0,"#
                + r#""buffer_total":0,"level":null,"bottleneck":null,"note":null,"links":0,"again":0,"twice":0,"held":0}"#
        );
        let last = line(&state(), Some((true, "a \"note\"\n")));
        assert!(last.contains(r#""final":true,"ok":true,"#), "{last}");
        assert!(last.contains(r#""note":"a \"note\"\n","links":0,"#), "{last}");
    }
}
