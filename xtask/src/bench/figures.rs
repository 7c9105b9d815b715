//! The table of figures, and its place in the README.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use lvpipe::byte_size::ByteSize;

use super::race::Outcome;

/// One line of the table.
pub struct Row {
    what: String,
    figure: String,
    against: String,
    ratio: String,
    goal: String,
    is_met: bool,
}

impl Row {
    /// Two figures and their ratio, as they are told; the goal is the largest ratio.
    pub fn ratio(what: &str, figure: &str, against: &str, ratio: f64, goal: f64) -> Row {
        Row {
            what: what.into(),
            figure: figure.into(),
            against: against.into(),
            ratio: format!("{ratio:.2}"),
            goal: format!("≤ {goal}"),
            is_met: ratio <= goal,
        }
    }

    /// The first contender against the second; the goal is the largest ratio of their medians.
    pub fn race(what: &str, against: &str, outcomes: &[Outcome], goal: f64) -> Row {
        let ratio = outcomes[0].median().as_secs_f64() / outcomes[1].median().as_secs_f64().max(1e-9);
        Row::ratio(what, &times(&outcomes[0]), &format!("{against}: {}", times(&outcomes[1])), ratio, goal)
    }

    /// The rates of `bytes` bytes, the first contender's against the second's; the goal is the least ratio of them.
    pub fn rates(what: &str, against: &str, outcomes: &[Outcome], bytes: u64, goal: f64) -> Row {
        let ratio = outcomes[1].median().as_secs_f64() / outcomes[0].median().as_secs_f64().max(1e-9);
        Row {
            what: what.into(),
            figure: rates(&outcomes[0], bytes),
            against: format!("{against}: {}", rates(&outcomes[1], bytes)),
            ratio: format!("{ratio:.2}"),
            goal: format!("≥ {goal}"),
            is_met: ratio >= goal,
        }
    }

    /// Processor time of one command of the pipelines, the first contender's against the second's.
    pub fn cpu(what: &str, against: &str, outcomes: &[Outcome], command: usize, goal: f64) -> Row {
        let [ours, theirs] = [0, 1].map(|index: usize| outcomes[index].processor(command));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9);
        Row::ratio(what, &seconds(ours), &format!("{against}: {}", seconds(theirs)), ratio, goal)
    }

    /// The first contender against what cannot be beaten: told, not judged.
    pub fn limit(what: &str, against: &str, outcomes: &[Outcome]) -> Row {
        Row { goal: String::new(), is_met: true, ..Row::race(what, against, outcomes, f64::INFINITY) }
    }

    /// One contender against a limit.
    pub fn alone(what: &str, outcome: &Outcome, limit: Duration) -> Row {
        Row {
            what: what.into(),
            figure: times(outcome),
            against: String::new(),
            ratio: String::new(),
            goal: format!("< {}", seconds(limit)),
            is_met: outcome.median() < limit,
        }
    }

    /// A peak of memory against a limit, in bytes.
    pub fn memory(what: &str, peak: u64, limit: u64) -> Row {
        Row {
            what: what.into(),
            figure: ByteSize(peak).to_string(),
            against: String::new(),
            ratio: String::new(),
            goal: format!("< {}", ByteSize(limit)),
            is_met: peak < limit,
        }
    }

    /// As a line of a table.
    pub fn markdown(&self) -> String {
        let goal = if self.is_met { self.goal.clone() } else { format!("{}, **missed**", self.goal) };
        format!("| {} | {} | {} | {} | {goal} |\n", self.what, self.figure, self.against, self.ratio)
    }
}

/// The median, and between which times the runs were.
fn times(outcome: &Outcome) -> String {
    let (least, most) = outcome.range();
    format!("{} ({} to {})", seconds(outcome.median()), seconds(least), seconds(most))
}

/// The same as rates of so many bytes, the fastest first as well.
fn rates(outcome: &Outcome, bytes: u64) -> String {
    let (least, most) = outcome.range();
    let rate = |time: Duration| format!("{}/s", ByteSize((bytes as f64 / time.as_secs_f64().max(1e-9)) as u64));
    format!("{} ({} to {})", rate(outcome.median()), rate(least), rate(most))
}

