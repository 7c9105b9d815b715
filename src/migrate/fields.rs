//! The fields of a migration's own JSON lines, for the manual.

/// Name, unit, meaning: of the line of a round, and of the last line. Fields are added at the end, never renamed or
/// removed.
pub const JSON_FIELDS: [(&str, &str, &str); 19] = [
    ("role", "text", "migrate"),
    ("round", "number", "the round that is over, from 1; not in the last line"),
    (
        "written_bytes",
        "bytes",
        "what the round carried: what the volume holds, or what was written since the round before",
    ),
    ("discarded_bytes", "bytes", "what was discarded since the round before, and is now at the target"),
    ("wire_bytes", "bytes", "sent over the links, headers included"),
    ("seconds", "s", "how long the round took, with its snapshot"),
    ("rate", "bytes/s or null", "written_bytes / seconds"),
    ("pending_bytes", "bytes or null", "what was written meanwhile, and the next round will carry"),
    (
        "expected_downtime_seconds",
        "s or null",
        "how long that would take, without the commands; null after the first round",
    ),
    ("final", "boolean", "true in the last line"),
    ("ok", "boolean", "in the last line: whether the far side has taken over, and all commands ended well"),
    ("rounds", "number or null", "in the last line: how many rounds there were, with that in the pause"),
    ("last_written_bytes", "bytes or null", "in the last line: what the round in the pause carried"),
    (
        "downtime_seconds",
        "s or null",
        "in the last line: from the start of the pause command to the end of the resume command, or of what came last",
    ),
    ("pause_seconds", "s or null", "of it, the pause command"),
    ("snapshot_seconds", "s or null", "of it, the last snapshot and what changed since the one before"),
    ("transfer_seconds", "s or null", "of it, the last round's transfer, verified and on stable storage"),
    ("done_seconds", "s or null", "of it, the switch, with the done command"),
    ("resume_seconds", "s or null", "of it, the resume command"),
];
