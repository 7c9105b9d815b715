//! What is seen of a run: the status line, the summary, and mbuffer's way of writing numbers.
//!
//! Pure: figures in, text out. Scripts parse these lines, so every blank counts.

use std::time::Duration;

/// Figures for one status line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Bytes a second read since the last line.
    pub read_rate: f64,
    /// Bytes a second written since the last line, all outputs together.
    pub write_rate: f64,
    /// Bytes written to one output.
    pub written: u64,
    /// Outputs that have not failed.
    pub outputs: usize,
    /// Percent of the buffer in use.
    pub fill: f64,
    /// Percent of a regular input file that has been read.
    pub done: Option<f64>,
}

/// The status line, without the `\r` before it.
pub fn line(figures: &Figures) -> String {
    let mut text = format!("in @ {}iB/s, out @ {}iB/s, ", number(figures.read_rate), number(figures.write_rate));
    if figures.outputs != 1 {
        text += &format!("{} x ", figures.outputs);
    }
    text += &format!("{}iB total, buffer {:3.0}% full", number(whole_kib(figures.written)), figures.fill);
    if let Some(done) = figures.done {
        text += &format!(", {done:3.0}% done");
    }
    text
}

/// Figures for the summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes written to one output.
    pub written: u64,
    /// Outputs that have not failed, at least 1.
    pub outputs: usize,
    /// From the first byte to the last.
    pub time: Duration,
    /// How often the buffer ran empty (`-P`).
    pub empty: u64,
    /// How often it was full (`-p`).
    pub full: u64,
}

/// The summary line, with its end.
pub fn summary(totals: &Totals) -> String {
    let seconds = totals.time.as_secs_f64();
    let mut text = "summary: ".to_owned();
    if totals.outputs > 1 {
        text += &format!("{}x ", totals.outputs);
    }
    let bytes = totals.written as f64;
    let average = if seconds > 0.0 { bytes * totals.outputs as f64 / seconds } else { 0.0 };
    text += &format!("{}iByte in {}", number(whole_kib(totals.written)), duration(seconds));
    text += &format!("average of {}iB/s", number(average));
    if totals.empty > 0 {
        text += &format!(", {}x empty", totals.empty);
    }
    if totals.full > 0 {
        text += &format!(", {}x full", totals.full);
    }
    text + "\n"
}

/// Totals are cut to whole KiB before they are rounded.
fn whole_kib(bytes: u64) -> f64 {
    (bytes >> 10 << 10) as f64
}

/// Bytes in four places with a binary prefix, beginning with kilo.
fn number(bytes: f64) -> String {
    let mut value = bytes / 1024.0;
    let mut prefixes = ["k", "M", "G", "T", "P"].iter();
    let mut prefix = prefixes.next().copied().unwrap_or_default();
    while value >= 10000.0 {
        let Some(next) = prefixes.next() else { break };
        value /= 1024.0;
        prefix = next;
    }
    // Between 99.95 and 100 one decimal would need a fifth place.
    if value < 99.95 { format!("{value:4.1} {prefix}") } else { format!("{value:4.0} {prefix}") }
}

fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor();
    let rest = seconds - minutes * 60.0;
    let hours = (minutes / 60.0).floor();
    if hours > 0.0 {
        format!("{hours:.0}h {:02.0}min {rest:04.1}sec - ", minutes - hours * 60.0)
    } else if minutes > 0.0 {
        format!("{minutes:2.0}min {rest:04.1}sec - ")
    } else {
        format!("{rest:4.1}sec - ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_four_places() {
        const K: f64 = 1024.0;
        let rows = [
            (0.0, " 0.0 k"),
            (99.0 * K, "99.0 k"),
            (99.97 * K, " 100 k"),
            (100.0 * K, " 100 k"),
            (9999.0 * K, "9999 k"),
            (10000.0 * K, " 9.8 M"),
            (191.0 * K * K, " 191 M"),
            (9999.0 * K * K * K, "9999 G"),
            (10000.0 * K * K * K, " 9.8 T"),
        ];
        for (bytes, expected) in rows {
            assert_eq!(number(bytes), expected);
        }
    }

    #[test]
    fn the_status_line_is_mbuffers() {
        let rate = 2008.0 * 1024.0;
        let mut figures =
            Figures { read_rate: rate, write_rate: rate, written: 1408 << 10, outputs: 1, fill: 0.0, done: None };
        let expected = "in @ 2008 kiB/s, out @ 2008 kiB/s, 1408 kiB total, buffer   0% full";
        assert_eq!(line(&figures), expected);
        figures.done = Some(48.0);
        assert_eq!(line(&figures), format!("{expected},  48% done"));
        figures.outputs = 2;
        assert!(line(&figures).contains(", 2 x 1408 kiB total,"));
    }

    #[test]
    fn the_summary_is_mbuffers() {
        let mut totals =
            Totals { written: 3_000_000, outputs: 1, time: Duration::from_millis(1407), empty: 0, full: 0 };
        assert_eq!(summary(&totals), "summary: 2929 kiByte in  1.4sec - average of 2082 kiB/s\n");
        totals.time = Duration::from_secs(61);
        totals.empty = 2;
        assert_eq!(summary(&totals), "summary: 2929 kiByte in  1min 01.0sec - average of 48.0 kiB/s, 2x empty\n");
        totals.time = Duration::from_millis(3_723_400);
        totals.full = 3;
        assert!(summary(&totals).contains(" in 1h 02min 03.4sec - "), "{}", summary(&totals));
        totals.outputs = 2;
        assert!(summary(&totals).starts_with("summary: 2x 2929 kiByte in "));
        assert!(summary(&totals).ends_with(", 2x empty, 3x full\n"));
        let nothing = Totals { outputs: 1, ..Totals::default() };
        assert_eq!(summary(&nothing), "summary:  0.0 kiByte in  0.0sec - average of  0.0 kiB/s\n");
    }
}