/// Three figures, down to milliseconds.
pub fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let decimals = match seconds {
        ..1.0 => 3,
        ..10.0 => 2,
        _ => 1,
    };
    format!("{seconds:.decimals$} s")
}

/// Above rows.
pub const HEADING: &str = "| | lvpipe | compared with | ratio | goal |\n| --- | --- | --- | --- | --- |\n";

/// All rows, and what they were measured on.
pub struct Table {
    material: String,
    directory: PathBuf,
    rows: Vec<Row>,
}

impl Table {
    /// `material` describes what was measured, `directory` is where it was.
    pub fn new(material: String, directory: &Path) -> Self {
        Table { material, directory: directory.to_path_buf(), rows: Vec::new() }
    }

    /// Appends a row and shows it.
    pub fn add(&mut self, row: Row) {
        eprint!("{}", row.markdown());
        self.rows.push(row);
    }

    /// The whole table, with the machine above it.
    pub fn markdown(&self) -> Result<String> {
        let mut text =
            format!("{}\n{}. Median (fastest to slowest).\n\n", machine(&self.directory)?, self.material);
        text += HEADING;
        text.extend(self.rows.iter().map(Row::markdown));
        Ok(text)
    }
}

/// Cores, processor, memory, kernel, and the disk behind `directory`, in one sentence.
pub fn machine(directory: &Path) -> Result<String> {
    let line = |path: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(path).context(path.to_string())?;
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        Ok(line.split_once(':').map_or("", |(_, value)| value).trim().to_string())
    };
    let processor = line("/proc/cpuinfo", "model name")?;
    let memory = line("/proc/meminfo", "MemTotal")?;
    let memory: u64 = memory.trim_end_matches("kB").trim().parse().context("MemTotal")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let disk = Command::new("df").arg("--output=fstype,source").arg(directory).output()?;
    let disk = String::from_utf8_lossy(&disk.stdout);
    let mut disk = disk.lines().nth(1).unwrap_or_default().split_whitespace();
    Ok(format!(
        "{} cores ({processor}), {} of memory, Linux {}, {} on {}.",
        std::thread::available_parallelism()?,
        ByteSize(memory << 10),
        kernel.trim(),
        disk.next().unwrap_or("unknown file system"),
        disk.next().unwrap_or("an unknown disk"),
    ))
}

/// Puts a text into a section of the README, between its markers.
pub fn write_readme(readme: &Path, section: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(readme).with_context(|| readme.display().to_string())?;
    let new = replace(&old, section, text).with_context(|| format!("README.md lacks the markers of {section}"))?;
    Ok(fs::write(readme, new)?)
}

fn replace(text: &str, section: &str, new: &str) -> Option<String> {
    let begin = format!("<!-- {section}: cargo xtask bench --write-readme -->\n");
    let end = format!("<!-- end of {section} -->\n");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{new}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_what_is_between_the_markers_of_its_section() {
        let marked = |section: &str, text: &str| {
            format!("<!-- {section}: cargo xtask bench --write-readme -->\n{text}<!-- end of {section} -->\n")
        };
        let text = format!("a\n{}b\n{}", marked("figures", "old\n"), marked("others", "kept\n"));
        let replaced = replace(&text, "figures", "new\n").expect("markers");
        assert_eq!(replaced, format!("a\n{}b\n{}", marked("figures", "new\n"), marked("others", "kept\n")));
        assert_eq!(replace(&replaced, "figures", "new\n"), Some(replaced));
        assert_eq!(replace("no markers", "figures", "new\n"), None);
    }

    #[test]
    fn a_missed_goal_is_said() {
        assert_eq!(Row::memory("peak", 1 << 20, 2 << 20).markdown(), "| peak | 1.00 MiB |  |  | < 2.00 MiB |\n");
        assert!(Row::memory("peak", 3 << 20, 2 << 20).markdown().ends_with("| < 2.00 MiB, **missed** |\n"));
    }

    #[test]
    fn times_have_three_figures() {
        let rows = [(0.0123, "0.012 s"), (1.234, "1.23 s"), (12.34, "12.3 s")];
        for (time, text) in rows {
            assert_eq!(seconds(Duration::from_secs_f64(time)), text);
        }
    }
}
