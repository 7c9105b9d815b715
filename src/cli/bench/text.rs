//! The report for people: tables, the sentence, the command line.

use std::fmt::Write;

use crate::byte_size::ByteSize;
use crate::engine::Compress;
use crate::measure::estimate::{Estimate, StageName};
use crate::measure::figures::{Far, Machine, Report, Target, Transfer};

/// Columns that prose is wrapped at; a command line is not, for it is to be copied.
const COLUMNS: usize = 100;

/// All of it.
pub(super) fn report(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(volume) = &report.volume {
        let extents = if volume.extents == 1 { "extent" } else { "extents" };
        let (size, used) = (ByteSize(volume.size), ByteSize(volume.used));
        writeln!(out, "volume       {}: {size}, {used} of it used, in {} {extents}", volume.name, volume.extents)?;
    }
    if let Some(Transfer { bytes, rate: read, .. }) = report.source {
        writeln!(out, "source       {:<14} {} read, from all over it", rate(read), ByteSize(bytes))?;
    }
    if let Some(target) = &report.target {
        write_target(out, target)?;
    }
    write_machine(out, &report.here, report.data)?;
    if let Some(far) = &report.far {
        write_far(out, far, report)?;
    }
    write_estimates(out, report)?;
    writeln!(out, "\n{}\n\n  {}", wrapped(&report.bottleneck), report.command)
}

/// Prose in lines of [`COLUMNS`] at most, but for a word that is longer.
fn wrapped(prose: &str) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for word in prose.split_whitespace() {
        let width = word.chars().count();
        if column > 0 {
            let fits = column + 1 + width <= COLUMNS;
            text.push(if fits { ' ' } else { '\n' });
            column = if fits { column + 1 } else { 0 };
        }
        text += word;
        column += width;
    }
    text
}

fn write_target(out: &mut String, target: &Target) -> std::fmt::Result {
    match target.written {
        None => writeln!(out, "target       {}", target.what),
        Some(Transfer { bytes, rate: written, .. }) => {
            writeln!(out, "target       {:<14} {} written: {}", rate(written), ByteSize(bytes), target.what)
        }
    }
}

fn write_machine(out: &mut String, machine: &Machine, data: &str) -> std::fmt::Result {
    let sample = ByteSize(machine.sample);
    let data = if data == "volume" { "from the volume" } else { "of generated data" };
    let workers = workers(machine.workers);
    writeln!(out, "processors   {workers}, digest {}, {sample} {data}", machine.digest)?;
    writeln!(out, "  level      what is left    compressed at  decompressed at")?;
    for at in &machine.levels {
        let (level, left) = (shown(at.level), format!("{:.1} %", at.remains * 100.0));
        writeln!(out, "  {level:<10} {left:>12} {:>16} {:>16}", rate(at.encode), rate(at.decode))?;
    }
    let digests: Vec<String> =
        machine.digests.iter().map(|at| format!("{} {}", at.digest, rate(at.rate))).collect();
    writeln!(out, "digests      {}", digests.join(", "))
}

fn write_far(out: &mut String, far: &Far, report: &Report) -> std::fmt::Result {
    let workers = workers(far.machine.workers);
    let away = far.round_trip.map_or(String::new(), |time| format!(", {:.2} ms there and back", time * 1000.0));
    writeln!(out, "{:<12} {workers}, lvpipe {}{away}", far.host, far.machine.lvpipe)?;
    if let Some(at) = report.estimates.first().and_then(|estimate| far.machine.at(estimate.level)) {
        writeln!(
            out,
            "  {:<24} {:>14} of generated data",
            format!("decompresses {}", shown(at.level)),
            rate(at.decode)
        )?;
    }
    for at in &far.links {
        let links = match at.links {
            0 => "through ssh".to_string(),
            1 => "over 1 connection".to_string(),
            links => format!("over {links} connections"),
        };
        writeln!(out, "  {links:<24} {:>14}", rate(at.rate))?;
    }
    Ok(())
}

fn write_estimates(out: &mut String, report: &Report) -> std::fmt::Result {
    let unit = if report.volume.is_some() { "used" } else { "of such data" };
    let Some(first) = report.estimates.first() else { return Ok(()) };
    writeln!(out, "\nestimate     {} {unit}, with --compress auto:", ByteSize(first.used))?;
    writeln!(out, "  over            auto settles at     on the link             rate         time  waits for")?;
    for estimate in &report.estimates {
        let Estimate { link, wire, level, bottleneck, rate: moved, seconds, .. } = estimate;
        let link = match link.as_str() {
            "measured" => "this link",
            // From one process of this machine to another.
            "none" if report.estimates.len() == 1 => "a pipe",
            "none" => "no limit",
            link => link,
        };
        writeln!(
            out,
            "  {link:<15} {:<15} {:>15} {:>16} {:>12}  {}",
            shown(*level),
            ByteSize(*wire).to_string(),
            rate(*moved),
            duration(*seconds),
            name(*bottleneck),
        )?;
    }
    Ok(())
}

fn workers(count: u32) -> String {
    format!("{count} {}", if count == 1 { "worker" } else { "workers" })
}

fn shown(level: Option<i32>) -> String {
    level.map_or(Compress::None, Compress::Zstd).to_string()
}

fn name(stage: StageName) -> &'static str {
    match stage {
        StageName::Source => "the source",
        StageName::Processors => "the processors",
        StageName::Link => "the link",
        StageName::FarProcessors => "the processors there",
        StageName::Target => "the target",
    }
}

fn rate(bytes_a_second: f64) -> String {
    format!("{}/s", ByteSize(bytes_a_second as u64))
}

/// Two units at most: nobody plans by more.
fn duration(seconds: f64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    if seconds < 0.05 {
        return "< 0.1 s".into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let first = UNITS.iter().position(|(unit, _)| whole >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[first];
    match UNITS.get(first + 1).map(|(next, name)| (whole % unit / next, name)) {
        Some((rest, next)) if rest > 0 => format!("{} {name} {rest} {next}", whole / unit),
        _ => format!("{} {name}", whole / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_between_words_and_nothing_is_lost() {
        let widest = "1023 MiB/s";
        let sentence = format!(
            "The processors of a-host.with.a.long-name.example.org are the bottleneck, at {widest}; --digest blake3 \
             would make that {widest}. A link would be, below 1000.0 Gbit/s."
        );
        assert!(sentence.chars().count() > 120, "what a terminal would wrap amid a word");
        let text = wrapped(&sentence);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!((text.lines().count(), text.replace('\n', " ")), (2, sentence));
        // Exactly as wide as there are columns; one more; a word that is wider by itself.
        let (half, long) = ("x".repeat(COLUMNS / 2), "y".repeat(COLUMNS + 1));
        assert_eq!(wrapped(&format!("{half} {}", &half[1..])).lines().count(), 1);
        assert_eq!(wrapped(&format!("{half} {half}")).lines().count(), 2);
        assert_eq!(wrapped(&format!("a {long} b")), format!("a\n{long}\nb"));
        assert_eq!(wrapped(""), "");
    }

    #[test]
    fn times_are_as_people_say_them() {
        let rows = [
            (0.0, "< 0.1 s"),
            (0.049, "< 0.1 s"),
            (0.05, "0.1 s"),
            (7.34, "7.3 s"),
            (12.4, "12 s"),
            (60.0, "1 min"),
            (250.0, "4 min 10 s"),
            (11_520.0, "3 h 12 min"),
            (183_600.0, "2 d 3 h"),
            (1e12, "11574074 d 1 h"),
        ];
        for (seconds, text) in rows {
            assert_eq!(duration(seconds), text);
        }
    }
}
