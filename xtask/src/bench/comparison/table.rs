//! The comparison in Markdown: the times of all, the goals, and folded up everything that was measured.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use lvpipe::byte_size::ByteSize;

use super::goals::goals;
use super::record::{Cell, Comparison, Image, Rate};
use super::ways::Way;
use crate::bench::figures::{HEADING, Row, seconds};

/// All of it, as it stands in the README. `plot` is the name of the plot's file there, if it has one.
pub fn markdown(comparison: &Comparison, plot: Option<&str>) -> Result<String> {
    let mut text = String::new();
    if let Some(plot) = plot {
        writeln!(
            text,
            "![Times of all ways, and how lvpipe's grows; the same figures are in the tables]({plot})\n"
        )?;
    }
    writeln!(text, "{}\n{}\n", comparison.machine, terms(comparison))?;
    text += &times(comparison)?;
    let goals: Vec<Row> = goals(comparison);
    writeln!(text, "\n{HEADING}{}", goals.iter().map(Row::markdown).collect::<String>())?;
    for volume in &comparison.volumes {
        for link in &comparison.links {
            details(&mut text, comparison, volume.image, link.rate)?;
        }
    }
    Ok(text)
}

/// On what terms it was measured.
fn terms(comparison: &Comparison) -> String {
    let volumes = comparison.volumes.iter().map(|volume| {
        let (name, size, used) = (volume.image.name(), ByteSize(volume.size), ByteSize(volume.used));
        format!("{name}: {size}, {used} used")
    });
    let links =
        comparison.links.iter().map(|link| format!("{}: {:.2} Gbit/s", link.rate.name(), link.iperf3 * 8.0 / 1e9));
    let most = comparison.cells.iter().map(|cell| cell.runs.len()).max().unwrap_or(0);
    format!(
        "Two network namespaces on it share its processors. Images: {}. What iperf3 moves over each link: {}. \
         Medians of {most} runs in turn; what takes over 30 s runs once. The source's data is in the page cache, its \
         holes are not; copies are written to memory, and compared with the source afterwards.",
        volumes.collect::<Vec<_>>().join("; "),
        links.collect::<Vec<_>>().join("; "),
    )
}

/// A row a way, a column an image and a rate; the fastest in bold.
fn times(comparison: &Comparison) -> Result<String> {
    let columns: Vec<(Image, Rate)> = comparison
        .volumes
        .iter()
        .flat_map(|volume| comparison.links.iter().map(|link| (volume.image, link.rate)))
        .collect();
    let mut text = String::from("|");
    columns.iter().try_for_each(|(image, rate)| write!(text, " | {}, {}", image.name(), rate.name()))?;
    writeln!(text, " |\n| ---{} |", " | ---:".repeat(columns.len()))?;
    for way in Way::ALL {
        let mut line = format!("| {}", way.markdown());
        for &(image, rate) in &columns {
            let least = comparison.cells_of(image, rate).map(Cell::seconds).fold(f64::INFINITY, f64::min);
            let Some(cell) = comparison.cell(way, image, rate) else { continue };
            let time = of(cell.seconds());
            write!(line, " | {}", if cell.seconds() <= least { format!("**{time}**") } else { time })?;
        }
        writeln!(text, "{line} |")?;
    }
    Ok(text)
}

/// Everything of one image at one rate.
fn details(text: &mut String, comparison: &Comparison, image: Image, rate: Rate) -> Result<()> {
    let summary = format!("{}, {}: processor time, bytes on the link, memory", image.name(), rate.name());
    writeln!(text, "<details><summary>{summary}</summary>\n")?;
    *text += "| | time | processor time: sender, receiver | on the link | peak memory: sender, receiver |\n";
    *text += "| --- | --- | --- | --- | --- |\n";
    for cell in comparison.cells_of(image, rate) {
        let times = || cell.runs.iter().map(|run| run.seconds);
        let (least, most) = (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
        let range = if cell.runs.len() > 1 { format!(" ({} to {})", of(least), of(most)) } else { String::new() };
        let [sending, receiving] = cell.processor().map(of);
        let [sender, receiver] = cell.peaks().map(ByteSize);
        writeln!(
            text,
            "| {} | {}{range} | {sending}, {receiving} | {} | {sender}, {receiver} |",
            cell.way.markdown(),
            of(cell.seconds()),
            ByteSize(cell.link_bytes()),
        )?;
    }
    writeln!(text, "\n</details>")?;
    Ok(())
}

fn of(time: f64) -> String {
    seconds(Duration::from_secs_f64(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::comparison::sample::sample;

    #[test]
    fn every_way_has_a_row_and_the_fastest_is_bold() {
        let text = times(&sample()).expect("a table");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + Way::ALL.len());
        let heading = "| | ext4, 1 Gbit/s | ext4, 10 Gbit/s | ext4, no limit | database-like, 1 Gbit/s |";
        assert!(lines[0].starts_with(heading), "{}", lines[0]);
        assert_eq!(lines[1], "| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        let tls = "| the same over TLS | **1.10 s** | 1.10 s | 1.10 s | **1.10 s** | 1.10 s | 1.10 s |";
        assert!(lines.contains(&tls), "{text}");
    }

    #[test]
    fn everything_that_was_measured_is_told() {
        let text = markdown(&sample(), Some("plot.svg")).expect("text");
        assert!(text.starts_with("![Times of all ways"));
        assert!(text.contains("](plot.svg)\n"));
        assert!(text.contains("ext4: 8.00 GiB, 2.00 GiB used; database-like"));
        assert_eq!(text.matches("<details>").count(), 6);
        let row = "| `mbuffer` | 12.0 s (12.0 s to 12.0 s) | 1.50 s, 0.500 s | 124 MiB | 3.00 MiB, 5.00 MiB |\n";
        assert_eq!(text.matches(row).count(), 6, "{text}");
    }

    #[test]
    fn what_was_left_out_is_no_column() {
        let mut part = sample();
        part.links.truncate(1);
        part.volumes.truncate(1);
        part.growth = Default::default();
        let text = markdown(&part, None).expect("text");
        assert!(text.contains("| | ext4, 1 Gbit/s |\n| --- | ---: |\n"), "{text}");
        assert_eq!(text.matches("<details>").count(), 1);
    }
}
