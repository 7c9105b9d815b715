//! Golden lines: what an admin sees, letter by letter.

use super::*;
use crate::progress::figures::Figures;
use crate::progress::pace::Pace;
use crate::progress::stage::Stage;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// In the midst of sending: 861 MiB of 2 GiB used, of 8 GiB.
fn midway(role: Role) -> State {
    let mut now = Figures::new(role).snapshot();
    now.elapsed = Duration::from_secs(10);
    (now.volume, now.used) = (Some(8 << 30), Some(2 << 30));
    (now.done, now.read, now.wire) = (861 * MIB, 900 * MIB, 324 * MIB);
    (now.buffer_used, now.buffer_total) = (11, 32);
    State {
        now,
        read_rate: 412 * MIB,
        wire_rate: 148 * MIB,
        ratio: ratio(900 * MIB, 324 * MIB),
        left: Some(Duration::from_millis(11_500)),
        bottleneck: Some(if role == Role::Send { Stage::Source } else { Stage::Target }),
    }
}

/// A stream of unknown length, some minutes on.
fn unknown() -> State {
    let mut state = midway(Role::Send);
    (state.now.used, state.now.volume, state.left) = (None, None, None);
    state.now.elapsed = Duration::from_secs(754);
    (state.bottleneck, state.now.buffer_total) = (None, 0);
    state
}

fn width(line: &str) -> usize {
    line.chars().count()
}

#[test]
fn the_bar_on_80_columns() {
    assert_eq!(
        bar_lines(&midway(Role::Send), 80, false),
        "send  42% ━━━━━─────────  861 MiB of 2.00 GiB used, volume 8.00 GiB,  0:12 left\n\
         read 412 MiB/s  sent 148 MiB/s  2.78:1  buffer 34%  slowest: source"
    );
    assert_eq!(
        bar_lines(&midway(Role::Recv), 80, false),
        "recv  42% ━━━━━─────────  861 MiB of 2.00 GiB used, volume 8.00 GiB,  0:12 left\n\
         received 148 MiB/s  decoded 412 MiB/s  2.78:1  buffer 34%  slowest: target"
    );
}

#[test]
fn the_bar_on_a_wide_terminal_stops_growing() {
    let lines = bar_lines(&midway(Role::Send), 200, false);
    let first = lines.lines().next().expect("two lines");
    assert_eq!(first.chars().filter(|c| "━─".contains(*c)).count(), MOST_CELLS, "{first}");
    assert!(first.ends_with("volume 8.00 GiB,  0:12 left"), "{first}");
}

#[test]
fn the_bar_on_narrow_terminals_gives_way() {
    let send = midway(Role::Send);
    assert_eq!(
        bar_lines(&send, 60, false),
        "send  42% ━━━━━━──────────  861 MiB of 2.00 GiB,  0:12 left\nread 412 MiB/s  sent 148 MiB/s  2.78:1  buffer 34%"
    );
    assert_eq!(
        bar_lines(&send, 50, false),
        "send  42% ━━━━━━━━━━━─────────────────  0:12 left\nread 412 MiB/s  sent 148 MiB/s  2.78:1"
    );
    assert_eq!(bar_lines(&send, 30, false), "send  42% ━━━─────  0:12 left\nread 412 MiB/s");
    assert_eq!(bar_lines(&send, 25, false), "send  42%  0:12 left\nread 412 MiB/s");
    assert_eq!(bar_lines(&send, 12, false), "send  42%\n");
    assert_eq!(bar_lines(&send, 0, false), "\n");
}

#[test]
fn colour_is_only_in_the_bar_and_does_not_move_it() {
    let plain = bar_lines(&midway(Role::Send), 80, false);
    let coloured = bar_lines(&midway(Role::Send), 80, true);
    assert!(coloured.starts_with("send  42% \x1b[36m━━━━━\x1b[0m\x1b[2m─────────\x1b[0m "), "{coloured:?}");
    let stripped = ["\x1b[36m", "\x1b[2m", "\x1b[0m"].iter().fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(stripped, plain);
}

#[test]
fn of_unknown_length_the_time_passed_is_shown() {
    assert_eq!(
        bar_lines(&unknown(), 80, false),
        "send  861 MiB, 12:34 elapsed\nread 412 MiB/s  sent 148 MiB/s  2.78:1"
    );
    assert_eq!(
        plain_line(&unknown()),
        "lvpipe send: 861 MiB, read 412 MiB/s, sent 148 MiB/s, 2.78:1, 12:34 elapsed"
    );
    let mut state = unknown();
    state.now.volume = Some(8 << 30);
    assert!(bar_lines(&state, 80, false).starts_with("send  861 MiB, volume 8.00 GiB, 12:34 elapsed\n"));
}

