//! The figures as text: the two lines of the bar, the plain line, the summary. Pure functions, fixed by golden tests.

use std::time::Duration;

use super::figures::{Role, Snapshot};
use super::pace::{State, ratio};
use crate::byte_size::ByteSize;

/// The bar is not drawn with fewer cells than this; it gives way to the figures.
const LEAST_CELLS: usize = 8;
/// ... and on a wide terminal not with more.
const MOST_CELLS: usize = 48;

/// The line printed every ten seconds, and on SIGUSR1.
pub(super) fn plain_line(state: &State) -> String {
    let now = &state.now;
    let mut pieces = vec![amount(now, 0)];
    pieces.extend(percent(now).map(|percent| format!("{percent}%")));
    pieces.extend(speeds(state));
    pieces.push(left_or_elapsed(state, 0));
    format!("lvpipe {}: {}", now.role.name(), pieces.join(", "))
}

/// The two lines drawn on a terminal of `width` columns. What does not fit is left out, the least important first;
/// the last column stays free, as some terminals wrap there.
pub(super) fn bar_lines(state: &State, width: usize, colour: bool) -> String {
    let room = width.saturating_sub(1);
    format!("{}\n{}", first_line(state, room, colour), second_line(state, room))
}

/// Role, percentage, bar, amounts, time left. The amounts are padded so that the bar keeps its length.
fn first_line(state: &State, room: usize, colour: bool) -> String {
    let now = &state.now;
    let name = now.role.name();
    let time = left_or_elapsed(state, 5);
    let Some(percent) = percent(now) else {
        return fitting(room, &[&format!("{name} {}", amount(now, 8)), &format!(", {time}")]);
    };
    let head = format!("{name} {percent:>3}%");
    // From the fullest form to the shortest; the first that leaves room for the bar is taken.
    let tails = [
        format!("{}, {time}", amount(now, 8)),
        format!("{} of {}, {time}", padded(now.done, 8), ByteSize(now.used.unwrap_or(0))),
        time,
    ];
    for tail in &tails {
        let taken = head.len() + tail.len() + 2;
        if taken + LEAST_CELLS <= room {
            let bar = bar(now, (room - taken).min(MOST_CELLS), colour);
            return format!("{head} {bar} {tail}");
        }
    }
    fitting(room, &[&head, &format!(" {}", tails[2])])
}

/// Speeds, ratio, buffer, bottleneck.
fn second_line(state: &State, room: usize) -> String {
    let pieces: Vec<String> = speeds(state)
        .enumerate()
        .map(|(index, piece)| if index == 0 { piece } else { format!("  {piece}") })
        .collect();
    fitting(room, &pieces.iter().map(String::as_str).collect::<Vec<_>>())
}

/// As many of the pieces, from the first, as fit.
fn fitting(room: usize, pieces: &[&str]) -> String {
    let mut line = String::new();
    for piece in pieces {
        if line.len() + piece.len() > room {
            break;
        }
        line.push_str(piece);
    }
    line
}

fn bar(now: &Snapshot, cells: usize, colour: bool) -> String {
    let share = match now.used {
        None | Some(0) => 1.0,
        Some(used) => (now.done as f64 / used as f64).min(1.0),
    };
    let full = (share * cells as f64) as usize;
    let (done, rest) = ("━".repeat(full), "─".repeat(cells - full));
    // Cyan for what is done, dim for what is left: readable on dark and light.
    if colour { format!("\x1b[36m{done}\x1b[0m\x1b[2m{rest}\x1b[0m") } else { done + &rest }
}

/// `861 MiB of 2.00 GiB used, volume 8.00 GiB`, as far as it is known.
fn amount(now: &Snapshot, pad: usize) -> String {
    let done = padded(now.done, pad);
    let size = |bytes| ByteSize(bytes).to_string();
    match (now.used, now.volume) {
        (Some(used), Some(volume)) if used == volume => format!("{done} of {}", size(volume)),
        (Some(used), Some(volume)) => format!("{done} of {} used, volume {}", size(used), size(volume)),
        (Some(used), None) => format!("{done} of {}", size(used)),
        (None, Some(volume)) => format!("{done}, volume {}", size(volume)),
        (None, None) => done,
    }
}