#[test]
fn an_empty_volume_is_done_at_once() {
    let mut now = Figures::new(Role::Recv).snapshot();
    (now.volume, now.used) = (Some(1 << 50), Some(0));
    now.elapsed = Duration::ZERO;
    let state = Pace::new(now.clone()).last(now);
    assert_eq!(
        bar_lines(&state, 80, false),
        "recv 100% ━━━━━━━━━━━━━━━━━━━      0 B of 0 B used, volume 1.00 PiB,  0:00 left\n\
         received 0 B/s  decoded 0 B/s"
    );
    assert_eq!(summary(&state.now, ""), "lvpipe recv: 0 B used of 1.00 PiB written from 0 B in 0.0 s");
}

#[test]
fn the_plain_line_says_it_all() {
    assert_eq!(
        plain_line(&midway(Role::Send)),
        "lvpipe send: 861 MiB of 2.00 GiB used, volume 8.00 GiB, 42%, read 412 MiB/s, sent 148 MiB/s, 2.78:1, \
         buffer 34%, slowest: source, 0:12 left"
    );
    let mut state = midway(Role::Send);
    (state.now.used, state.left) = (Some(8 << 30), None);
    assert_eq!(
        plain_line(&state),
        "lvpipe send: 861 MiB of 8.00 GiB, 10%, read 412 MiB/s, sent 148 MiB/s, 2.78:1, buffer 34%, \
         slowest: source, -:-- left"
    );
}

#[test]
fn the_summary_is_one_line() {
    let mut now = midway(Role::Send).now;
    (now.done, now.wire, now.elapsed) = (2 << 30, 734 * MIB, Duration::from_millis(12_340));
    assert_eq!(
        summary(&now, "sha256 0123abcd"),
        "lvpipe send: 2.00 GiB used of 8.00 GiB sent as 734 MiB (2.79:1) in 12.3 s, 166 MiB/s; sha256 0123abcd"
    );
    (now.role, now.used, now.volume, now.elapsed) = (Role::Recv, None, None, Duration::from_secs(5000));
    assert_eq!(summary(&now, ""), "lvpipe recv: 2.00 GiB written from 734 MiB (2.79:1) in 1:23:20, 419 KiB/s");
}

#[test]
fn times_and_ratios_are_short_at_every_size() {
    let times =
        [(0.0, "0:00"), (0.2, "0:01"), (59.0, "0:59"), (60.0, "1:00"), (3599.1, "1:00:00"), (1e6, "11d 13h")];
    for (seconds, text) in times {
        assert_eq!(clock(Duration::from_secs_f64(seconds)), text);
    }
    let ratios = [(0.999, "1.00:1"), (9.994, "9.99:1"), (9.996, "10.0:1"), (99.96, "100:1"), (12_345.6, "12346:1")];
    for (ratio, text) in ratios {
        assert_eq!(ratio_text(ratio), text);
    }
}

proptest! {
    #[test]
    fn no_figures_overflow_the_terminal_or_show_nonsense(
        counts in any::<[u64; 6]>(),
        known in any::<[bool; 4]>(),
        seconds in 0f64..1e9,
        columns in 0usize..200,
    ) {
        let mut now = Figures::new(Role::Send).snapshot();
        (now.done, now.read, now.wire) = (counts[0], counts[1], counts[2]);
        (now.buffer_used, now.buffer_total) = (counts[3] >> 8, counts[4] >> 32);
        (now.used, now.volume) = (known[0].then_some(counts[4]), known[1].then_some(counts[5]));
        now.elapsed = Duration::from_secs_f64(seconds);
        let mut pace = Pace::new(Figures::new(Role::Send).snapshot());
        let state = if known[2] { pace.last(now) } else { pace.state(now) };
        let lines = bar_lines(&state, columns, false);
        prop_assert_eq!(lines.lines().count().max(1) <= 2, true);
        for line in lines.lines() {
            prop_assert!(width(line) < columns.max(1), "{} columns: {line}", columns);
        }
        for text in [lines, plain_line(&state), summary(&state.now, "")] {
            for nonsense in ["NaN", "inf", "-0", "-1"] {
                prop_assert!(!text.contains(nonsense), "{text}");
            }
        }
    }
}