fn padded(bytes: u64, pad: usize) -> String {
    format!("{:>pad$}", ByteSize(bytes).to_string())
}

/// Speeds, ratio, buffer and bottleneck, the most important first.
fn speeds(state: &State) -> impl Iterator<Item = String> {
    let (read, wire) = (ByteSize(state.read_rate), ByteSize(state.wire_rate));
    let (first, second) = match state.now.role {
        Role::Send => (format!("read {read}/s"), format!("sent {wire}/s")),
        Role::Recv | Role::Pull => (format!("received {wire}/s"), format!("decoded {read}/s")),
    };
    let buffer = (state.now.buffer_used.min(state.now.buffer_total) * 100)
        .checked_div(state.now.buffer_total)
        .map(|percent| format!("buffer {percent}%"));
    let slowest = state.bottleneck.map(|stage| format!("slowest: {}", stage.name()));
    [Some(first), Some(second), state.ratio.map(ratio_text), buffer, slowest].into_iter().flatten()
}

/// `2.78:1`, `12.3:1`, `456:1`.
fn ratio_text(ratio: f64) -> String {
    let decimals = match ratio {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{ratio:.decimals$}:1")
}

/// Whole per cents, rounded down: 100 only when all is done. `None` while the used bytes are not known.
fn percent(now: &Snapshot) -> Option<u64> {
    let used = now.used?;
    let percent = (u128::from(now.done.min(used)) * 100).checked_div(u128::from(used));
    Some(percent.and_then(|percent| u64::try_from(percent).ok()).unwrap_or(100))
}

fn left_or_elapsed(state: &State, pad: usize) -> String {
    let left = state.left.map_or_else(|| "-:--".to_string(), clock);
    match state.now.used {
        Some(_) => format!("{left:>pad$} left"),
        None => format!("{:>pad$} elapsed", clock(state.now.elapsed)),
    }
}

/// `0:12`, `1:02:03`, `3d 04h`.
fn clock(time: Duration) -> String {
    // Half a second left is not none left: round up.
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        1..100 => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
        _ => format!("{}d {:02}h", hours / 24, hours % 24),
    }
}

/// The one line at the end: what was done, how much went over the wire, how long it took. `note` is appended, such
/// as `sha256 verified`.
pub(super) fn summary(last: &Snapshot, note: &str) -> String {
    let size = |bytes| ByteSize(bytes).to_string();
    let what = match (last.used, last.volume) {
        (Some(used), Some(volume)) if used != volume => {
            format!("{} used of {}", size(last.done), size(volume))
        }
        _ => size(last.done),
    };
    let wire = size(last.wire);
    let moved = match last.role {
        Role::Send => format!("{what} sent as {wire}"),
        Role::Recv | Role::Pull => format!("{what} written from {wire}"),
    };
    let ratio = ratio(last.done, last.wire).map(|ratio| format!(" ({})", ratio_text(ratio))).unwrap_or_default();
    let seconds = last.elapsed.as_secs_f64();
    let time = if seconds < 100.0 { format!("{seconds:.1} s") } else { clock(last.elapsed) };
    let mean = if seconds >= 0.05 {
        format!(", {}/s", ByteSize((last.done as f64 / seconds) as u64))
    } else {
        String::new()
    };
    let notable = [(last.held, "parts held already"), (last.again, "asked for again"), (last.twice, "sent twice")];
    let notable = notable.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("; {count} {what}"));
    let note = if note.is_empty() { String::new() } else { format!("; {note}") };
    format!("lvpipe {}: {moved}{ratio} in {time}{mean}{}{note}", last.role.name(), notable.collect::<String>())
}

#[cfg(test)]
mod tests;
